"""Which candidates climb to the next rung: asynchronous successive halving.

Li et al. 2020, arXiv:1810.05934, in its stopping form: a candidate that has just finished a rung
goes on at once if it is among the best share of those that finished it so far, else it stops.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

KEPT_SHARE = 1 / 3
# A rung compares with the last so many that finished it: a search learns, so that older ones say
# less, and the cost of a comparison stays the same however long the search is.
WINDOW = 1000


def is_promoted(costs: Sequence[Sequence[float]], share: float = KEPT_SHARE) -> bool:
    """Whether the newest result of a rung goes on.

    Candidates are ranked by non-dominated sorting; within a front the less crowded come first
    (Deb et al. 2002, NSGA-II, sections III.A and III.B).

    Args:
        costs: (n, m), lower is better, one row for each candidate that finished the rung, the
            newest last.
        share: Of the candidates that go on, in (0, 1].

    Returns:
        True if it is among the first max(1, n * share); ties are against the newest.
    """
    array = np.asarray(costs, dtype=np.float64)
    newest = len(array) - 1
    places = max(1, int(len(array) * share))
    if array.shape[1] == 1:  # one objective: every front is one value, so ranking is enough
        return int(np.count_nonzero(array[:-1, 0] <= array[-1, 0])) < places
    beats = _beats(array)
    left, beaten_by = np.ones(len(array), dtype=np.bool_), beats.sum(axis=0)
    while True:
        front = np.flatnonzero(left & (beaten_by == 0))
        if newest in front:
            by_crowding = front[np.argsort(-_crowding(array[front]), kind="stable")]
            return int(np.flatnonzero(by_crowding == newest)[0]) < places
        places -= len(front)
        if places <= 0:
            return False
        left[front] = False
        beaten_by -= beats[front].sum(axis=0)


def _beats(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n, n): whether the row of the first index is nowhere worse and somewhere better."""
    no_worse = np.ones((len(costs), len(costs)), dtype=np.bool_)
    for column in costs.T:
        no_worse &= column[:, None] <= column[None, :]
    return no_worse & ~no_worse.T  # equal rows do not beat each other


def _crowding(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each row to its neighbours in the front; the ends are infinitely far."""
    distance = np.zeros(len(costs))
    for column in costs.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[0]] = distance[order[-1]] = np.inf
        if span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance
