"""Dividing images so that every class has its share in every split."""

import math

import numpy as np
from numpy.typing import NDArray

from mnas.training.specs import DataError


def wanted_count(size: int | float | None, available: int, default: float) -> int:
    """How many images a split shall have; a share is rounded up.

    Args:
        size: A count, a share, or None for `default`.
        available: Images it is taken from.
        default: Share where nothing is asked.
    """
    share = default if size is None else size
    return share if isinstance(share, int) else math.ceil(share * available)


def stratified(
    labels: NDArray[np.int64], count: int, rng: np.random.Generator, what: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw images so that each class has its share of them, to within one image.

    Args:
        labels: (n,) classes.
        count: How many to draw, 1 to n.
        rng: Decides which.
        what: What they are for, named in the error.

    Returns:
        Indices of the drawn images and of the others, each in random order.

    Raises:
        DataError: More are asked than there are.
    """
    if not 1 <= count <= len(labels):
        raise DataError(f"{what}: asked for {count} images, there are {len(labels)}")
    order = rng.permutation(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * count / len(labels)
    quota = np.floor(exact).astype(np.int64)
    by_remainder = np.lexsort((rng.random(len(classes)), quota - exact))
    quota[by_remainder[: count - quota.sum()]] += 1
    is_drawn = np.zeros(len(labels), bool)
    for label, size in zip(classes, quota, strict=True):
        is_drawn[np.flatnonzero(labels[order] == label)[:size]] = True
    return order[is_drawn], order[~is_drawn]
