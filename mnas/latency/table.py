"""The latency table: what was measured on one target, and what a network takes there."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mnas.arch import Architecture, PlannedBlock, plan, write_atomically
from mnas.latency.errors import LatencyTableError, TableMismatchError
from mnas.latency.missing import MissingError
from mnas.latency.prediction import NetworkPredictor, conformal_margin, held_out_residuals
from mnas.latency.reorders import Reorders
from mnas.latency.target import Calibration, Latency, Target, Verification

if TYPE_CHECKING:
    from mnas.latency.compiled import CompilableSpace, CompiledLatency


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One block of a table.

    Attributes:
        block: Key of the planned block (canonical JSON).
        ms: What it adds to a network, in milliseconds (thread CPU time with one thread, wall
            time with several); None if it failed.
        wall_ms: The same in wall time.
        spread: How far its slowest pass lies above its fastest, relative to `ms`, where one in
            four is left out; None if it failed.
        runs: Timed runs that lie behind it.
        status: `measured`, `noisy` (its passes never agreed, it was disturbed, or it cannot be
            told from an empty call) or `failed: reason`.
    """

    block: str
    ms: float | None
    wall_ms: float | None
    spread: float | None
    runs: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """What the blocks of a search space take on one target.

    Attributes:
        target: Runtime, threads, dtype, batch and regime it was measured with.
        device: Processor and cores.
        runtime_version: Version of the runtime.
        rows: One for each block.
        empty_ms: Milliseconds of a call that computes nothing, subtracted from every row.
        empty_wall_ms: The same in wall time.
        reorders: What reordering the maps that enter and leave a block takes, subtracted too; None
            where the runtime has none, or nobody timed them.
        space: Name and digest of the search space; empty if unknown.
        also: Ids of networks whose blocks were measured besides the space's.
        left_out: How many reachable blocks were left to be predicted, as it was asked for; None
            if tables were merged that do not tell.
        protocol: Settings the measurement was made with.
        pinned: What the runtime was set to: precision, threads and the like.
        drift: How much slower the reference block ever was than at its fastest, as a fraction.
        measured_at: When measuring ended (ISO 8601, UTC).
        calibration: Correction of the sums, from the verification.
        verification: How far the table can be trusted; None before `verify_table`.
        where: How the device was reached, if not as this machine: `address`, and `python` if one
            was named.
        forced: What `--force` let pass when tables were merged: both sides, a sentence each.
        edited: Whether header and rows are not those that were written (checksums of the file);
            stays with the table when it is verified or saved.
        source: Where the table was read from, for messages.
    """

    target: Target
    device: str
    runtime_version: str
    rows: tuple[TableRow, ...]
    empty_ms: float = 0.0
    empty_wall_ms: float = 0.0
    reorders: Reorders | None = None
    space: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    left_out: int | None = 0
    protocol: Mapping[str, float] = field(default_factory=dict)
    pinned: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    drift: float | None = None
    measured_at: str | None = None
    calibration: Calibration | None = None
    verification: Verification | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    forced: tuple[str, ...] = ()
    edited: bool = field(default=False, compare=False)
    source: str = field(default="a latency table", compare=False)
    _predictors: list[NetworkPredictor] = field(
        default_factory=list, init=False, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        if not self._measured():
            raise LatencyTableError(
                f"{self.source} holds no measured block: every row failed, or there is none. "
                "Measure it again with `mnas latency measure`."
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a table file (schema `mnas.latency_table/1`).

        Args:
            path: A CSV file as `save` writes it.

        Raises:
            LatencyTableError: It is missing, empty, cut short, of a newer schema, or a line of it
                says what no table can; names the file and each such line.
        """
        from mnas.latency.table_file import fields_from_text, read_table_text

        return cls(**fields_from_text(read_table_text(Path(path)), source=str(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table file, whole or not at all.

        Raises:
            UnwritableFileError: The file cannot be written; says why.
        """
        write_atomically(path, self.to_text())

    def to_text(self) -> str:
        """The table as its file's text."""
        from mnas.latency.table_file import text_of

        return text_of(self)

    @property
    def digest(self) -> str:
        """sha256, in hex, of the table's file."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()

    @property
    def noise_floor(self) -> float | None:
        """Relative difference of repeated end-to-end measurements; None before verification."""
        return None if self.verification is None else self.verification.noise_floor

    def predict(self, arch: Architecture) -> Latency:
        """Predict how long one run of a network takes on the table's target.

        Args:
            arch: Any architecture; blocks that were not measured are predicted from those that
                were, and counted in `predicted_share`.

        Returns:
            The calibrated sum of its blocks, with a 90 % split-conformal interval from the
            verification's held-out networks; without bounds where the table is unverified.
        """
        return self._predictor().latency_of(arch)

    def predict_raw_ms(self, arch: Architecture) -> float:
        """The sum of a network's blocks before any correction, in milliseconds."""
        return self._predictor().raw_ms_of(arch)[0]

    def compile(self, space: "CompilableSpace") -> "CompiledLatency":
        """Predict the networks of a space from their encodings, millions a second.

        Args:
            space: Any search space; blocks of it that were not measured are predicted.

        Returns:
            A function of rows of option indices (`space.compile()`); the same numbers to the last
            bit as `predict` gives for the decoded architectures.
        """
        from mnas.latency.compiled import CompiledLatency

        predictor = self._predictor()
        predictor.foresee(space.reachable_blocks().values())
        return CompiledLatency(predictor, space.compile())

    def unmeasured(self, arch: Architecture) -> dict[str, float]:
        """The places of a network's blocks that the table did not measure.

        Args:
            arch: Any architecture.

        Returns:
            The predicted milliseconds of each, before any correction, by place (`blocks.3`).
        """
        predictor, planned = self._predictor(), plan(arch)
        costs = {
            place: predictor.cost_of(block)[1]
            for place, block in zip(planned.places, planned.blocks, strict=True)
        }
        return {place: ms for place, ms in costs.items() if ms}

    def block_ms(self, block: PlannedBlock) -> float:
        """What a block adds to a network, before any correction, in milliseconds; above 0."""
        return self._predictor().cost_of(block)[0]

    def missing_error(self) -> MissingError:
        """What predicting a block that was not measured costs; takes seconds, once."""
        return self._predictor().missing_error

    def margin_beyond(self, block: PlannedBlock) -> float | None:
        """The 90 % margin of a block's own prediction, if it lies outside of what was measured.

        Returns:
            A fraction, which grows with the distance; None for a block that was measured, or is
            like those that were.
        """
        distance = self._predictor().distance_of(block)
        return self.missing_error().margin_at(distance) if distance else None

    def require(self, target: Target) -> None:
        """Refuse a target that this table was not measured for.

        Args:
            target: What the search or the export asks for; its name does not matter.

        Raises:
            TableMismatchError: Runtime, threads, dtype, batch or regime differ; names both sides.
        """
        names = self.target.differences(target)
        if names:
            has = ", ".join(f"{name} {getattr(self.target, name)}" for name in names)
            wants = ", ".join(f"{name} {getattr(target, name)}" for name in names)
            raise TableMismatchError(
                f"{self.source} was measured with {has}, but {wants} is asked for. Measure one "
                f"with `mnas latency measure` and --runtime {target.runtime} --threads "
                f"{target.threads} --dtype {target.dtype} --regime {target.regime}, or ask for "
                "what the table has."
            )

    def without_verification(self) -> "LatencyTable":
        """The same rows, uncorrected."""
        return replace(self, calibration=None, verification=None)

    def _measured(self) -> dict[str, float]:
        return {row.block: row.ms for row in self.rows if row.ms is not None}

    def _predictor(self) -> NetworkPredictor:
        """Made once; a list because the table itself is immutable."""
        if not self._predictors:
            margin, share = None, 0.0
            if self.verification is not None and self.calibration is not None:
                margin = conformal_margin(held_out_residuals(self.verification, self.calibration))
                share = self.verification.predicted_share
            self._predictors.append(
                NetworkPredictor(self._measured(), self.empty_ms, self.calibration, margin, share)
            )
        return self._predictors[0]
