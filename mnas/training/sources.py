"""What a data source gives, and the sources that need no file: `digits` and `synthetic`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnas.training.specs import DataError, DataSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """Images as a source has them, with their labels.

    Attributes:
        images: (n, c, h, h).
        labels: (n,) class of each image.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """All that a source has, before it is divided.

    Attributes:
        origin: What errors call it: the file, or the source's name.
        train: Images to be divided.
        val: The source's own validation split, if it has one.
        test: The source's own test split, if it has one.
        class_names: In the order of the labels; None where the source does not know them.
    """

    origin: str
    train: Labelled
    val: Labelled | None = None
    test: Labelled | None = None
    class_names: tuple[str, ...] | None = None


def digits(spec: DataSpec) -> Pool:
    """The 1797 grey 8x8 images of handwritten digits that come with scikit-learn.

    Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, its test set.
    """
    _refuse_path(spec)
    from sklearn.datasets import load_digits  # a second to import, and only needed here

    bunch = load_digits()
    images = np.floor(bunch.images * (255 / 16) + 0.5).astype(np.uint8)  # 0 to 16 in the source
    return Pool(
        origin="digits",
        train=Labelled(images=images[:, None], labels=bunch.target.astype(np.int64)),
        class_names=tuple("0123456789"),
    )


SYNTHETIC_CLASSES = ("disc", "ring", "square", "cross", "triangle", "rows", "columns", "checks")
_SYNTHETIC_IMAGES = 2400
_SIDE = 32


def synthetic(spec: DataSpec) -> Pool:
    """2400 colour 32x32 images of shapes and textures, drawn from the seed.

    Place, size, period, colours and noise vary; a class is told by form alone.
    """
    _refuse_path(spec)
    rng = np.random.default_rng([spec.seed, 32])
    labels = np.arange(_SYNTHETIC_IMAGES, dtype=np.int64) % len(SYNTHETIC_CLASSES)
    masks = np.empty((_SYNTHETIC_IMAGES, _SIDE, _SIDE))
    for label, name in enumerate(SYNTHETIC_CLASSES):
        is_it = labels == label
        masks[is_it] = _masks(name, int(is_it.sum()), rng)
    paper, ink = rng.uniform(0, 1, (2, _SYNTHETIC_IMAGES, 3, 1, 1))
    too_near = np.abs(ink - paper).max(axis=1, keepdims=True) < 0.3
    ink = np.where(too_near, (paper + 0.5) % 1.0, ink)
    images = paper + (ink - paper) * masks[:, None]
    images += rng.normal(0, 0.08, images.shape)
    pixels = np.floor(np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Pool(
        origin="synthetic",
        train=Labelled(images=pixels, labels=labels),
        class_names=SYNTHETIC_CLASSES,
    )


def _masks(name: str, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, side, side) of 0 and 1: where the ink is."""
    place = rng.uniform(-0.2, 0.2, (2, count, 1, 1))
    size = rng.uniform(0.4, 0.7, (count, 1, 1))
    axis = (np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1  # -1 to 1 across the image
    y, x = axis[None, :, None] - place[0], axis[None, None, :] - place[1]
    radius, reach = np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
    period = rng.uniform(3.0, 6.0, (count, 1, 1)) * np.pi
    ink: NDArray[np.bool_]
    match name:
        case "disc":
            ink = radius < size
        case "ring":
            ink = (radius < size) & (radius > size * 0.6)
        case "square":
            ink = reach < size * 0.85
        case "cross":
            ink = (np.minimum(np.abs(x), np.abs(y)) < size * 0.3) & (reach < size)
        case "triangle":
            ink = (np.abs(y) < size) & (np.abs(x) < (y + size) / 2)
        case "rows":
            ink = np.broadcast_to(np.sin(y * period) > 0, radius.shape)
        case "columns":
            ink = np.broadcast_to(np.sin(x * period) > 0, radius.shape)
        case _:
            ink = (np.sin(x * period) > 0) ^ (np.sin(y * period) > 0)
    return ink.astype(np.float64)


def _refuse_path(spec: DataSpec) -> None:
    if spec.path is not None:
        raise DataError(
            f"data.path: the source {spec.source!r} reads no file; got {spec.path!r}. Take "
            "data.path out, or name a source that reads files: idx, npz"
        )
