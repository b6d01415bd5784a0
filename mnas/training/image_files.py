"""The data source `imagefolder`: folders of image files, as torchvision lays them out."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnas.training.picture_pools import SPLIT_NAMES, pool_of_pictures, stamp_of
from mnas.training.source_files import existing
from mnas.training.sources import Pool
from mnas.training.specs import DataError, DataSpec

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_CLUTTER = ("thumbs.db", "desktop.ini")  # what systems leave in folders; hidden files too


def imagefolder(spec: DataSpec) -> Pool:
    """A folder for each class, as torchvision's `ImageFolder` reads it.

    Either `<path>/<class>/...` with all images, or `<path>/train/<class>/...` and perhaps `val` (or
    `valid`, `validation`) and `test`. Classes are in the order of their names; images may lie in
    folders within that of the class.
    """
    root = existing(spec, "a folder with a folder of images for each class")
    if not root.is_dir():
        raise DataError(f"data.path: {root} is not a folder; imagefolder needs a folder of folders")
    inner = _folders(root)
    parts = _part_folders(root, inner)
    classes = [folder.name for folder in _folders(parts["train"])]
    if not classes:
        raise DataError(
            f"{parts['train']}: there is no folder in it; needs a folder of images for each class"
        )
    for name in classes:
        _require_text(parts["train"], name)
    found = {part: _files_of(folder, classes, part) for part, folder in parts.items()}
    return pool_of_pictures(
        {part: (_Files(tuple(paths)), labels) for part, (paths, labels) in found.items()},
        str(root),
        tuple(classes),
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """Images that are files of their own."""

    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def taken(self, indices: NDArray[np.int64]) -> "_Files":
        return _Files(tuple(self.paths[index] for index in indices.tolist()))

    def contents(self) -> Iterator[tuple[int, str, bytes]]:
        for number in sorted(range(len(self.paths)), key=self.paths.__getitem__):
            path = self.paths[number]
            try:
                yield number, path, Path(path).read_bytes()
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None

    def stamp(self) -> str | None:
        return stamp_of(self.paths)


def _part_folders(root: Path, inner: Sequence[Path]) -> dict[str, Path]:
    """The folder of each split; the root itself where it has only classes."""
    names = {folder.name for folder in inner}
    known = {name for alternatives in SPLIT_NAMES.values() for name in alternatives}
    if "train" not in names or not _folders(root / "train"):  # trains may be a class of vehicles
        return {"train": root}
    strange = sorted(names - known)
    if strange:
        raise DataError(
            f"{root}: beside train there may be val (or valid, validation) and test; found "
            f"{', '.join(map(repr, strange))}. Move it away"
        )
    parts = {}
    for part, alternatives in SPLIT_NAMES.items():
        there = [name for name in alternatives if name in names]
        if len(there) > 1:
            raise DataError(f"{root}: has {' and '.join(there)}; keep one of them")
        if there:
            parts[part] = root / there[0]
    return parts


def _folders(folder: Path) -> list[Path]:
    try:
        inner = [each for each in folder.iterdir() if each.is_dir()]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from None
    return sorted(each for each in inner if not each.name.startswith((".", "__")))


def _require_text(folder: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{folder}: the name {os.fsencode(name)!r} is not UTF-8; rename the folder"
        ) from None


def _files_of(
    folder: Path, classes: Sequence[str], part: str
) -> tuple[list[str], NDArray[np.int64]]:
    """Paths and labels of the images of one split."""
    names = [each.name for each in _folders(folder)]
    strange = [name for name in names if name not in classes]
    if strange:
        raise DataError(
            f"{folder / strange[0]}: there is no class {strange[0]!r} among the training images"
        )
    if not names:
        raise DataError(
            f"{folder}: there is no folder in it; needs a folder of images for each class, or "
            f"leave {part} out"
        )
    paths: list[str] = []
    labels: list[int] = []
    for name in names:
        found = list(_images_in(folder / name))
        if not found:
            raise DataError(
                f"{folder / name}: there is no image in the folder of this class; add some, or "
                "remove the folder"
            )
        paths += found
        labels += [classes.index(name)] * len(found)
    return paths, np.array(labels, np.int64)


def _images_in(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        folders.sort()
        for name in sorted(files):
            if name.startswith(".") or name.lower() in _CLUTTER:
                continue
            path = Path(parent) / name
            if path.suffix.lower() not in _ENDINGS:
                raise DataError(
                    f"{path}: is no image by its name ({', '.join(_ENDINGS)}); remove or convert it"
                )
            yield str(path)
        for name in folders:
            if (Path(parent) / name).is_symlink():
                raise DataError(f"{Path(parent) / name}: is a link to a folder; put a folder there")


def _refuse_unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror})")
