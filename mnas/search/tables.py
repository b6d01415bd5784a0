"""The latency table of each target: found, measured or refused, and kept with the run."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mnas.arch import Architecture
from mnas.latency import (
    LatencyTable,
    Target,
    ask_device,
    default_table_path,
    find_table,
    measure_on,
    measure_table,
    verify_on,
    verify_table,
)
from mnas.latency.addresses import ByCommand
from mnas.search.observing import Observer, Step
from mnas.search.overrides import InvalidExperimentError
from mnas.search.sections import TargetSection
from mnas.space import SearchSpace

# Whole networks with which a table of `auto` is verified.
NETWORKS_TO_VERIFY = 70


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

    A device with an address is asked once, before a run begins: a command that does not work or
    another device than the table's is told before anything is trained.

    Args:
        section: The target, with `table: auto` or a path.
        space: What the table must cover.
        also: Other networks whose blocks belong in it.
        directory: Of the run.
        observer: Is shown how measuring goes.

    Returns:
        The run's own copy if it has one, else the table it shall begin with.

    Raises:
        TableMismatchError: The table is of another runtime, dtype or number of threads, or of
            another device than is at the target's address.
        DeviceError: The device cannot be reached, or its agent cannot run.
        LatencyTableError: The file is no table.
    """
    target = target_of(section)
    kept = directory / "tables" / f"{section.name}.csv"
    if kept.is_file():
        table = LatencyTable.load(kept)
    elif section.table == "auto" and section.is_here:
        table = _measured_here(space, target, tuple(also), observer=observer)
    elif section.table == "auto":
        table = _measured_there(section, space, tuple(also), observer=observer)
    else:
        table = LatencyTable.load(section.table)
        table.require(target)
        if not section.is_here:
            _ask(section, observer, table)
    table.require(target)
    return table


def refuse_other_tables(directory: Path, tables: Mapping[str, LatencyTable]) -> None:
    """Make sure that the copies of tables that a run has by now are the same.

    Args:
        directory: Of the run, which the caller holds.
        tables: By target.

    Raises:
        InvalidExperimentError: The run has another table.
    """
    for name, table in tables.items():
        kept = directory / "tables" / f"{name}.csv"
        if kept.is_file() and LatencyTable.load(kept).digest != table.digest:
            raise InvalidExperimentError(
                f"{directory} was begun by another process while this one prepared, with another "
                f"table for {name} ({kept}). Run the same command again: it goes on with that "
                "table; or choose another folder."
            )


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
        table = verify_table(table, space, NETWORKS_TO_VERIFY, progress=progress)
    return table


def _measured_there(
    section: TargetSection,
    space: SearchSpace,
    also: tuple[Architecture, ...],
    *,
    observer: Observer,
) -> LatencyTable:
    """The table of a device: an earlier one, if that device is still there, else measured now."""
    target, place = target_of(section), section.place
    path = default_table_path(space, target, also, address=place)
    table = find_table(space, target, also, address=place)
    if table is not None:
        about = _ask(section, observer)
        if (table.device, table.runtime_version) == (about["device"], about["runtime_version"]):
            observer(Step(phase="table", text=f"reusing {path}"))
        else:
            observer(
                Step(
                    phase="notice",
                    text=f"{path} is of {table.device} with version {table.runtime_version}; at "
                    f"{place} there is {about['device']} with {about['runtime_version']} now: "
                    "measuring anew",
                )
            )
            table = None
    if table is None:
        table = measure_on(
            place,
            space,
            target,
            path,
            also,
            python=section.python,
            device=device_name(section),
            progress=_told(observer, "measuring blocks"),
        )
    if table.verification is None:
        table = verify_on(
            table,
            space,
            NETWORKS_TO_VERIFY,
            address=place,
            python=section.python,
            progress=_told(observer, "verifying on whole networks"),
        )
    return table


def announcement_of(section: TargetSection) -> str:
    """What a target's address makes run, in one line, to be shown before it does."""
    place = section.place
    if isinstance(place, ByCommand):
        return f"target {section.name}: its command is run here for each model: {place.template}"
    python = section.python or "python3"
    return f"target {section.name}: models go to {place}, where {python} runs the agent of mnas"


def device_name(section: TargetSection) -> str | None:
    """What a device is called that cannot say itself what it is: as the target."""
    return section.name if isinstance(section.place, ByCommand) else None


def _ask(
    section: TargetSection, observer: Observer, table: LatencyTable | None = None
) -> Mapping[str, Any]:
    observer(Step(phase="table", text=f"asking {section.place} what it is"))
    return ask_device(
        section.place,
        target_of(section),
        table=table,
        python=section.python,
        device=None if table is not None else device_name(section),
        progress=_told(observer, "asking"),
    )


def _told(observer: Observer, what: str) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, text: str) -> None:
        observer(Step(phase="table", done=done, total=total, text=f"{what}: {text}"))

    return progress
