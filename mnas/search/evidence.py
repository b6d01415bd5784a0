"""What scores say so far, in one unit: rungs brought together, a long tail drawn in, forgetting."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnas.results import non_dominated
from mnas.search.ground import Facts
from mnas.search.surrogate import Inputs

Numbers = NDArray[np.float64]
# Above so many scored networks the less telling half is forgotten, so that a proposal costs the
# same however long the search is.
MOST_KEPT = 384
# Weight, in pairs, of the belief that a rung's differences are those of the rung below.
_SAME_SLOPE = 3.0
# Scores further below the middle than this, in units of the better half's spread, count as if
# they were less far: how bad the bad ones are says little about the best.
_TAIL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How scores and what the model sees of them belong together.

    Attributes:
        middle: The median score.
        spread: Root mean square distance of the better half to it; above 0.
    """

    middle: float
    spread: float

    def standardised(self, scores: Numbers) -> Numbers:
        """Around 0, the long tail of bad ones drawn in by a logarithm."""
        z = (scores - self.middle) / self.spread
        return np.where(z < -_TAIL, -_TAIL - np.log1p(np.maximum(-_TAIL - z, 0)), z)


class Evidence:
    """Scored networks, the telling ones of them."""

    def __init__(self) -> None:
        self.count = 0  # of all that were ever added
        self._facts: Facts | None = None
        self._inputs: Inputs | None = None
        self._scores: list[tuple[float, ...]] = []

    @property
    def facts(self) -> Facts:
        """What is known exactly of the networks that are kept, in the order they were added."""
        assert self._facts is not None
        return self._facts

    @property
    def inputs(self) -> Inputs:
        """What the model sees of the same networks."""
        assert self._inputs is not None
        return self._inputs

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, facts: Facts, inputs: Inputs, scores: Sequence[float]) -> None:
        """Take in one network.

        Args:
            facts: Of this network alone.
            inputs: Of this network alone.
            scores: One for each rung that it finished, the lowest first.
        """
        self._facts = facts if self._facts is None else self._facts.stacked(facts)
        self._inputs = inputs if self._inputs is None else self._inputs.stacked(inputs)
        self._scores.append(tuple(scores))
        self.count += 1
        if len(self) > MOST_KEPT:
            self._forget()

    def scores(self) -> tuple[Numbers, Numbers]:
        """The score of each network at the highest rung that any of them finished.

        Where it finished a lower one only, the score is carried up by a line through the networks
        that finished both.

        Returns:
            (n,) scores, and (n,) the variance that carrying them up adds; 0 where none was.
        """
        rungs = max(len(each) for each in self._scores)
        values = np.full((len(self), rungs), np.nan)
        for index, each in enumerate(self._scores):
            values[index, : len(each)] = each
        carried, variance = values[:, 0], np.zeros(len(self))
        for rung in range(1, rungs):
            has = np.isfinite(values[:, rung])
            slope, offset, noise = _line(values[:, rung - 1][has], values[:, rung][has])
            carried = np.where(has, values[:, rung], offset + slope * carried)
            variance = np.where(has, 0.0, slope**2 * variance + noise)
        return carried, variance

    def standardised(self) -> tuple[Numbers, Numbers, Scale]:
        """Scores and their added variances as the model sees them, and the way back."""
        scores, variance = self.scores()
        middle = float(np.median(scores))
        better = scores[scores >= middle] - middle
        spread = float(np.sqrt(np.mean(better**2))) or 1.0
        scale = Scale(middle=middle, spread=spread)
        return scale.standardised(scores), variance / spread**2, scale

    def _forget(self) -> None:
        """Keep a quarter of the most as the best, a quarter as the latest, and some of the rest."""
        quarter = MOST_KEPT // 4
        latest = np.arange(len(self) - quarter, len(self))
        first = self.facts.factors * self.scores()[0]
        best = _best(np.column_stack([-first, self.facts.costs]), quarter)
        others = np.setdiff1d(np.arange(len(self)), np.concatenate([latest, best]))
        spread = others[np.linspace(0, len(others) - 1, quarter).astype(np.intp)]
        kept = np.unique(np.concatenate([latest, best, spread]))
        self._facts = self.facts[kept]
        self._inputs = self.inputs[kept]
        self._scores = [self._scores[index] for index in kept]


def _line(low: Numbers, high: Numbers) -> tuple[float, float, float]:
    """Slope, offset and residual variance of scores at a rung given those at the rung below."""
    if not len(low):
        return 1.0, 0.0, 0.0
    low_mean, high_mean = float(low.mean()), float(high.mean())
    prior = _SAME_SLOPE * (float(low.var()) or 1.0)
    both = float(np.sum((low - low_mean) * (high - high_mean)))
    slope = (both + prior) / (float(np.sum((low - low_mean) ** 2)) + prior)
    offset = high_mean - slope * low_mean
    left = high - offset - slope * low
    return slope, offset, float(np.sum(left**2)) / max(1, len(low) - 1)


def _best(costs: Numbers, wanted: int) -> NDArray[np.intp]:
    """Indices of the first fronts, until there are as many as wanted."""
    left, found = np.arange(len(costs)), np.empty(0, np.intp)
    while len(found) < wanted and len(left):
        is_front = non_dominated(costs[left])
        found = np.concatenate([found, left[is_front]])
        left = left[~is_front]
    return found[:wanted]
