"""Predicting a block that was not measured from those that were."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mnas.arch import PlannedBlock
from mnas.latency.features import features_of

_ROWS_TO_BOOST = 40  # below, the physical model alone generalises better
_FOLDS = 5
_COVERAGE = 0.9
_FEW, _FEWEST = 22, 9
_BEYOND = (0.15, 0.3)  # parts of the blocks, at either end of their times, held out together
_LEAST_DISTANCE = 0.05  # nearer to the others a block says nothing of how errors grow
_ROUNDING = 1e-9  # a measured block is not outside because a sum was rounded
_RESAMPLES = 1000
_REWEIGHTINGS = 8
_SHORT = 0.05  # half of this quantile of the times is the least a block is predicted to take
_LARGEST_LOG = math.log(3)  # the booster refines the physical model, it does not replace it


class _Booster(Protocol):
    def predict(self, rows: NDArray[np.float64], /) -> NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingError:
    """How far predictions of blocks are from their times, on blocks that were held out.

    Attributes:
        mean: Mean absolute error relative to the prediction, among blocks like the measured ones.
        low: Lower end of its 90 % bootstrap interval, which is wide where few were measured.
        high: Upper end of it.
        margin: 90 % of such blocks erred by less.
        growth: What is added to the margin for each unit that a block lies outside of what was
            measured (`MissingBlockModel.distances`).
    """

    mean: float
    low: float
    high: float
    margin: float
    growth: float

    def margin_at(self, distance: float) -> float:
        """The margin of a block that lies so far outside of what was measured."""
        return self.margin + self.growth * distance


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBlockModel:
    """Non-negative least squares on physical features, times a boosted residual.

    Attributes:
        weights: (features,) milliseconds for one unit of each feature.
        booster: Predicts the logarithm of measured over physical; None with too few rows.
        least_ms: No prediction is below this.
        largest_log: Bound of the booster's correction, on both sides.
        lowest: (features + 1,) least logarithm of each feature, and of the physical time, among
            the blocks it was fitted to.
        highest: The largest ones.
    """

    weights: NDArray[np.float64]
    booster: _Booster | None
    least_ms: float
    largest_log: float
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]

    def predict_ms(self, blocks: Sequence[PlannedBlock]) -> NDArray[np.float64]:
        """Predict how long each of some blocks takes, in milliseconds, always above zero."""
        return self._predict(np.array([features_of(block) for block in blocks]))

    def distances(self, blocks: Sequence[PlannedBlock]) -> NDArray[np.float64]:
        """How far each of some blocks lies outside of the measured ones; 0 is inside.

        Returns:
            (n,) the largest logarithm of a factor by which a physical quantity of the block, or
            its physical time, lies beyond those of all measured blocks: 0.69 is twice as much.
        """
        return self._distances(np.array([features_of(block) for block in blocks]))

    def _distances(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        logs = _logs(rows, self._physical(rows))
        beyond = np.maximum(logs - self.highest, self.lowest - logs).max(axis=1)
        return np.asarray(np.where(beyond > _ROUNDING, beyond, 0.0))

    def _physical(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.maximum((rows * self.weights).sum(axis=1), self.least_ms))

    def _predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        # Row by row: a block's prediction does not depend on which others are asked for with it.
        physical = self._physical(rows)
        if self.booster is None:
            return physical
        log_ratio = self.booster.predict(_for_booster(rows, physical))
        return np.asarray(
            physical * np.exp(np.clip(log_ratio, -self.largest_log, self.largest_log))
        )


# With so few blocks that nothing can be held out, or none outside the others: 100 %, and as much
# more for each factor e.
_UNKNOWN = MissingError(mean=1.0, low=0.0, high=1.0, margin=1.0, growth=1.0)


def fit_missing_model(
    blocks: Sequence[PlannedBlock], times_ms: Sequence[float]
) -> MissingBlockModel:
    """Learn from measured blocks what others would take.

    Args:
        blocks: At least one measured block.
        times_ms: Their times, above zero, in the same order.
    """
    return _fit(*_as_arrays(blocks, times_ms))


def missing_error_of(blocks: Sequence[PlannedBlock], times_ms: Sequence[float]) -> MissingError:
    """What a model errs by that was learnt from such blocks; takes a dozen times its learning.

    Blocks like the measured ones are held out at random; for those beyond, the slowest and the
    fastest ones together, so that predicting them extrapolates as well.

    Args:
        blocks: At least one measured block.
        times_ms: Their times, above zero, in the same order.

    Returns:
        The errors. Of fewer blocks than folds nothing can be held out: 1 (100 %).
    """
    rows, times = _as_arrays(blocks, times_ms)
    if len(rows) < _FOLDS:
        return _UNKNOWN
    fold = np.random.default_rng(0).permutation(len(rows)) % _FOLDS
    errors = np.concatenate([_held_out(rows, times, fold == each)[0] for each in range(_FOLDS)])
    margin = _covering(errors, least=1.0)
    rank = np.argsort(np.argsort(times, kind="stable")) / len(rows)
    ends = (
        [_held_out(rows, times, rank < part) for part in _BEYOND],
        [_held_out(rows, times, rank >= 1 - part) for part in _BEYOND],
    )
    low, high = _mean_interval(errors)
    return MissingError(
        mean=float(errors.mean()),
        low=low,
        high=high,
        margin=margin,
        growth=max(_growth(end, margin) for end in ends),
    )


def _as_arrays(
    blocks: Sequence[PlannedBlock], times_ms: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([features_of(block) for block in blocks]), np.asarray(times_ms, np.float64)


def _held_out(
    rows: NDArray[np.float64], times: NDArray[np.float64], outside: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Relative errors of blocks that were held out, and how far outside each lies."""
    model = _fit(rows[~outside], times[~outside])
    predicted = model._predict(rows[outside])
    return np.abs(times[outside] - predicted) / predicted, model._distances(rows[outside])


def _growth(
    held_out: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], margin: float
) -> float:
    """What a margin has to grow by with the distance, so that it covers what lies outside too."""
    errors, distances = map(np.concatenate, zip(*held_out, strict=True))
    is_outside = distances > _LEAST_DISTANCE
    if not is_outside.any():
        return _UNKNOWN.growth
    growths = np.maximum(errors - margin, 0.0)[is_outside] / distances[is_outside]
    return _covering(growths, least=_UNKNOWN.growth)


def _covering(values: NDArray[np.float64], *, least: float) -> float:
    """What a further value exceeds with a probability of 10 % at most (split-conformal).

    Of few values the largest counts, which one in ten exceeds with some certainty only from 22 on;
    of fewer than nine nothing can be promised: then it is `least`, too.
    """
    if len(values) < _FEW:
        largest = float(values.max())
        return largest if len(values) >= _FEWEST else max(largest, least)
    return float(np.sort(values)[math.ceil((len(values) + 1) * _COVERAGE) - 1])


def _mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    drawn = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.05, 0.95])
    return float(low), float(high)


def _fit(rows: NDArray[np.float64], times: NDArray[np.float64]) -> MissingBlockModel:
    from scipy.optimize import nnls  # a second to load, wanted only where a block is missing

    unit = np.maximum(rows.max(axis=0), 1.0)
    scaled = rows / unit
    # Errors are relative, so that small blocks count too. They are so to the larger of time and
    # prediction: a block stored as far too short then counts as one error, not as a thousand.
    relative_to = np.ones(len(rows))
    for _ in range(_REWEIGHTINGS):
        weights, _ = nnls(scaled / relative_to[:, None], times / relative_to)
        relative_to = np.maximum(times, scaled @ weights)
    weights = weights / unit
    least = float(np.quantile(times, _SHORT)) / 2
    physical = np.maximum(rows @ weights, least)
    log_ratio = np.clip(np.log(times / physical), -_LARGEST_LOG, _LARGEST_LOG)
    booster: _Booster | None = None
    if len(rows) >= _ROWS_TO_BOOST:
        from sklearn.ensemble import GradientBoostingRegressor

        booster = GradientBoostingRegressor(
            n_estimators=150, max_depth=3, learning_rate=0.08, subsample=0.8, random_state=0
        ).fit(_for_booster(rows, physical), log_ratio)
    logs = _logs(rows, physical)
    return MissingBlockModel(
        weights=weights,
        booster=booster,
        lowest=logs.min(axis=0),
        highest=logs.max(axis=0),
        least_ms=least,
        largest_log=float(np.abs(log_ratio).max()),
    )


def _logs(rows: NDArray[np.float64], physical: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, features + 1) logarithms, in which a factor is a distance; nothing counts as one."""
    return np.column_stack([np.log(np.maximum(rows, 1.0)), np.log(physical)])


def _for_booster(rows: NDArray[np.float64], physical: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log1p(np.column_stack([rows, physical * 1e6]))
