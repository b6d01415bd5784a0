"""Several tables side by side: how far devices rank alike, where not; and making one of several."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mnas.arch import MnasError
from mnas.latency.accuracy import rank_correlation
from mnas.latency.errors import TableMismatchError
from mnas.latency.table import LatencyTable, TableRow
from mnas.latency.target import Interval, Target
from mnas.latency.timing import Settings

_FEWEST_SHARED = 3
_GRADES = {"measured": 0, "noisy": 1}  # a failed row comes after both


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTable:
    """What is compared, in short."""

    source: str
    device: str
    target: Target
    runtime_version: str
    space: str | None
    blocks: int
    verdict: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A block on which two devices disagree.

    Attributes:
        block: Its key.
        first_ms: On the first device.
        second_ms: On the second one.
        factor: By how much it is slower on the second device than the other blocks are there: 1 is
            as usual, 2 is twice as slow as the rest lets expect.
    """

    block: str
    first_ms: float
    second_ms: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two tables, on the blocks that both measured.

    Attributes:
        first: Source of the one.
        second: Source of the other.
        shared: How many blocks both measured.
        spearman: Rank correlation over them; None below three.
        ratio: Median of second over first; None without shared blocks.
        dearer: Blocks that are relatively dearest on the second device, the dearest first.
        cheaper: Blocks that are relatively cheapest there, the cheapest first.
    """

    first: str
    second: str
    shared: int
    spearman: Interval | None
    ratio: float | None
    dearer: tuple[Disagreement, ...]
    cheaper: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Several tables, and every two of them."""

    tables: tuple[ComparedTable, ...]
    pairs: tuple[Pair, ...]


def compare_tables(tables: Sequence[LatencyTable], *, most: int = 5) -> Comparison:
    """Hold tables of several devices, runtimes or days side by side.

    Args:
        tables: At least two; of whatever targets.
        most: How many disagreements are named in each direction.

    Raises:
        MnasError: Fewer than two tables.
    """
    if len(tables) < 2:
        raise MnasError(f"comparing takes at least two tables; got {len(tables)}")
    return Comparison(
        tables=tuple(map(_compared, tables)),
        pairs=tuple(_pair(one, other, most) for one, other in itertools.combinations(tables, 2)),
    )


def merge_tables(
    tables: Sequence[LatencyTable], *, source: str, force: bool = False
) -> LatencyTable:
    """Make one table of several that were measured with the same target on the same device.

    A block that several hold is taken from the best row: measured before noisy before failed, then
    the smaller spread. What the merged rows are worth together nobody has verified yet.

    Args:
        tables: At least two.
        source: The name of the merged table, for messages.
        force: Merge what does not fit together, too; the table then says so.

    Raises:
        TableMismatchError: Targets, devices, runtime versions, protocols or empty calls differ;
            names both sides of each.
        MnasError: Fewer than two tables.
    """
    if len(tables) < 2:
        raise MnasError(f"merging takes at least two tables; got {len(tables)}")
    first, *others = tables
    problems = [said for other in others for said in _differences(first, other)]
    if problems and not force:
        raise TableMismatchError(
            "these tables do not belong together: " + "; ".join(problems) + ". Compare them "
            "instead, or merge them anyway with --force, which the file will say"
        )
    rows: dict[str, TableRow] = {}
    for row in itertools.chain.from_iterable(table.rows for table in tables):
        if row.block not in rows or _grade(row) < _grade(rows[row.block]):
            rows[row.block] = row
    same_space = all(table.space == first.space for table in tables)
    quickest = min(tables, key=lambda table: table.empty_ms)
    drifts = [table.drift for table in tables if table.drift is not None]
    dates = [table.measured_at for table in tables if table.measured_at is not None]
    earlier = dict.fromkeys(said for table in tables for said in table.forced)
    return replace(
        first.without_verification(),
        rows=tuple(rows[key] for key in sorted(rows)),
        empty_ms=quickest.empty_ms,
        empty_wall_ms=quickest.empty_wall_ms,
        reorders=quickest.reorders,
        space=first.space if same_space else {},
        also=tuple(sorted({name for table in tables for name in table.also})),
        left_out=_left_out(tables, len(rows)) if same_space else 0,
        drift=max(drifts, default=None),
        measured_at=max(dates, default=None),
        edited=any(table.edited for table in tables),
        forced=(*earlier, *problems),
        source=source,
    )


def _left_out(tables: Sequence[LatencyTable], rows: int) -> int | None:
    """How many blocks of one space none of some tables holds; None if they do not tell.

    What one left out another may have measured, so numbers of blocks do not add up. Tables for
    the same networks all count the same blocks, which are held or left out.
    """
    counted = {
        None if table.left_out is None else len(table.rows) + table.left_out for table in tables
    }
    if len({table.also for table in tables}) == 1 and len(counted) == 1:
        (every,) = counted
        return None if every is None else every - rows
    return None if any(table.left_out != 0 for table in tables) else 0


def _compared(table: LatencyTable) -> ComparedTable:
    return ComparedTable(
        source=table.source,
        device=table.device,
        target=table.target,
        runtime_version=table.runtime_version,
        space=table.space.get("name"),
        blocks=sum(row.ms is not None for row in table.rows),
        verdict=None if table.verification is None else table.verification.verdict,
    )


def _pair(first: LatencyTable, second: LatencyTable, most: int) -> Pair:
    ours, theirs = (
        {row.block: row.ms for row in table.rows if row.ms is not None} for table in (first, second)
    )
    shared = sorted(ours.keys() & theirs.keys())
    one, other = (np.array([times[key] for key in shared]) for times in (ours, theirs))
    ratio = float(np.median(other / one)) if shared else None
    found = [
        Disagreement(
            block=key,
            first_ms=ours[key],
            second_ms=theirs[key],
            factor=theirs[key] / ours[key] / ratio,
        )
        for key in shared
        if ratio is not None
    ]
    found.sort(key=lambda each: (each.factor, each.block))
    return Pair(
        first=first.source,
        second=second.source,
        shared=len(shared),
        spearman=rank_correlation(one, other) if len(shared) >= _FEWEST_SHARED else None,
        ratio=ratio,
        dearer=tuple(each for each in found[::-1][:most] if each.factor > 1),
        cheaper=tuple(each for each in found[:most] if each.factor < 1),
    )


def _differences(first: LatencyTable, other: LatencyTable) -> list[str]:
    """What keeps two tables from being one, both sides of each."""
    pairs = [
        (name, getattr(first.target, name), getattr(other.target, name))
        for name in first.target.differences(other.target)
    ]
    pairs += [
        (what, one, another)
        for what, one, another in (
            ("device", first.device, other.device),
            ("runtime version", first.runtime_version, other.runtime_version),
            ("protocol", dict(first.protocol), dict(other.protocol)),
            ("pinned", dict(first.pinned), dict(other.pinned)),
        )
        if one != another and not (what == "pinned" and not (one and another))  # older: unknown
    ]
    if not _same_empty_call(first, other):
        # Each row is what a block adds to the empty call of its own table.
        pairs.append(("empty call in ms", first.empty_ms, other.empty_ms))
    if (first.reorders is None) != (other.reorders is None):
        pairs.append(("reorders", first.reorders, other.reorders))
    return [
        f"{name} is {one!r} in {first.source} and {another!r} in {other.source}"
        for name, one, another in pairs
    ]


def _same_empty_call(first: LatencyTable, other: LatencyTable) -> bool:
    """Whether two empty calls agree as two passes of a block have to."""
    settings = Settings()
    agreement = min(table.protocol.get("agreement", settings.agreement) for table in (first, other))
    apart_ms = abs(first.empty_ms - other.empty_ms)
    least_ms = min(first.empty_ms, other.empty_ms)
    return bool(apart_ms <= max(agreement * least_ms, settings.resolution_ms))


def _grade(row: TableRow) -> tuple[int, float]:
    return _GRADES.get(row.status, 2), row.spread if row.spread is not None else 0.0
