"""Measuring a table: every block by itself, in passes of random order, interruptible."""

import functools
import logging
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mnas.arch import Architecture, PlannedBlock, UnwritableFileError, machine_lock
from mnas.latency.device import describe_device, require_cores
from mnas.latency.partial import PartialTable
from mnas.latency.passes import EMPTY, Passes
from mnas.latency.reachable import MeasurableSpace, blocks_to_measure
from mnas.latency.reorders import PASS_THROUGHS, has_reorders
from mnas.latency.rounds import WAITING, Progress, Stopwatch, no_progress
from mnas.latency.runtime import Run, Runtime, runtime_for
from mnas.latency.table import LatencyTable
from mnas.latency.target import Target
from mnas.latency.timing import Clock, PassTime, Settings

_LOG = logging.getLogger(__name__)
_BLOCKS_BETWEEN_CHECKS = 20
_MOST_FAILURES = 2  # one may be bad luck


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measurement:
    """What is measured with what, while it runs."""

    found: Passes
    runtime: Runtime
    stopwatch: Stopwatch
    partial: PartialTable
    rng: random.Random
    progress: Progress


def measure_table(
    space: MeasurableSpace,
    target: Target,
    out: str | os.PathLike[str],
    also: Sequence[Architecture] = (),
    *,
    most: int | None = None,
    progress: Progress = no_progress,
    settings: Settings | None = None,
    runtime: Runtime | None = None,
    clock: Clock | None = None,
    seed: int = 0,
) -> LatencyTable:
    """Measure every block a space can reach, and write the table.

    Each block runs alone, in two or more passes of different random order. The call of an empty
    model, and what the runtime takes to reorder the maps that enter and leave a block, are timed
    throughout and subtracted. A block whose passes differ, or that was disturbed, is timed again,
    and flagged `noisy` if that does not help; one that fails every time becomes a row that says
    why. Holds the machine alone meanwhile. Passes are kept in `OUT.partial`: a measurement that
    was ended goes on from there, and tries again what failed.

    Args:
        space: The search space.
        target: Runtime, threads, dtype, batch.
        out: The table's file, written once, at the end.
        also: Networks whose blocks belong into the table too, such as scaled baselines.
        most: Largest number of blocks to measure, those that say most about the networks of the
            space; the others are predicted from them.
        progress: Told (done, total, what) after each pass over a block.
        settings: How blocks are timed.
        runtime: Instead of the one the target names.
        clock: Instead of the machine's.
        seed: Decides the orders of the passes.

    Returns:
        The table, not yet verified.

    Raises:
        UnknownNameError: The target's runtime or dtype is not known.
        TableMismatchError: `OUT.partial` belongs to another target, device or runtime version.
        MeasuringError: Every block failed; tells the first reason. Or another process is measuring
            the same table.
        UnwritableFileError: The table or `OUT.partial` cannot be written.
        MnasError: The target has more threads than this machine has cores.
    """
    if Path(out).is_dir():
        raise UnwritableFileError(f"cannot write {os.fspath(out)}: it is a folder; name a file")
    settings = settings or Settings()
    if runtime is None:
        require_cores(target)
        runtime = runtime_for(target)
    blocks, left_out = blocks_to_measure(space, also, most=most)
    device, pinned = describe_device(), runtime.pinned(target)
    header = {
        "target": asdict(target),
        "device": device,
        "runtime_version": runtime.version,
        "settings": asdict(settings),
        "pinned": dict(pinned),
    }
    with (
        machine_lock(alone=True, waiting=lambda: progress(0, len(blocks), WAITING)),
        runtime.hold(target) as own_clock,
        PartialTable(Path(f"{os.fspath(out)}.partial"), header) as partial,
    ):
        measurement = _Measurement(
            found=Passes(
                blocks=blocks,
                target=target,
                settings=settings,
                passes=partial.passes,
                failures=partial.failures,
            ),
            runtime=runtime,
            stopwatch=Stopwatch(target=target, settings=settings, clock=clock or Clock()).reading(
                own_clock
            ),
            partial=partial,
            rng=random.Random(seed),
            progress=progress,
        )
        _run(measurement)
        table = measurement.found.table(
            device=device,
            runtime_version=runtime.version,
            space={"name": space.name, "digest": space.digest},
            also=tuple(sorted({arch.id for arch in also})),
            left_out=len(left_out),
            pinned=pinned,
            source=os.fspath(out),
        )
        table.save(out)
        partial.remove()
    return table


def _run(measurement: _Measurement) -> None:
    """Passes over all blocks, then further ones over those that are not steady."""
    for number in range(1, measurement.stopwatch.settings.most_passes + 1):
        empty = measurement.found.empty()
        unfinished = [
            key for key in measurement.found.blocks if _needs_pass(measurement, key, number, empty)
        ]
        if unfinished:
            measurement.rng.shuffle(unfinished)
            _pass(measurement, unfinished, number)


def _needs_pass(measurement: _Measurement, key: str, number: int, empty: PassTime) -> bool:
    partial = measurement.partial
    has_pass = len(partial.passes.get(key, ())) >= number
    has_failed = len(partial.failures.get(key, ())) >= _MOST_FAILURES
    return not (has_pass or has_failed or measurement.found.is_settled(key, empty))


def _pass(measurement: _Measurement, keys: Sequence[str], number: int) -> None:
    found = measurement.found
    for index, key in enumerate(keys):
        if index % _BLOCKS_BETWEEN_CHECKS == 0:
            _time_overhead(measurement)
            _time(measurement, found.reference_key, (found.reference,))
        _time(measurement, key, (found.blocks[key],))
        again = " again" if number > measurement.stopwatch.settings.passes else ""
        measurement.progress(index + 1, len(keys), f"pass {number}: blocks timed{again}")
    _time_overhead(measurement)


def _time_overhead(measurement: _Measurement) -> None:
    runtime, target = measurement.runtime, measurement.stopwatch.target
    _time(measurement, EMPTY, ())
    if has_reorders(runtime, target):
        for model in PASS_THROUGHS:
            prepare = functools.partial(runtime.prepare_pass_through, model, target)
            _time_prepared(measurement, model.key, prepare)


def _time(measurement: _Measurement, key: str, blocks: Sequence[PlannedBlock]) -> None:
    target = measurement.stopwatch.target
    _time_prepared(measurement, key, functools.partial(measurement.runtime.prepare, blocks, target))


def _time_prepared(measurement: _Measurement, key: str, prepare: Callable[[], Run]) -> None:
    try:
        time = measurement.stopwatch.time(prepare())
    except Exception as error:  # whatever a runtime raises for one block, the others go on
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        _LOG.warning("block failed: %s: %s", reason, key)
        measurement.partial.fail(key, reason)
    else:
        measurement.partial.add(key, time)
