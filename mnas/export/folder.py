"""The export's folder: written beside its place, looked at, and moved there at the end."""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mnas.arch import UnwritableFileError, write_atomically
from mnas.export.errors import ExportError
from mnas.export.manifest import MANIFEST_FILE, Manifest


@contextlib.contextmanager
def staging_beside(directory: Path) -> Iterator[Path]:
    """A new folder beside `directory`, gone at the end whatever happens.

    Raises:
        ExportError: There is a file where the folder shall be.
        UnwritableFileError: The folder cannot be made; says why.
    """
    if directory.exists() and not directory.is_dir():
        raise ExportError(f"{directory} is a file; an export needs a folder: choose another name")
    staging = directory.parent / f".{directory.name}.{secrets.token_hex(4)}.partial"
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise UnwritableFileError(f"cannot write {directory}: {error.strerror or error}") from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def read_manifest(directory: Path) -> Manifest | None:
    """The folder's manifest, or None if it has none.

    Raises:
        InvalidManifestError: It says what no export writes.
    """
    path = directory / MANIFEST_FILE
    if not path.is_file():
        return None
    return Manifest.from_json(path.read_bytes(), source=str(path))


def require_place(draft: Manifest, directory: Path, files: Mapping[str, str]) -> Manifest | None:
    """Make sure that an export may go into a folder, before anything is written.

    Args:
        draft: What the manifest will say, still without its files.
        directory: Where to; it may hold an earlier export of the same network.
        files: The formats that will be written, each with its file's name.

    Returns:
        The earlier export's manifest, or None.

    Raises:
        ExportError: The folder holds another network, the same one with other weights or data, or
            a file of somebody else by a name that is needed.
        InvalidManifestError: Its manifest says what no export writes.
    """
    earlier = read_manifest(directory)
    known = {entry.file for entry in earlier.formats} if earlier is not None else set()
    foreign = [
        name for name in files.values() if name not in known and os.path.lexists(directory / name)
    ]
    if foreign:
        raise ExportError(
            f"{directory} holds {', '.join(foreign)}, which no export of mnas wrote there; choose "
            "another folder, or move it away"
        )
    if earlier is None:
        return None
    if earlier.architecture.id != draft.architecture.id:
        raise ExportError(
            f"{directory} holds the export of {earlier.architecture.name!r} "
            f"({earlier.architecture.id}), not of {draft.architecture.id}; choose another "
            "folder, or remove this one"
        )
    kept = [entry.format for entry in earlier.formats if entry.format not in files]
    if kept and _ingredients(earlier) != _ingredients(draft):
        raise ExportError(
            f"{directory} holds {', '.join(kept)} of the same architecture with other weights or "
            "data; export these formats as well, or choose another folder"
        )
    return earlier


def joined(manifest: Manifest, earlier: Manifest | None) -> Manifest:
    """A new manifest with the entries of an earlier one whose files stay where they are."""
    if earlier is None:
        return manifest
    written = {entry.format for entry in manifest.formats}
    kept = tuple(entry for entry in earlier.formats if entry.format not in written)
    timing = earlier.timing
    stays = timing is not None and timing.file in {entry.file for entry in kept}
    return replace(
        manifest,
        formats=manifest.formats + kept,
        timing=manifest.timing or (timing if stays else None),
    )


def _ingredients(manifest: Manifest) -> tuple[object, ...]:
    return (
        manifest.weights.sha256,
        manifest.input,
        manifest.class_names,
        manifest.data_fingerprint,
    )


def publish(staging: Path, directory: Path, files: Iterable[str], manifest: Manifest) -> None:
    """Move finished files to their place.

    A folder that is not there yet comes into being at once, complete. In an existing one the
    manifest goes first, so that a crash between two files is seen by the checksums.

    Raises:
        UnwritableFileError: The folder cannot be written; says why.
    """
    names = list(files)
    try:
        for name in names:
            with (staging / name).open("rb+") as file:
                os.fsync(file.fileno())
        write_atomically(staging / MANIFEST_FILE, manifest.to_json())
        if not directory.exists():
            staging.rename(directory)
            return
        for name in [MANIFEST_FILE, *names]:
            (staging / name).replace(directory / name)
    except OSError as error:
        raise UnwritableFileError(f"cannot write {directory}: {error.strerror or error}") from error


def sha256_of(path: Path) -> str:
    """The digest of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
