"""Images of the data, as an exported file takes them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mnas.training import Dataset, DataSpec, Split, load_data

Progress = Callable[[int, int, str], None]
_BATCH = 32


def images_at(resolution: int, data: Dataset | DataSpec, progress: Progress) -> Dataset:
    """Data at a network's resolution, read if it is not yet, and without its test images.

    Raises:
        DataError: It cannot be read.
    """
    if isinstance(data, DataSpec):
        progress(0, 0, data.announcement)
        data = load_data(data, resolution)
    return data.without_test().resized(resolution)


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(x / 255 - mean) / std.

    Args:
        images: (n, channels, height, width) uint8.
        mean: Of each channel, in units of [0, 1].
        std: Of each channel, in the same unit.
    """
    centre, spread = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    return (images / 255 - centre) / spread


def batches_of(split: Split, data: Dataset, limit: int | None = None) -> Iterator[Tensor]:
    """Normalised images (n, channels, resolution, resolution), in the order of the split.

    Args:
        split: At the network's resolution.
        data: Whose mean and deviation count.
        limit: How many images, the first ones; None for all.
    """
    count = len(split) if limit is None else min(limit, len(split))
    for start in range(0, count, _BATCH):
        pixels = np.ascontiguousarray(split.images[start : min(start + _BATCH, count)])
        yield normalised(torch.from_numpy(pixels), data.mean, data.std)
