"""From a table's rows to the time of a whole network, with its margin. Needs no torch."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence

from mnas.arch import Architecture, PlannedBlock, plan, planned_from_key
from mnas.latency.missing import MissingBlockModel, fit_missing_model
from mnas.latency.target import Calibration, Latency, Verification

COVERAGE = 0.9


class NetworkPredictor:
    """Adds up blocks; remembers the ones it had to predict.

    A network takes one empty call and, for each block, what the block adds to an empty call.

    Args:
        measured_ms: Milliseconds of each measured block over an empty call, by key; not empty.
        empty_ms: Milliseconds of the empty call.
        calibration: Correction of the sum; None for none.
        margin: Half the 90 % interval as a fraction of the prediction; None if unknown.
    """

    def __init__(
        self,
        measured_ms: Mapping[str, float],
        empty_ms: float,
        calibration: Calibration | None,
        margin: float | None,
    ) -> None:
        self._measured_ms = dict(measured_ms)
        self._predicted_ms: dict[str, float] = {}
        self._empty_ms = empty_ms
        self._calibration = calibration or Calibration(scale=1.0, offset_ms=0.0)
        self._margin = margin

    def raw_ms(self, blocks: Iterable[PlannedBlock]) -> tuple[float, float]:
        """The sum of a network before any correction, and the part of it that was not measured."""
        total, unmeasured = self._empty_ms, 0.0
        for block in blocks:
            cost = self._measured_ms.get(block.key)
            if cost is None:
                cost = self._missing(block)
                unmeasured += cost
            total += cost
        return total, unmeasured

    def latency_of(self, arch: Architecture) -> Latency:
        """Predict a network; see `LatencyTable.predict`."""
        raw, unmeasured = self.raw_ms(plan(arch).blocks)
        ms, share = self._calibration.apply(raw), unmeasured / raw
        if self._margin is None:
            return Latency(ms=ms, low_ms=None, high_ms=None, predicted_share=share)
        # Errors of predicted blocks may all have one sign, so their margins add up.
        margin = self._margin + (share * self._missing_model.margin if share else 0.0)
        return Latency(
            ms=ms,
            low_ms=ms * max(0.0, 1 - margin),
            high_ms=ms * (1 + margin),
            predicted_share=share,
        )

    def _missing(self, block: PlannedBlock) -> float:
        known = self._predicted_ms.get(block.key)
        if known is None:
            known = float(self._missing_model.predict_ms([block])[0])
            self._predicted_ms[block.key] = known
        return known

    @functools.cached_property
    def _missing_model(self) -> MissingBlockModel:
        return fit_missing_model(
            [planned_from_key(key) for key in self._measured_ms], list(self._measured_ms.values())
        )


def conformal_margin(residuals: Sequence[float], coverage: float = COVERAGE) -> float | None:
    """The relative margin that covers a new network with at least the given probability.

    Split-conformal prediction (Lei et al. 2018, arXiv:1604.04173, section 2.2).

    Args:
        residuals: Absolute held-out errors relative to the prediction.
        coverage: Wanted probability, in (0, 1).

    Returns:
        The margin as a fraction, or None if there are too few residuals to promise it.
    """
    rank = math.ceil((len(residuals) + 1) * coverage)
    return sorted(residuals)[rank - 1] if rank <= len(residuals) else None


def held_out_residuals(verification: Verification, calibration: Calibration) -> list[float]:
    """Absolute errors relative to the corrected prediction, of networks not fitted on."""
    predicted = (
        (network.measured_ms, calibration.apply(network.predicted_ms))
        for network in verification.networks
        if not network.fitted
    )
    return [abs(measured - corrected) / corrected for measured, corrected in predicted]
