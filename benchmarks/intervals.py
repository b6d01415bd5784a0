"""Means of repeats with their intervals, for the benchmarks beside it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over repeats with its 95 % interval (Student's t); None with one repeat."""

    mean: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of independent repeats."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean=mean, low=None, high=None)
    error = statistics.stdev(values) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Estimate(mean=mean, low=mean - reach, high=mean + reach)


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Estimate:
    """Geometric mean of first over second, with its interval."""
    logs = estimate([math.log(first / second) for first, second in pairs])
    bounds = (logs.low, logs.high)
    low, high = (None if bound is None else math.exp(bound) for bound in bounds)
    return Estimate(mean=math.exp(logs.mean), low=low, high=high)
