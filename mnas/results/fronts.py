"""Which candidates no other beats, and how much a front covers. Lower costs are better."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(costs: ArrayLike) -> NDArray[np.bool_]:
    """Mark the candidates that no other candidate beats.

    One beats another if it is nowhere worse and somewhere better; equal rows do not beat each
    other.

    Args:
        costs: (n, m) array, lower is better.

    Returns:
        (n,) mask in the order of `costs`.

    Raises:
        ValueError: A cost is NaN (failed candidates do not belong in a front), or the array does
            not have two dimensions.
    """
    values = _costs(costs)
    if len(values) == 0:
        return np.zeros(0, dtype=np.bool_)
    unique, inverse = np.unique(values, axis=0, return_inverse=True)
    front: list[int] = []
    # Rows are sorted, so whatever beats a row stands before it, and if anything beats it then
    # something of the front does.
    for index, row in enumerate(unique):
        if not front or not np.all(unique[front] <= row, axis=1).any():
            front.append(index)
    return np.isin(inverse.reshape(-1), front)


def hypervolume(costs: ArrayLike, reference: ArrayLike) -> float:
    """The volume that the costs dominate, up to a reference point (Zitzler and Thiele 1998).

    Exact in any number of dimensions, by slicing along the last cost; meant for a few hundred
    points in two or three dimensions.

    Args:
        costs: (n, m) array, lower is better; rows that are not below the reference add nothing.
        reference: (m,) point, in the same units.

    Returns:
        The volume in the product of the units of the costs; higher is better, 0 for no points.

    Raises:
        ValueError: A cost is NaN, or costs and reference differ in the number of dimensions.
    """
    values, corner = _costs(costs), np.asarray(reference, dtype=np.float64)
    if corner.ndim != 1 or values.shape[1] != len(corner):
        raise ValueError(
            f"the reference must have one number for each cost: got {corner.shape} "
            f"for costs of shape {values.shape}"
        )
    if np.isnan(corner).any():
        raise ValueError("the reference holds NaN")
    inside = values[(values < corner).all(axis=1)]
    return _volume(inside[non_dominated(inside)], corner)


def _volume(points: NDArray[np.float64], corner: NDArray[np.float64]) -> float:
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(corner[0] - points.min())
    ordered = points[np.argsort(points[:, -1], kind="stable")]
    ends = np.append(ordered[1:, -1], corner[-1])
    return sum(
        (
            float(end - start) * _volume(ordered[: index + 1, :-1], corner[:-1])
            for index, (start, end) in enumerate(zip(ordered[:, -1], ends, strict=True))
            if end > start
        ),
        0.0,
    )


def _costs(costs: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(costs, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"costs must be an (n, m) array, one row for each candidate; got shape {values.shape}"
        )
    if np.isnan(values).any():
        raise ValueError("a cost is NaN: failed candidates do not belong in a front")
    return values
