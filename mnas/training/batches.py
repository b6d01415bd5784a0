"""Batches of images as tensors, every random choice drawn from (seed, epoch, step)."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnas.training.dataset import Dataset, Split


def stream(seed: int, *what: int | str) -> int:
    """A seed of its own for each purpose: 63 bits of the sha256 of the seed and the purpose."""
    digest = hashlib.sha256(repr((seed, *what)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """Images as the loop wants them.

    Attributes:
        pixels: (n, r, r, c) uint8, channels last.
        labels: (n,) int64.
        offset: (c,) mean pixel, 0 to 255.
        scale: (c,) one over the standard deviation of a pixel, 0 to 255.
    """

    pixels: Tensor
    labels: Tensor
    offset: Tensor
    scale: Tensor

    def normalised(self, pixels: Tensor) -> Tensor:
        """(n, r, r, c) pixels as the (n, c, r, r) channels_last floats a network takes."""
        return ((pixels.float() - self.offset) * self.scale).permute(0, 3, 1, 2)

    def in_order(
        self, batch_size: int, limit: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches without augmentation, in the order of the split, of the first `limit` images."""
        count = len(self.labels) if limit is None else min(limit, len(self.labels))
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            yield self.normalised(self.pixels[start:stop]), self.labels[start:stop]


def images_of(split: Split, data: Dataset, indices: NDArray[np.int64] | None = None) -> Images:
    """Take images of a split, normalised by the data's mean and deviation.

    Args:
        split: At the resolution the network takes.
        data: Whose `mean` and `std` count.
        indices: Which images; None for all.
    """
    chosen = slice(None) if indices is None else indices
    pixels = split.images[chosen].transpose(0, 2, 3, 1).copy(order="C")
    return Images(
        pixels=torch.from_numpy(pixels),
        labels=torch.from_numpy(split.labels[chosen].copy()),
        offset=torch.tensor(data.mean, dtype=torch.float32) * 255,
        scale=1 / (torch.tensor(data.std, dtype=torch.float32) * 255),
    )


def augmented(pixels: Tensor, *, shift: float, flip: bool, seed: int) -> Tensor:
    """Move each image by its own number of pixels, and mirror some.

    What moves in from outside is black, as in the random crop of padded images (He et al. 2015,
    arXiv:1512.03385, section 4.2).

    Args:
        pixels: (n, r, r, c).
        shift: Furthest move in each direction, as a share of the side; rounded to pixels.
        flip: Whether to mirror half of the images left to right.
        seed: Decides everything.

    Returns:
        (n, r, r, c), a new tensor where anything is done.
    """
    count, side = pixels.shape[0], pixels.shape[1]
    reach = round(shift * side)
    if reach == 0 and not flip:
        return pixels
    generator = torch.Generator().manual_seed(seed)
    moves = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator)
    is_mirrored = torch.rand((count, 1), generator=generator) < (0.5 if flip else 0.0)
    padded = torch.nn.functional.pad(pixels, (0, 0, reach, reach, reach, reach))
    along = torch.arange(side)
    across = torch.where(is_mirrored, side - 1 - along, along)
    rows, columns = moves[0] + along, moves[1] + across
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
