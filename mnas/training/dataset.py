"""Images in three splits, as values that travel to workers. Needs no torch."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mnas.training.specs import DataError
from mnas.training.storing import DecodedImages, open_images, resized_images


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Some images and what they show.

    A split whose images are a file travels to other processes by the file's path.

    Attributes:
        images: (n, c, r, r) at the data set's resolution.
        labels: (n,) class of each image.
        native: What every resolution is made from, so that an image does not depend on the
            resolutions it went through: (n, c, h, h) as the source has them, which is `images`
            itself where the resolution is the source's own; or images that were decoded.
        file: Where `images` lie as (n, r, r, c), if they are read from a file when they are looked
            at; None if they are in memory.
    """

    images: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    native: NDArray[np.uint8] | DecodedImages = field(repr=False)
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def resized(self, resolution: int) -> "Split":
        """The same images at another resolution (side in pixels)."""
        if resolution == self.images.shape[-1]:
            return self
        return split_of(self.native, self.labels, resolution)

    def __reduce__(self) -> tuple[Any, ...]:
        images = self.images if self.file is None else self.images.shape
        return _travelled, (images, self.labels, self.native, self.file)


def split_of(
    native: NDArray[np.uint8] | DecodedImages, labels: NDArray[np.int64], resolution: int
) -> Split:
    """A split at a resolution (side in pixels), made from what the source has."""
    if isinstance(native, DecodedImages):
        stored = native.at(resolution)
    else:
        stored = resized_images(native, resolution)
    return Split(images=stored.images, labels=labels, native=native, file=stored.file)


def _travelled(
    images: NDArray[np.uint8] | tuple[int, int, int, int],
    labels: NDArray[np.int64],
    native: NDArray[np.uint8] | DecodedImages,
    file: Path | None,
) -> Split:
    """A split that arrived in another process."""
    if isinstance(images, np.ndarray):
        return Split(images=images, labels=labels, native=native)
    assert file is not None
    count, channels, resolution, _ = images
    found = open_images(file, (count, resolution, resolution, channels))
    if found is None:
        raise DataError(
            f"{file}: these images are not on this machine; let the folder that MNAS_CACHE names "
            "lie where every machine of the search finds it"
        )
    return Split(images=found, labels=labels, native=native, file=file)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Images for training, validation (what the search reads) and test (what it never reads).

    Attributes:
        source: Name of the data source.
        train: What networks are trained on.
        val: What candidates are ranked on.
        test: What the final comparison reads once; None where it was taken away.
        num_classes: Classes, labelled 0 to num_classes - 1.
        channels: 1 for grey, 3 for colour.
        class_names: In the order of the labels.
        mean: Of each channel over the train split, pixels as 0 to 1.
        std: Standard deviation of each channel, in the same unit.
        fingerprint: 12 hex digits that differ when an image, a label, the division or the seed
            does; the same at every resolution, with and without test.
        resolution: Side of `images`, in pixels.
    """

    source: str
    train: Split
    val: Split
    test: Split | None
    num_classes: int
    channels: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    resolution: int

    def without_test(self) -> Self:
        """The same data without a single test image: what the search's workers get."""
        return replace(self, test=None)

    def resized(self, resolution: int) -> Self:
        """The same data at another resolution (side in pixels), made from the source's images."""
        if resolution == self.resolution:
            return self
        return replace(
            self,
            train=self.train.resized(resolution),
            val=self.val.resized(resolution),
            test=self.test.resized(resolution) if self.test is not None else None,
            resolution=resolution,
        )

    def card(self) -> dict[str, Any]:
        """What whoever deploys a network trained on this must know of the data, as JSON types."""
        return {
            "source": self.source,
            "fingerprint": self.fingerprint,
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "channels": self.channels,
            "resolution": self.resolution,
            "mean": list(self.mean),
            "std": list(self.std),
            "images": {
                "train": len(self.train),
                "val": len(self.val),
                "test": len(self.test) if self.test is not None else None,
            },
        }


def channel_statistics(
    images: NDArray[np.uint8],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, pixels as 0 to 1.

    Args:
        images: (n, c, h, w).

    Returns:
        Means and deviations; a constant channel has deviation 1, so that dividing is safe.
    """
    planes = (images[:, channel].ravel() for channel in range(images.shape[1]))
    return histogram_statistics(np.stack([np.bincount(each, minlength=256) for each in planes]))


def histogram_statistics(
    histogram: NDArray[np.int64],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The same from the numbers of pixels of each value.

    Args:
        histogram: (c, 256).
    """
    means, deviations = [], []
    values = np.arange(256) / 255
    for counts in histogram:
        share = counts / counts.sum()
        mean = float(share @ values)
        variance = float(share @ (values - mean) ** 2)
        means.append(mean)
        deviations.append(variance**0.5 if variance > 1e-12 else 1.0)
    return tuple(means), tuple(deviations)
