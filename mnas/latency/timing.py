"""Timing one prepared thing: warm-up, grouped runs, lower quartile; and several passes together."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mnas.arch import MnasError
from mnas.latency import agent
from mnas.latency.runtime import Run
from mnas.latency.target import COLD, Target, Timing

_MS = 1e3
_MOST = 1e6  # of any number of the protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where time comes from, in seconds.

    Attributes:
        cpu: CPU time of the calling thread; on another processor the time that one computed.
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
        agreement: Largest `spread` of a timing whose passes count as agreeing.
        contention: Largest ratio of wall to CPU time that counts as undisturbed.
        resolution_ms: Differences up to this are not told apart, however short the thing: a
            tiny block is not noisy because an empty call varies by a fraction of a microsecond.
        group_ms: Runs shorter than this are timed several together, so that the clock's own cost
            and resolution do not decide.

    Raises:
        MnasError: A count below 1, or another number below 0.
    """

    warm_ups: int = 5
    runs: int = 10
    passes: int = 3
    most_passes: int = 5
    agreement: float = 0.05
    contention: float = 1.1
    resolution_ms: float = 0.0005
    group_ms: float = 0.2

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            least = 1 if each.type is int else 0
            if not least <= value <= _MOST:
                raise MnasError(
                    f"the protocol's {each.name} must be {least} to {_MOST:,.0f}; got {value}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTime:
    """One pass over one thing: lower quartiles of its timed runs, in milliseconds."""

    ms: float
    wall_ms: float

    def plus(self, more_ms: float) -> "PassTime":
        """So many milliseconds longer, by both clocks."""
        return PassTime(ms=self.ms + more_ms, wall_ms=self.wall_ms + more_ms)


NOTHING = PassTime(ms=0.0, wall_ms=0.0)


def time_pass(run: Run, target: Target, settings: Settings, clock: Clock) -> PassTime:
    """Warm up and time one prepared thing.

    Args:
        run: Runs it once.
        target: With one thread the CPU time of the thread counts, with several the wall time. In
            the regime `cold` the caches are filled before each timed run.
        settings: How often.
        clock: What to read.

    Returns:
        Lower quartiles per single run.
    """
    fastest = min(_elapsed(run, clock) for _ in range(settings.warm_ups))
    is_cold = target.regime == COLD
    group = 1 if is_cold else max(1, math.ceil(settings.group_ms / _MS / max(fastest, 1e-7)))
    cpu, wall = np.empty(settings.runs), np.empty(settings.runs)
    for index in range(settings.runs):
        if is_cold:
            agent.fill_caches()
        cpu_start, wall_start = clock.cpu(), clock.wall()
        for _ in range(group):
            run()
        cpu[index], wall[index] = clock.cpu() - cpu_start, clock.wall() - wall_start
    wall_ms = float(np.quantile(wall, 0.25)) / group * _MS
    cpu_ms = float(np.quantile(cpu, 0.25)) / group * _MS
    return PassTime(ms=cpu_ms if target.threads == 1 else wall_ms, wall_ms=wall_ms)


def typical(passes: Sequence[PassTime]) -> PassTime:
    """The lower quartile of passes: whatever disturbs a pass makes it slower.

    It has the same meaning for any number of passes: the expected rank of the quantile among all
    passes there could be is a quarter (Weibull's plotting position, Hyndman and Fan 1996, type
    6). Of three passes it is the fastest, of seven the second.

    Args:
        passes: At least one.
    """
    return PassTime(
        ms=_lower_quartile([one.ms for one in passes]),
        wall_ms=_lower_quartile([one.wall_ms for one in passes]),
    )


def combine(
    passes: Sequence[PassTime], *, empty: PassTime = NOTHING, least_ms: float = 0.0
) -> Timing:
    """Say what a thing takes beyond an empty call, and how far its passes lie apart.

    Args:
        passes: At least one.
        empty: What is subtracted: the typical empty call.
        least_ms: What cannot be told from an empty call counts as this much.

    Returns:
        The time, and its spread (0 for a single pass): how far the slowest pass lies above the
        fastest, relative to the time that is left after subtracting. One pass in four (rounded
        down) may be slower than that, so that a disturbed one can be made up for.
    """
    whole = typical(passes)
    ms = max(whole.ms - empty.ms, least_ms)
    times = sorted(one.ms for one in passes)
    slowest = times[len(times) - 1 - len(times) // 4]
    return Timing(
        ms=ms,
        spread=(slowest - times[0]) / ms if ms > 0 else 0.0,
        wall_ms=max(whole.wall_ms - empty.wall_ms, least_ms),
    )


def is_steady(timing: Timing, target: Target, settings: Settings) -> bool:
    """Whether its passes agree and nothing else took the processor meanwhile."""
    differ_ms = timing.spread * timing.ms
    waited_ms = timing.wall_ms - settings.contention * timing.ms
    agrees = differ_ms <= max(settings.agreement * timing.ms, settings.resolution_ms)
    return agrees and (target.threads > 1 or waited_ms <= settings.resolution_ms)


def _lower_quartile(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.25, method="weibull"))


def _elapsed(run: Run, clock: Clock) -> float:
    start = clock.wall()
    run()
    return clock.wall() - start
