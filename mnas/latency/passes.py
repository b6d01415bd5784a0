"""What timed passes say together: each block's time beyond an empty call, and the table of all."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from mnas.arch import PlannedBlock
from mnas.latency.errors import MeasuringError
from mnas.latency.reachable import macs_of
from mnas.latency.reorders import PASS_THROUGHS, Reorders, reorders_of
from mnas.latency.table import LatencyTable, TableRow
from mnas.latency.target import Target
from mnas.latency.timing import NOTHING, PassTime, Settings, combine, is_steady, typical

EMPTY = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """Timed passes over the blocks of a table, while they are measured or when they came back.

    Attributes:
        blocks: What is measured, by key.
        target: What it runs with.
        settings: How it is timed.
        passes: Passes of each block, of `empty`, of pass-throughs and of the reference; more may
            be added.
        failures: Reasons for which each block failed, the latest last.
    """

    blocks: Mapping[str, PlannedBlock]
    target: Target
    settings: Settings
    passes: Mapping[str, list[PassTime]] = field(default_factory=dict)
    failures: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def reference(self) -> PlannedBlock:
        """The block that is timed throughout: one of middling cost."""
        return sorted(self.blocks.values(), key=macs_of)[len(self.blocks) // 2]

    @property
    def reference_key(self) -> str:
        """Another set of blocks has another reference: their times are not to be mixed."""
        return f"reference {self.reference.key}"

    def empty(self) -> PassTime:
        """The typical empty call."""
        passes = self.passes.get(EMPTY)
        return typical(passes) if passes else NOTHING

    def reorders(self) -> Reorders | None:
        """What the runtime takes to reorder maps; None if not all pass-throughs were timed."""
        times_ms = {
            model.key: typical(self.passes[model.key]).ms
            for model in PASS_THROUGHS
            if self.passes.get(model.key)
        }
        return reorders_of(times_ms, self.empty().ms)

    def least_ms(self, empty: PassTime) -> float:
        """What still can be told from an empty call."""
        return max(self.settings.agreement * empty.ms, self.settings.resolution_ms)

    def is_settled(self, key: str, empty: PassTime) -> bool:
        """Whether a block has enough passes, which agree and differ from an empty call."""
        if len(self.passes.get(key, ())) < self.settings.passes:
            return False
        timing = combine(self.passes[key], empty=empty, least_ms=self.least_ms(empty))
        is_told_apart = timing.ms > self.least_ms(empty)
        return is_told_apart and is_steady(timing, self.target, self.settings)

    def table(
        self,
        *,
        device: str,
        runtime_version: str,
        space: Mapping[str, str],
        also: tuple[str, ...],
        left_out: int,
        source: str,
        pinned: Mapping[str, str | int | float | bool],
        where: Mapping[str, str] | None = None,
    ) -> LatencyTable:
        """The table of these passes.

        Raises:
            MeasuringError: Every block failed, or the empty model did; tells a reason.
        """
        if EMPTY not in self.passes:
            reasons = self.failures.get(EMPTY, ["it was not timed"])
            raise MeasuringError(
                f"{self.target.runtime} cannot run even an empty model: {reasons[-1]}"
            )
        if not self.passes.keys() & self.blocks.keys():
            first = next(
                (reasons[-1] for key, reasons in self.failures.items() if key != EMPTY),
                "nothing that was timed",
            )
            raise MeasuringError(
                f"all {len(self.blocks)} blocks failed in {self.target.runtime}, "
                f"the first with {first}. Nothing was written."
            )
        empty, reorders = self.empty(), self.reorders()
        return LatencyTable(
            target=self.target,
            device=device,
            runtime_version=runtime_version,
            rows=tuple(self._rows(empty, reorders)),
            empty_ms=empty.ms,
            empty_wall_ms=empty.wall_ms,
            reorders=reorders,
            space=space,
            also=also,
            left_out=left_out,
            protocol=asdict(self.settings),
            pinned=pinned,
            drift=self._drift(),
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            where=where or {},
            source=source,
        )

    def _rows(self, empty: PassTime, reorders: Reorders | None) -> Iterator[TableRow]:
        for key in sorted(self.blocks):
            if key not in self.passes:
                reason = self.failures.get(key, ["it was not timed"])[-1]
                yield TableRow(
                    block=key, ms=None, wall_ms=None, spread=None, runs=0,
                    status=f"failed: {reason}",
                )  # fmt: skip
                continue
            alone = empty if reorders is None else empty.plus(reorders.of(self.blocks[key]))
            least_ms = self.least_ms(empty)
            timing = combine(self.passes[key], empty=alone, least_ms=least_ms)
            is_sound = self.is_settled(key, empty) and timing.ms > least_ms
            yield TableRow(
                block=key,
                ms=timing.ms,
                wall_ms=timing.wall_ms,
                spread=timing.spread,
                runs=len(self.passes[key]) * self.settings.runs,
                status="measured" if is_sound else "noisy",
            )

    def _drift(self) -> float | None:
        times = [time.ms for time in self.passes.get(self.reference_key, ())]
        return max(times) / min(times) - 1 if times and min(times) > 0 else None
