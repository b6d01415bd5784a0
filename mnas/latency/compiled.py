"""Predicting the networks of one space from their encodings, vectorised. Needs no torch."""

import functools
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mnas.arch import PlannedBlock
from mnas.latency.prediction import NetworkPredictor

Rows = NDArray[np.uint8]
Numbers = NDArray[np.float64]


class CompiledChoices(Protocol):
    """What this room asks of a compiled search space."""

    def block_sum(self, cost: Callable[[PlannedBlock], float], /) -> Callable[[Rows], Numbers]: ...


class CompilableSpace(Protocol):
    """What this room asks of a search space whose networks are predicted by the million."""

    def reachable_blocks(self) -> Mapping[str, PlannedBlock]: ...

    def compile(self) -> CompiledChoices: ...


class CompiledLatency:
    """The latency of encodings: rows of option indices, uint8 (n, choices), as a space compiles.

    Calling it gives (n,) milliseconds. They equal `LatencyTable.predict` of the decoded
    architectures to the last bit, so that both agree on every feasibility decision.

    Args:
        predictor: Of the table; it knows or has foreseen every block of the space.
        choices: The compiled space.
    """

    def __init__(self, predictor: NetworkPredictor, choices: CompiledChoices) -> None:
        self._predictor = predictor
        self._choices = choices
        self._sum = choices.block_sum(lambda block: predictor.cost_of(block)[0])

    def __call__(self, rows: Rows) -> Numbers:
        return self._corrected(self._raw(rows))

    def predicted_share(self, rows: Rows) -> Numbers:
        """Part of each sum, in [0, 1], that comes from blocks which were not measured."""
        return self._unmeasured(rows) / self._raw(rows)

    def low_ms(self, rows: Rows) -> Numbers:
        """Lower ends of the 90 % intervals; NaN where the table is unverified."""
        return self(rows) * np.maximum(0.0, 1 - self._margins(rows))

    def high_ms(self, rows: Rows) -> Numbers:
        """Upper ends of the 90 % intervals; NaN where the table is unverified."""
        return self(rows) * (1 + self._margins(rows))

    @functools.cached_property
    def _unmeasured(self) -> Callable[[Rows], Numbers]:
        return self._choices.block_sum(lambda block: self._predictor.cost_of(block)[1])

    @functools.cached_property
    def _stretched(self) -> Callable[[Rows], Numbers]:
        return self._choices.block_sum(lambda block: self._predictor.stretched_cost_of(block)[0])

    def _raw(self, rows: Rows) -> Numbers:
        return self._predictor.empty_ms + self._sum(rows)

    def _corrected(self, raw: Numbers) -> Numbers:
        calibration = self._predictor.calibration
        return np.maximum(calibration.scale * raw + calibration.offset_ms, raw / 10)

    def _margins(self, rows: Rows) -> Numbers:
        predictor, margin = self._predictor, self._predictor.margin
        if margin is None:
            return np.full(len(rows), np.nan)
        shares = self.predicted_share(rows)
        if not shares.any():
            return np.full(len(rows), margin)
        error = predictor.missing_error
        beyond = error.margin * np.maximum(0.0, shares - predictor.verified_share)
        return margin + beyond + error.growth * (self._stretched(rows) / self._raw(rows))
