"""The latency table of each target: found, measured or refused, and kept with the run."""

from collections.abc import Callable, Iterable
from pathlib import Path

from mnas.arch import Architecture
from mnas.latency import (
    LatencyTable,
    Target,
    default_table_path,
    find_table,
    measure_table,
    verify_table,
)
from mnas.search.observing import Observer, Step
from mnas.search.sections import TargetSection
from mnas.space import SearchSpace


def target_of(section: TargetSection) -> Target:
    """The latency room's name for what an experiment asks for."""
    return Target(
        name=section.name,
        runtime=section.runtime,
        threads=section.threads,
        dtype=section.dtype,
    )


def table_of_run(
    section: TargetSection,
    space: SearchSpace,
    also: Iterable[Architecture],
    *,
    directory: Path,
    observer: Observer,
) -> LatencyTable:
    """The table that a run predicts with; its own copy, so that later changes cannot reach it.

    Args:
        section: The target, with `table: auto` or a path.
        space: What the table must cover.
        also: Other networks whose blocks belong in it.
        directory: Of the run.
        observer: Is shown how measuring goes.

    Returns:
        The run's own copy if it has one, else the table it shall begin with.

    Raises:
        TableMismatchError: The table is of another runtime, dtype or number of threads.
        LatencyTableError: The file is no table.
    """
    target = target_of(section)
    kept = directory / "tables" / f"{section.name}.csv"
    if kept.is_file():
        table = LatencyTable.load(kept)
    elif section.table == "auto":
        table = _measured_here(space, target, tuple(also), observer=observer)
    else:
        table = LatencyTable.load(section.table)
    table.require(target)
    return table


def _measured_here(
    space: SearchSpace, target: Target, also: tuple[Architecture, ...], *, observer: Observer
) -> LatencyTable:
    """The table of this machine for a space: an earlier one that matches, else measured now."""
    path = default_table_path(space, target, also)
    table = find_table(space, target, also)
    if table is None:
        progress = _told(observer, "measuring blocks")
        table = measure_table(space, target, path, also, progress=progress)
    else:
        observer(Step(phase="table", text=f"reusing {path}"))
    if table.verification is None:
        progress = _told(observer, "verifying on whole networks")
        table = verify_table(table, space, progress=progress)
    return table


def _told(observer: Observer, what: str) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, text: str) -> None:
        observer(Step(phase="table", done=done, total=total, text=f"{what}: {text}"))

    return progress
