"""Deployed models of several files as one: a zip, the same bytes each time."""

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mnas.arch import MnasError

_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say: when it was made is no part of a model


def pack(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files as one zip, in the order given."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)


@contextlib.contextmanager
def unpacked(path: Path, names: Sequence[str]) -> Iterator[Path]:
    """The folder, there for a while, with the files of a zip that are named; no others are read.

    Raises:
        MnasError: The file is not such a zip.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                for name in names:
                    (Path(folder) / name).write_bytes(archive.read(name))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise MnasError(f"{path} is no zip of {' and '.join(names)}: {error}") from error
        yield Path(folder)
