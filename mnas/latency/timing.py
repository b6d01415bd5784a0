"""Timing one prepared thing: warm-up, grouped runs, lower quartile; and several passes together."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mnas.latency.runtime import Run
from mnas.latency.target import Target, Timing

_MS = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where time comes from, in seconds.

    Attributes:
        cpu: CPU time of the calling thread.
        wall: Time on the wall, from any start.
    """

    cpu: Callable[[], float] = time.thread_time
    wall: Callable[[], float] = time.perf_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How things are timed; the reasons are in the project's first measurements.

    Attributes:
        warm_ups: Runs before the timed ones; below five ONNX Runtime is not yet at speed.
        runs: Timed runs of a pass; of each pass the lower quartile counts.
        passes: Passes over everything, each in another random order: one bad pass of two would
            spoil the ranking.
        most_passes: How often a thing is timed at most when its passes do not agree.
        agreement: Largest relative difference of the two fastest passes that counts as agreeing.
        contention: Largest ratio of wall to CPU time that counts as undisturbed.
        group_ms: Runs shorter than this are timed several together, so that the clock's own cost
            and resolution do not decide.
    """

    warm_ups: int = 5
    runs: int = 10
    passes: int = 3
    most_passes: int = 5
    agreement: float = 0.05
    contention: float = 1.1
    group_ms: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTime:
    """One pass over one thing: lower quartiles of its timed runs, in milliseconds."""

    ms: float
    wall_ms: float


def time_pass(run: Run, target: Target, settings: Settings, clock: Clock) -> PassTime:
    """Warm up and time one prepared thing.

    Args:
        run: Runs it once.
        target: With one thread the CPU time of the thread counts, with several the wall time.
        settings: How often.
        clock: What to read.

    Returns:
        Lower quartiles per single run.
    """
    fastest = min(_elapsed(run, clock) for _ in range(settings.warm_ups))
    group = math.ceil(settings.group_ms / _MS / max(fastest, 1e-7))
    cpu, wall = np.empty(settings.runs), np.empty(settings.runs)
    for index in range(settings.runs):
        cpu_start, wall_start = clock.cpu(), clock.wall()
        for _ in range(group):
            run()
        cpu[index], wall[index] = clock.cpu() - cpu_start, clock.wall() - wall_start
    wall_ms = float(np.quantile(wall, 0.25)) / group * _MS
    cpu_ms = float(np.quantile(cpu, 0.25)) / group * _MS
    return PassTime(ms=cpu_ms if target.threads == 1 else wall_ms, wall_ms=wall_ms)


def combine(passes: Sequence[PassTime]) -> Timing:
    """Take the mean of the two fastest passes: whatever disturbs a pass makes it slower.

    Args:
        passes: At least one.

    Returns:
        The time, and how far those two lie apart (0 for a single pass).
    """
    best = sorted(passes, key=lambda one: one.ms)[:2]
    ms = sum(one.ms for one in best) / len(best)
    return Timing(
        ms=ms,
        spread=(best[-1].ms - best[0].ms) / ms if ms > 0 else 0.0,
        wall_ms=sum(one.wall_ms for one in best) / len(best),
    )


def is_steady(timing: Timing, target: Target, settings: Settings) -> bool:
    """Whether its passes agree and nothing else took the processor meanwhile."""
    disturbed = target.threads == 1 and timing.wall_ms > settings.contention * timing.ms
    return timing.spread <= settings.agreement and not disturbed


def _elapsed(run: Run, clock: Clock) -> float:
    start = clock.wall()
    run()
    return clock.wall() - start
