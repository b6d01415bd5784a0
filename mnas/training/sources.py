"""What a data source gives, and the sources that need no file: `digits` and `synthetic`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnas.training.pictures import Encoded
from mnas.training.specs import DataError, DataSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """Images as a source has them, with their labels.

    Attributes:
        images: (n, c, h, h), or encoded ones.
        labels: (n,) class of each image.
    """

    images: NDArray[np.uint8] | Encoded
    labels: NDArray[np.int64]

    def taken(self, indices: NDArray[np.int64]) -> "Labelled":
        """Some of them, in the order of `indices`."""
        images = self.images
        chosen = images.taken(indices) if isinstance(images, Encoded) else images[indices]
        return Labelled(images=chosen, labels=self.labels[indices])


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
    refuse_path(spec)
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
_MOST_SYNTHETIC_SIDE = 512  # 2400 colour images of it are 1.9 GB


def synthetic(spec: DataSpec) -> Pool:
    """2400 colour images of shapes and textures, drawn from the seed.

    Place, size, period, colours and noise vary; a class is told by form alone. They are drawn at
    32x32 pixels, or at as many as `synthetic:SIDE` says.
    """
    refuse_path(spec)
    side = _synthetic_side(spec)
    rng = np.random.default_rng([spec.seed, 32])
    labels = np.arange(_SYNTHETIC_IMAGES, dtype=np.int64) % len(SYNTHETIC_CLASSES)
    pixels = np.empty((_SYNTHETIC_IMAGES, 3, side, side), np.uint8)
    masks = {
        label: _masks(name, int((labels == label).sum()), rng, side)
        for label, name in enumerate(SYNTHETIC_CLASSES)
    }
    paper, ink = rng.uniform(0, 1, (2, _SYNTHETIC_IMAGES, 3, 1, 1))
    too_near = np.abs(ink - paper).max(axis=1, keepdims=True) < 0.3
    ink = np.where(too_near, (paper + 0.5) % 1.0, ink)
    for number, label in enumerate(labels):
        mask = next(masks[int(label)])
        image = paper[number] + (ink[number] - paper[number]) * mask
        image += rng.normal(0, 0.08, image.shape)
        pixels[number] = np.floor(np.clip(image, 0, 1) * 255 + 0.5)
    return Pool(
        origin=spec.source,
        train=Labelled(images=pixels, labels=labels),
        class_names=SYNTHETIC_CLASSES,
    )


def _synthetic_side(spec: DataSpec) -> int:
    argument = spec.argument
    if argument is None:
        return _SIDE
    if not argument.isascii() or not argument.isdigit():
        argument = "0"
    side = int(argument[:9])
    if not 8 <= side <= _MOST_SYNTHETIC_SIDE:
        raise DataError(
            f"data.source: {spec.source!r}: synthetic:SIDE takes a side of 8 to "
            f"{_MOST_SYNTHETIC_SIDE} pixels, such as synthetic:96"
        )
    return side


def _masks(
    name: str, count: int, rng: np.random.Generator, side: int
) -> Iterator[NDArray[np.bool_]]:
    """For each image (side, side): where the ink is."""
    places = rng.uniform(-0.2, 0.2, (2, count))
    sizes, periods = rng.uniform(0.4, 0.7, count), rng.uniform(3.0, 6.0, count) * np.pi
    axis = (np.arange(side) + 0.5) / side * 2 - 1  # -1 to 1 across the image
    return (
        _mask(name, axis[:, None] - y, axis[None, :] - x, size, period)
        for y, x, size, period in zip(*places, sizes, periods, strict=True)
    )


def _mask(
    name: str, y: NDArray[np.float64], x: NDArray[np.float64], size: float, period: float
) -> NDArray[np.bool_]:
    """Where the ink of one image is; y and x are the places of its pixels from its middle."""
    radius, reach = np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
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
    return ink


def refuse_path(spec: DataSpec) -> None:
    """See that no path is given to a source that reads no file.

    Raises:
        DataError: One is.
    """
    if spec.path is not None:
        raise DataError(
            f"data.path: the source {spec.source!r} reads no file; got {spec.path!r}. Take "
            "data.path out, or name a source that reads files, such as idx or imagefolder"
        )
