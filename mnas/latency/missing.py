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
_REWEIGHTINGS = 8
_SHORT = 0.05  # half of this quantile of the times is the least a block is predicted to take
_LARGEST_LOG = math.log(3)  # the booster refines the physical model, it does not replace it


class _Booster(Protocol):
    def predict(self, rows: NDArray[np.float64], /) -> NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingError:
    """How far predictions of blocks are from their times, by cross-validation over blocks.

    Attributes:
        mean: Mean absolute error relative to the prediction.
        margin: 90 % of the blocks erred by less.
    """

    mean: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBlockModel:
    """Non-negative least squares on physical features, times a boosted residual.

    Attributes:
        weights: (features,) milliseconds for one unit of each feature.
        booster: Predicts the logarithm of measured over physical; None with too few rows.
        least_ms: No prediction is below this.
        largest_log: Bound of the booster's correction, on both sides.
        error: What it errs by on blocks that it was not fitted to.
    """

    weights: NDArray[np.float64]
    booster: _Booster | None
    least_ms: float
    largest_log: float
    error: MissingError

    def predict_ms(self, blocks: Sequence[PlannedBlock]) -> NDArray[np.float64]:
        """Predict how long each of some blocks takes, in milliseconds, always above zero."""
        return self._predict(np.array([features_of(block) for block in blocks]))

    def _predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        # Row by row: a block's prediction does not depend on which others are asked for with it.
        physical = np.asarray(np.maximum((rows * self.weights).sum(axis=1), self.least_ms))
        if self.booster is None:
            return physical
        log_ratio = self.booster.predict(_for_booster(rows, physical))
        return np.asarray(
            physical * np.exp(np.clip(log_ratio, -self.largest_log, self.largest_log))
        )


_UNKNOWN = MissingError(mean=1.0, margin=1.0)


def fit_missing_model(
    blocks: Sequence[PlannedBlock], times_ms: Sequence[float]
) -> MissingBlockModel:
    """Learn from measured blocks what others would take.

    Args:
        blocks: At least one measured block.
        times_ms: Their times, above zero, in the same order.

    Returns:
        The model, with its own error by cross-validation over blocks. With fewer blocks than
        folds there is no such error: it then counts as 1 (100 %).
    """
    rows = np.array([features_of(block) for block in blocks])
    times = np.asarray(times_ms, dtype=np.float64)
    if len(rows) < _FOLDS:
        return _fit(rows, times, error=_UNKNOWN)
    fold = np.random.default_rng(0).permutation(len(rows)) % _FOLDS
    errors = np.empty(len(rows))
    for left_out in range(_FOLDS):
        inside, outside = fold != left_out, fold == left_out
        predicted = _fit(rows[inside], times[inside], error=_UNKNOWN)._predict(rows[outside])
        errors[outside] = np.abs(times[outside] - predicted) / predicted
    margin = float(np.quantile(errors, _COVERAGE, method="higher"))
    return _fit(rows, times, error=MissingError(mean=float(errors.mean()), margin=margin))


def _fit(
    rows: NDArray[np.float64], times: NDArray[np.float64], *, error: MissingError
) -> MissingBlockModel:
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
    return MissingBlockModel(
        weights=weights,
        booster=booster,
        least_ms=least,
        largest_log=float(np.abs(log_ratio).max()),
        error=error,
    )


def _for_booster(rows: NDArray[np.float64], physical: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log1p(np.column_stack([rows, physical * 1e6]))
