"""From a `DataSpec` to a `Dataset`: read the source, divide, resize, fingerprint."""

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mnas.arch import UnknownNameError
from mnas.training.dataset import Dataset, Split, channel_statistics
from mnas.training.resizing import resize_images
from mnas.training.source_files import idx, npz
from mnas.training.sources import Labelled, Pool, digits, synthetic
from mnas.training.specs import DataError, DataSpec
from mnas.training.splitting import stratified, wanted_count

SOURCES: Mapping[str, Callable[[DataSpec], Pool]] = {
    "digits": digits,
    "idx": idx,
    "npz": npz,
    "synthetic": synthetic,
}
_NOT_YET = ("cifar", "cifar10", "cifar100", "hf", "imagefolder", "parquet", "python", "torchvision")
_DEFAULT_SHARE = 0.2


def load_data(spec: DataSpec, resolution: int) -> Dataset:
    """Read a data source and divide it into train, val and test.

    Without a number, val and test are the source's own splits, or else 20 % each (rounded up) of
    the images to be divided. Every split has its share of every class.

    Args:
        spec: Which data, and how to divide it.
        resolution: Side of the images, in pixels; they are resized from the source's own.

    Returns:
        The data, with a fingerprint of its content, division and seed.

    Raises:
        UnknownNameError: No such source; lists the known ones.
        DataError: A file is missing, damaged or does not fit, or the source is one of a later
            version; names it and what to do.
    """
    if resolution < 1:
        raise DataError(f"the resolution must be at least 1 pixel; got {resolution}")
    kind = spec.source.partition(":")[0]
    if kind in _NOT_YET:
        raise DataError(
            f"data.source: {spec.source!r} is not in this version yet; known: "
            f"{', '.join(SOURCES)}. Arrays of images and labels in one file are read by the source "
            "npz"
        )
    if spec.source not in SOURCES:
        raise UnknownNameError("data source", spec.source, SOURCES)
    pool = SOURCES[spec.source](spec)
    train, val, test = _divided(pool, spec)
    names = _class_names(pool, spec, train)
    for split, what in ((val, "validation"), (test, "test")):
        _require_known_classes(split, len(names), f"{pool.origin} ({what})", train)
    mean, std = channel_statistics(train.images)
    return Dataset(
        source=spec.source,
        train=_split(train, resolution),
        val=_split(val, resolution),
        test=_split(test, resolution),
        num_classes=len(names),
        channels=train.images.shape[1],
        class_names=names,
        mean=mean,
        std=std,
        fingerprint=_fingerprint((train, val, test), names, spec.seed),
        resolution=resolution,
    )


def _divided(pool: Pool, spec: DataSpec) -> tuple[Labelled, Labelled, Labelled]:
    """Train, val and test; a split of the source's own is kept, or a part of it taken."""
    rng = np.random.default_rng(spec.seed)
    total, rest = len(pool.train.labels), pool.train
    parts = []
    for what, own, size in (("data.test", pool.test, spec.test), ("data.val", pool.val, spec.val)):
        if own is None:
            part, rest = _drawn(rest, wanted_count(size, total, _DEFAULT_SHARE), rng, what)
        elif size is None:
            part = own
        else:
            part, _ = _drawn(own, wanted_count(size, len(own.labels), 1.0), rng, what)
        parts.append(part)
    if len(rest.labels) < 2:
        raise DataError(
            f"{pool.origin}: {len(rest.labels)} of {total} images are left to train on; "
            "ask for fewer with data.val and data.test"
        )
    test, val = parts
    # sources sort by class; the first images must do for all when statistics are re-estimated
    return _taken(rest, rng.permutation(len(rest.labels))), val, test


def _drawn(
    labelled: Labelled, count: int, rng: np.random.Generator, what: str
) -> tuple[Labelled, Labelled]:
    drawn, others = stratified(labelled.labels, count, rng, what)
    return _taken(labelled, drawn), _taken(labelled, others)


def _taken(labelled: Labelled, indices: NDArray[np.int64]) -> Labelled:
    return Labelled(images=labelled.images[indices], labels=labelled.labels[indices])


def _class_names(pool: Pool, spec: DataSpec, train: Labelled) -> tuple[str, ...]:
    """The names, after seeing that train has every class."""
    found = np.unique(train.labels).tolist()
    if found != list(range(len(found))) or len(found) < 2:
        raise DataError(
            f"{pool.origin}: the labels of the training images must be 0, 1, ... with none left "
            f"out, of at least two classes; found {_short(found)}"
        )
    names = spec.class_names or pool.class_names or tuple(str(label) for label in found)
    if len(names) != len(found):
        raise DataError(
            f"{pool.origin}: {len(found)} classes in the training images but {len(names)} class "
            "names; give one name for each class"
        )
    return names


def _require_known_classes(split: Labelled, num_classes: int, where: str, train: Labelled) -> None:
    strange = np.unique(split.labels[(split.labels < 0) | (split.labels >= num_classes)]).tolist()
    if strange:
        raise DataError(
            f"{where}: labels {_short(strange)} do not occur in the training images, which have "
            f"0 to {num_classes - 1}"
        )
    if split.images.shape[1:] != train.images.shape[1:]:
        raise DataError(
            f"{where}: images are {split.images.shape[1:]}, the training images "
            f"{train.images.shape[1:]} (channels, height, width); they must agree"
        )


def _split(labelled: Labelled, resolution: int) -> Split:
    return Split(
        images=resize_images(labelled.images, resolution),
        labels=labelled.labels,
        native=labelled.images,
    )


def _fingerprint(splits: tuple[Labelled, ...], names: tuple[str, ...], seed: int) -> str:
    digest = hashlib.sha256(repr((seed, names)).encode())
    for labelled in splits:
        digest.update(repr(labelled.images.shape).encode())
        digest.update(np.ascontiguousarray(labelled.images).data)
        digest.update(labelled.labels.astype("<i8").data)
    return digest.hexdigest()[:12]


def _short(values: list[int]) -> str:
    return str(values) if len(values) <= 12 else f"{values[:6]} to {values[-1]}"
