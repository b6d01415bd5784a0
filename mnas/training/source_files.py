"""Data sources that read files: `idx` (MNIST's format) and `npz` (numpy's, MedMNIST's)."""

import gzip
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnas.training.sources import Labelled, Pool
from mnas.training.specs import DataError, DataSpec

_IDX_UINT8 = 8  # the type code of unsigned bytes, third byte of the file


def idx(spec: DataSpec) -> Pool:
    """MNIST, Fashion-MNIST and their like: four idx files in one folder, gzipped or not.

    LeCun et al., the MNIST database: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the
    same for `t10k`, which is the test split.
    """
    folder = existing(spec, "the folder with train-images-idx3-ubyte and the three others")
    if not folder.is_dir():
        raise DataError(f"data.path: {folder} is not a folder; idx needs the folder of its files")
    train, test = (
        labelled_of(
            _idx_array(_idx_file(folder, f"{part}-images", 3), 3)[:, None],
            _idx_array(_idx_file(folder, f"{part}-labels", 1), 1),
            f"{folder} ({part})",
        )
        for part in ("train", "t10k")
    )
    return Pool(origin=str(folder), train=train, test=test)


def npz(spec: DataSpec) -> Pool:
    """One numpy archive with images and labels as arrays; never unpickles.

    Arrays `x_train`, `y_train` and perhaps `x_val`, `y_val`, `x_test`, `y_test`, or MedMNIST's
    `train_images`, `train_labels` and so on (Yang et al. 2023, Scientific Data 10); perhaps
    `class_names`. Images are (n, h, h), (n, h, h, c) or (n, c, h, h), labels (n,) or (n, 1).
    """
    path = existing(spec, "an .npz file with x_train and y_train, or train_images, train_labels")
    return pool_of_arrays(_npz_arrays(path), str(path), "add it to the file")


def pool_of_arrays(arrays: Mapping[str, NDArray[np.generic]], origin: str, mend: str) -> Pool:
    """Images and labels of arrays with the names that `npz` knows.

    Args:
        arrays: By name.
        origin: What errors call them together.
        mend: What to do about a missing one.

    Raises:
        DataError: One is missing or does not fit.
    """
    splits = {}
    for part in ("train", "val", "test"):
        for images, labels in ((f"x_{part}", f"y_{part}"), (f"{part}_images", f"{part}_labels")):
            if (images in arrays) != (labels in arrays):
                lacking = labels if images in arrays else images
                raise DataError(f"{origin}: the array {lacking!r} is missing; {mend}")
            if images in arrays:
                where = f"{origin}: {images}, {labels}"
                if part in splits:
                    raise DataError(f"{where}: there is a second {part} split; leave one out")
                splits[part] = labelled_of(
                    channels_first(arrays[images], where), arrays[labels], where
                )
    if "train" not in splits:
        raise DataError(
            f"{origin}: no training images; needs the arrays x_train and y_train, or train_images "
            f"and train_labels; found {', '.join(sorted(arrays)) or 'none'}"
        )
    names = arrays.get("class_names")
    return Pool(
        origin=origin,
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        class_names=tuple(str(name) for name in names) if names is not None else None,
    )


def existing(spec: DataSpec, needed: str) -> Path:
    """The path of a source that reads files.

    Raises:
        DataError: None is given, or nothing is there.
    """
    if spec.path is None:
        raise DataError(f"data.path: the source {spec.source!r} needs a path: {needed}")
    path = Path(spec.path).expanduser()
    if not path.exists():
        raise DataError(f"data.path: {path} does not exist; needs {needed}")
    return path


def _idx_file(folder: Path, stem: str, dimensions: int) -> Path:
    names = [f"{stem}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{folder}: no file {names[0]} (or {', '.join(names[1:])}); put the four files of the "
        "data set there"
    )


def _idx_array(path: Path, dimensions: int) -> NDArray[np.uint8]:
    again = "get the file again"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {again}") from None
    if len(content) < 4 + 4 * dimensions:
        raise DataError(f"{path}: {len(content)} bytes are no idx file; {again}")
    if content[:4] != bytes((0, 0, _IDX_UINT8, dimensions)):
        raise DataError(
            f"{path}: starts with {content[:4].hex()}, an idx file of {dimensions}-dimensional "
            f"bytes with {bytes((0, 0, _IDX_UINT8, dimensions)).hex()}; {again}"
        )
    shape = np.frombuffer(content, ">u4", dimensions, 4).astype(int).tolist()
    found, told = len(content) - 4 - 4 * dimensions, math.prod(shape)
    if found != told:
        raise DataError(
            f"{path}: its head tells of {'x'.join(map(str, shape))} = {told} bytes, "
            f"there are {found}; {again}"
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _npz_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    again = "write it again with numpy.savez, without object arrays"
    try:
        # opened here, because numpy leaves the file open when it is no archive
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: a single array, not an .npz archive; {again}")
            with archive:
                return {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error}); {again}") from None


def channels_first(images: NDArray[np.generic], where: str) -> NDArray[np.generic]:
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise DataError(
        f"{where}: images must be (n, h, h), (n, h, h, c) or (n, c, h, h) with 1 or 3 channels; "
        f"got {images.shape}"
    )


def labelled_of(images: NDArray[np.generic], labels: NDArray[np.generic], where: str) -> Labelled:
    if images.dtype != np.uint8:
        raise DataError(f"{where}: pixels must be uint8, 0 to 255; got {images.dtype}")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{where}: labels must be one whole number for each image; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    if len(images) != len(labels):
        raise DataError(f"{where}: {len(images)} images but {len(labels)} labels; they must pair")
    if len(images) == 0:
        raise DataError(f"{where}: there is no image; needs at least a few of each class")
    if images.shape[2] != images.shape[3] or images.shape[2] == 0:
        raise DataError(
            f"{where}: images must be square; got {images.shape[2]}x{images.shape[3]} pixels. "
            "Crop or pad them first"
        )
    return Labelled(
        images=np.ascontiguousarray(images).astype(np.uint8, copy=False),
        labels=labels.astype(np.int64),
    )
