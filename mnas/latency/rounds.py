"""Timing many things interleaved: every pass visits each once, in another random order."""

import functools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mnas.arch import machine_lock
from mnas.latency.runtime import Run, Runtime
from mnas.latency.target import Target, Timing
from mnas.latency.timing import Clock, PassTime, Settings, combine, is_steady, time_pass

WAITING = "waiting until nothing else trains or measures on this machine"
Progress = Callable[[int, int, str], None]


def no_progress(done: int, total: int, what: str) -> None:
    """The default of every `progress`: says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopwatch:
    """Times prepared things of one target.

    Attributes:
        target: What they run with.
        settings: How they are timed.
        clock: What is read.
    """

    target: Target
    settings: Settings
    clock: Clock

    def reading(self, clock: Clock | None) -> "Stopwatch":
        """The same with another clock, if there is one."""
        return self if clock is None else replace(self, clock=clock)

    def time(self, run: Run) -> PassTime:
        return time_pass(run, self.target, self.settings, self.clock)

    def is_steady(self, timing: Timing) -> bool:
        return is_steady(timing, self.target, self.settings)


def time_interleaved(
    things: Mapping[str, Callable[[], Run]],
    stopwatch: Stopwatch,
    runtime: Runtime,
    *,
    rounds: int,
    rng: random.Random,
    progress: Progress,
) -> dict[str, list[PassTime]]:
    """Time things in rounds, so that a change of the machine's speed meets all alike.

    Holds the machine alone meanwhile.

    Args:
        things: Makes each ready to run; called anew in every round, so that only one is in memory.
        stopwatch: Times one.
        runtime: What makes them ready.
        rounds: How often each is visited.
        rng: Order within a round.
        progress: Told (done, total, name) after each.

    Returns:
        One time for each round, by name.
    """
    total = rounds * len(things)
    times: dict[str, list[PassTime]] = {name: [] for name in things}
    waiting = functools.partial(progress, 0, total, WAITING)
    with machine_lock(alone=True, waiting=waiting), runtime.hold(stopwatch.target) as clock:
        stopwatch = stopwatch.reading(clock)
        order = [name for _ in range(rounds) for name in rng.sample(list(things), len(things))]
        for done, name in enumerate(order, start=1):
            times[name].append(stopwatch.time(things[name]()))
            progress(done, total, name)
    return times


def split_half_difference(times: Mapping[str, list[PassTime]]) -> float:
    """Mean relative difference of even and odd rounds: what repeating a measurement changes.

    Args:
        times: At least two rounds of each thing.
    """
    differences = []
    for rounds in times.values():
        even, odd = combine(rounds[::2]).ms, combine(rounds[1::2]).ms
        differences.append(abs(even - odd) / ((even + odd) / 2))
    return sum(differences) / len(differences)
