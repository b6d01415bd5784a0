"""From a `DataSpec` to a `Dataset`: read the source, divide, resize, fingerprint."""

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mnas.arch import UnknownNameError
from mnas.training.cifar_files import cifar
from mnas.training.dataset import Dataset, channel_statistics, histogram_statistics, split_of
from mnas.training.image_files import imagefolder
from mnas.training.other_libraries import hf, python, torchvision
from mnas.training.parquet_files import parquet
from mnas.training.pictures import Encoded
from mnas.training.source_files import idx, npz
from mnas.training.sources import Labelled, Pool, digits, synthetic
from mnas.training.specs import DataError, DataSpec
from mnas.training.splitting import stratified, wanted_count
from mnas.training.storing import DecodedImages, Progress, decode_images

SOURCES: Mapping[str, Callable[[DataSpec], Pool]] = {
    "cifar": cifar,
    "digits": digits,
    "hf": hf,
    "idx": idx,
    "imagefolder": imagefolder,
    "npz": npz,
    "parquet": parquet,
    "python": python,
    "synthetic": synthetic,
    "torchvision": torchvision,
}
_WITH_ARGUMENT = {  # after a colon, with an example
    "hf": "hf:NAME, such as hf:mnist",
    "python": "python:package.module:function, such as python:my_data:load",
    "torchvision": "torchvision:NAME, such as torchvision:CIFAR10",
}
_NEEDS = {  # modules, and how to get them
    "hf": {"datasets": "datasets"},
    "imagefolder": {"PIL": "pillow"},
    "parquet": {"PIL": "pillow", "pyarrow": "'mnas[parquet]'"},
    "torchvision": {"torchvision": "torchvision"},
}
_DEFAULT_SHARE = 0.2


def source_problem(name: str) -> str:
    """Why a data source cannot be read on this machine, in words; empty if it can."""
    lacking = [
        f"{module} is not installed: python -m pip install {package}"
        for module, package in _NEEDS.get(name, {}).items()
        if importlib.util.find_spec(module) is None
    ]
    return "; ".join(lacking)


def load_data(
    spec: DataSpec,
    resolution: int,
    *,
    also: Iterable[int] = (),
    progress: Progress = lambda done, total: None,
) -> Dataset:
    """Read a data source and divide it into train, val and test.

    Without a number, val and test are the source's own splits, or else 20 % each (rounded up) of
    the images to be divided. Every split has its share of every class, to within one image.

    Encoded images are decoded once, at every resolution that is asked for, into files of the cache
    folder, where the next call finds them. An image is the same at a resolution whichever others
    were asked for.

    Args:
        spec: Which data, and how to divide it.
        resolution: Side of the images, in pixels; they are resized from the source's own.
        also: Other resolutions that will be asked for with `Dataset.resized`.
        progress: Told images done and images in all, while encoded images are decoded.

    Returns:
        The data, with a fingerprint of its content, division and seed.

    Raises:
        UnknownNameError: No such source; lists the known ones.
        DataError: A file is missing, damaged or does not fit, or a package is not there that the
            source needs; names it and what to do.
    """
    sides = {resolution, *also}
    if min(sides) < 1:
        raise DataError(f"the resolution must be at least 1 pixel; got {min(sides)}")
    pool = _pool(spec)
    train, val, test = _divided(pool, spec)
    names = _class_names(pool, spec, train)
    for split, what in ((val, "validation"), (test, "test")):
        _require_known_classes(split, len(names), f"{pool.origin} ({what})", train)
    natives = [_native(each, sides, pool.origin, progress) for each in (train, val, test)]
    splits = [
        split_of(native, labelled.labels, resolution)
        for native, labelled in zip(natives, (train, val, test), strict=True)
    ]
    mean, std = _statistics(natives[0])
    return Dataset(
        source=spec.source,
        train=splits[0],
        val=splits[1],
        test=splits[2],
        num_classes=len(names),
        channels=splits[0].images.shape[1],
        class_names=names,
        mean=mean,
        std=std,
        fingerprint=_fingerprint((train, val, test), names, spec.seed),
        resolution=resolution,
    )


def _pool(spec: DataSpec) -> Pool:
    if spec.kind not in SOURCES:
        raise UnknownNameError("data source", spec.source, SOURCES)
    example = _WITH_ARGUMENT.get(spec.kind)
    if example is not None and spec.argument is None:
        raise DataError(f"data.source: {spec.source!r} is not all; write {example}")
    if example is None and ":" in spec.source and spec.kind != "synthetic":
        raise DataError(
            f"data.source: {spec.source!r}: {spec.kind} takes nothing after a colon; the place of "
            "its files is data.path"
        )
    return SOURCES[spec.kind](spec)


def _divided(pool: Pool, spec: DataSpec) -> tuple[Labelled, Labelled, Labelled]:
    """Train, val and test; a split of the source's own is kept, or a part of it taken."""
    _require_enough_of_each(pool, spec)
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
    return rest.taken(rng.permutation(len(rest.labels))), val, test


def _require_enough_of_each(pool: Pool, spec: DataSpec) -> None:
    """A class that cannot be in every split would be trained and never judged, or the reverse."""
    parts = 1 + (pool.test is None) + (pool.val is None)
    names = spec.class_names or pool.class_names
    classes, sizes = np.unique(pool.train.labels, return_counts=True)
    few = [
        f"{names[label] if names and 0 <= label < len(names) else label} ({size})"
        for label, size in zip(classes.tolist(), sizes.tolist(), strict=True)
        if size < parts
    ]
    if few:
        raise DataError(
            f"{pool.origin}: to be divided into {parts} splits each class needs at least {parts} "
            f"images; too few has {', '.join(few[:10])}{' and others' if few[10:] else ''}. Add "
            "images, or leave the class out"
        )


def _drawn(
    labelled: Labelled, count: int, rng: np.random.Generator, what: str
) -> tuple[Labelled, Labelled]:
    drawn, others = stratified(labelled.labels, count, rng, what)
    return labelled.taken(drawn), labelled.taken(others)


def _class_names(pool: Pool, spec: DataSpec, train: Labelled) -> tuple[str, ...]:
    """The names, after seeing that train has every class."""
    names = spec.class_names or pool.class_names
    before, found = (np.unique(each.labels).tolist() for each in (pool.train, train))
    if before == list(range(len(before))) and before != found:
        lost = [label for label in before if label not in found]
        told = ", ".join(
            f"{names[label] if names and label < len(names) else label} (of "
            f"{int((pool.train.labels == label).sum())})"
            for label in lost[:8]
        )
        raise DataError(
            f"{pool.origin}: after validation and test have their images, none is left to train on "
            f"of the class{'es' if len(lost) > 1 else ''} {told}. Add images, or leave these "
            "classes out"
        )
    if found != list(range(len(found))) or len(found) < 2:
        raise DataError(
            f"{pool.origin}: the labels of the training images must be 0, 1, ... with none left "
            f"out, of at least two classes; found {_short(found)}"
        )
    names = names or tuple(str(label) for label in found)
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
    if isinstance(split.images, Encoded) or isinstance(train.images, Encoded):
        return
    if split.images.shape[1:] != train.images.shape[1:]:
        raise DataError(
            f"{where}: images are {split.images.shape[1:]}, the training images "
            f"{train.images.shape[1:]} (channels, height, width); they must agree"
        )


def _native(
    labelled: Labelled, sides: set[int], origin: str, progress: Progress
) -> NDArray[np.uint8] | DecodedImages:
    if isinstance(labelled.images, Encoded):
        return decode_images(labelled.images, sides, origin, progress)
    return labelled.images


def _statistics(
    native: NDArray[np.uint8] | DecodedImages,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if isinstance(native, DecodedImages):
        return histogram_statistics(native.histogram)
    return channel_statistics(native)


def _fingerprint(splits: tuple[Labelled, ...], names: tuple[str, ...], seed: int) -> str:
    digest = hashlib.sha256(repr((seed, names)).encode())
    for labelled in splits:
        if isinstance(labelled.images, Encoded):
            digest.update(labelled.images.digest.encode())
        else:
            digest.update(repr(labelled.images.shape).encode())
            digest.update(np.ascontiguousarray(labelled.images).data)
        digest.update(labelled.labels.astype("<i8").data)
    return digest.hexdigest()[:12]


def _short(values: list[int]) -> str:
    return str(values) if len(values) <= 12 else f"{values[:6]} to {values[-1]}"
