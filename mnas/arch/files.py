"""Writing files so that a reader sees the old one or the new one, never half of one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mnas.arch.errors import MnasError


class UnwritableFileError(MnasError):
    """A file that could not be written; nothing half-written is left behind."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    For writers that want a file name (ONNX, safetensors); parent folders are made.

    Args:
        path: Where the file shall be.

    Yields:
        The path to write to, with the same suffix.

    Raises:
        UnwritableFileError: The folder or the file cannot be written; says why.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UnwritableFileError(f"cannot write {path}: it is a device or a pipe, not a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
        os.close(descriptor)
    except OSError as error:
        raise unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, name):
            raise  # the writer failed at another file than this one
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> UnwritableFileError:
    """What to raise when the system refuses to write a file: says which, and why."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        above = next((each for each in reversed(path.parents) if each.is_file()), path.parent)
        return UnwritableFileError(f"cannot write {path}: {above} is a file, no folder")
    return UnwritableFileError(f"cannot write {path}: {error.strerror or error}")


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file at once: after a crash there is the old file or the new one.

    Args:
        path: Where the file shall be; parent folders are made.
        content: Text (written as UTF-8) or bytes.

    Raises:
        UnwritableFileError: The folder or the file cannot be written; says why.
    """
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def cache_folder(name: str) -> Path:
    """A folder for what can be made again: `$MNAS_CACHE/<name>`, else `~/.cache/mnas/<name>`.

    Args:
        name: What is kept there, such as `images`.

    Returns:
        The folder, which may not exist yet.
    """
    root = os.environ.get("MNAS_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "mnas") / name


def shipped_folder(name: Literal["search_spaces", "experiments"]) -> Path:
    """Where the files that ship with mnas lie: in the installed package, or in the checkout.

    Args:
        name: Which of the shipped folders.

    Returns:
        An existing folder.
    """
    package = Path(__file__).parent.parent
    installed, checkout = package / "shipped" / name, package.parent / name
    return installed if installed.is_dir() else checkout
