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
        pixels: (m, r, r, c) uint8, channels last; perhaps a file that is read where it is looked
            at, so ask for images with `take`.
        rows: (n,) int64, where in `pixels` each image is; None where m is n, in order.
        labels: (n,) int64.
        num_classes: How many classes there are.
        offset: (c,) mean pixel, 0 to 255.
        scale: (c,) one over the standard deviation of a pixel, 0 to 255.
    """

    pixels: Tensor
    rows: Tensor | None
    labels: Tensor
    num_classes: int
    offset: Tensor
    scale: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Tensor) -> Tensor:
        """(k, r, r, c) pixels of images, by their numbers (k,) among all n."""
        return self.pixels[chosen if self.rows is None else self.rows[chosen]]

    def normalised(self, pixels: Tensor) -> Tensor:
        """(n, r, r, c) pixels as the (n, c, r, r) channels_last floats a network takes."""
        offset, scale = self.offset.to(pixels.device), self.scale.to(pixels.device)
        return ((pixels.float() - offset) * scale).permute(0, 3, 1, 2)

    def in_order(
        self, batch_size: int, limit: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches without augmentation, in the order of the split, of the first `limit` images."""
        count = len(self) if limit is None else min(limit, len(self))
        for start in range(0, count, batch_size):
            chosen = torch.arange(start, min(start + batch_size, count))
            yield self.normalised(self.take(chosen)), self.labels[chosen]


def images_of(split: Split, data: Dataset, indices: NDArray[np.int64] | None = None) -> Images:
    """Take images of a split, normalised by the data's mean and deviation.

    Args:
        split: At the resolution the network takes; if it is a file, it stays one.
        data: Whose `mean` and `std` count.
        indices: Which images; None for all.
    """
    rows, pixels = indices, split.images.transpose(0, 2, 3, 1)
    if split.file is None:
        chosen = slice(None) if indices is None else indices
        rows, pixels = None, pixels[chosen].copy(order="C")
    labels = split.labels if indices is None else split.labels[indices]
    return Images(
        pixels=torch.from_numpy(pixels),
        rows=None if rows is None else torch.from_numpy(rows),
        labels=torch.from_numpy(labels.copy()),
        num_classes=data.num_classes,
        offset=torch.tensor(data.mean, dtype=torch.float32) * 255,
        scale=1 / (torch.tensor(data.std, dtype=torch.float32) * 255),
    )
