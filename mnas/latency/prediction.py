"""From a table's rows to the time of a whole network, with its margin. Needs no torch."""

import functools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from mnas.arch import Architecture, PlannedBlock, planned_from_key
from mnas.latency.chains import Chains
from mnas.latency.missing import (
    MissingBlockModel,
    MissingError,
    fit_missing_model,
    missing_error_of,
)
from mnas.latency.target import Calibration, Latency, Verification

COVERAGE = 0.9
# Milliseconds are counted in steps of 2^-40 (a femtosecond). A double adds such numbers without any
# rounding up to eight seconds, in whatever order: so a network has one latency to the last bit,
# added block by block or taken from a compiled space, and is within a budget by both or by none.
_STEPS = 40


class NetworkPredictor:
    """Adds up blocks; remembers the ones it had to predict.

    A network takes one empty call and, for each block, what the block adds to an empty call.

    Args:
        measured_ms: Milliseconds of each measured block over an empty call, by key; not empty.
        empty_ms: Milliseconds of the empty call.
        calibration: Correction of the sum; None for none.
        margin: Half the 90 % interval as a fraction of the prediction; None if unknown.
        verified_share: Mean part of the sums, among the networks that the margin comes from, of
            blocks that were not measured: what they err by is in the margin already.
    """

    def __init__(
        self,
        measured_ms: Mapping[str, float],
        empty_ms: float,
        calibration: Calibration | None,
        margin: float | None,
        verified_share: float = 0.0,
    ) -> None:
        self._measured_ms = dict(measured_ms)
        self._cost_ms = {key: _in_steps(ms) for key, ms in measured_ms.items()}
        self._predicted_ms: dict[str, float] = {}
        self._stretched_ms: dict[str, float] = {}  # only blocks outside of the measured ones
        self._chains = Chains(self.cost_of)
        self._stretched = Chains(self.stretched_cost_of)
        self.empty_ms = _in_steps(empty_ms)
        self.calibration = calibration or Calibration(scale=1.0, offset_ms=0.0)
        self.margin = margin
        self.verified_share = verified_share

    def cost_of(self, block: PlannedBlock) -> tuple[float, float]:
        """What a block adds to a network's sum, and the part of it that was not measured."""
        cost = self._cost_ms.get(block.key)
        if cost is not None:
            return cost, 0.0
        if block.key not in self._predicted_ms:
            self.foresee([block])
        predicted = self._predicted_ms[block.key]
        return predicted, predicted

    def foresee(self, blocks: Collection[PlannedBlock]) -> None:
        """Predict those of some blocks that were not measured, all at once."""
        missing = {
            block.key: block
            for block in blocks
            if block.key not in self._cost_ms and block.key not in self._predicted_ms
        }
        if missing:
            model, blocks_missing = self._missing_model, list(missing.values())
            found = [_in_steps(ms) for ms in model.predict_ms(blocks_missing).tolist()]
            self._predicted_ms.update(zip(missing, found, strict=True))
            distances = model.distances(blocks_missing).tolist()
            self._stretched_ms.update(
                (key, _in_steps(ms * distance))
                for key, ms, distance in zip(missing, found, distances, strict=True)
                if distance
            )

    def stretched_cost_of(self, block: PlannedBlock) -> tuple[float, float]:
        """What a block adds, times its distance from the measured ones; and nothing."""
        self.cost_of(block)
        return self._stretched_ms.get(block.key, 0.0), 0.0

    def distance_of(self, block: PlannedBlock) -> float:
        """How far a block lies outside of the measured ones; see `MissingBlockModel.distances`."""
        cost, _ = self.cost_of(block)
        return self._stretched_ms.get(block.key, 0.0) / cost

    def raw_ms(self, blocks: Iterable[PlannedBlock]) -> tuple[float, float]:
        """The sum of a network before any correction, and the part of it that was not measured."""
        total, unmeasured = self.empty_ms, 0.0
        for block in blocks:
            cost, predicted = self.cost_of(block)
            total += cost
            unmeasured += predicted
        return total, unmeasured

    def raw_ms_of(self, arch: Architecture) -> tuple[float, float]:
        """The same of an architecture, without planning what was met before."""
        total, unmeasured = self._chains.sums(arch)
        return self.empty_ms + total, unmeasured

    def latency_of(self, arch: Architecture) -> Latency:
        """Predict a network; see `LatencyTable.predict`."""
        raw, unmeasured = self.raw_ms_of(arch)
        ms, share = self.calibration.apply(raw), unmeasured / raw
        if self.margin is None:
            return Latency(ms=ms, low_ms=None, high_ms=None, predicted_share=share)
        margin = self.margin
        if share:
            # Errors of predicted blocks may all have one sign, so their margins add up.
            error = self.missing_error
            margin += error.margin * max(0.0, share - self.verified_share)
            if self._stretched_ms:
                margin += error.growth * (self._stretched.sums(arch)[0] / raw)
        return Latency(
            ms=ms,
            low_ms=ms * max(0.0, 1 - margin),
            high_ms=ms * (1 + margin),
            predicted_share=share,
        )

    @functools.cached_property
    def missing_error(self) -> MissingError:
        """What predicted blocks err by."""
        return missing_error_of(*self._measured())

    @functools.cached_property
    def _missing_model(self) -> MissingBlockModel:
        return fit_missing_model(*self._measured())

    def _measured(self) -> tuple[list[PlannedBlock], list[float]]:
        blocks = [planned_from_key(key) for key in self._measured_ms]
        return blocks, list(self._measured_ms.values())


def _in_steps(ms: float) -> float:
    """The nearest whole number of steps, and at least one: nothing takes no time."""
    return math.ldexp(max(round(math.ldexp(ms, _STEPS)), 1), -_STEPS)


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
