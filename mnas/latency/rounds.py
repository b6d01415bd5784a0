"""Timing many things interleaved: every pass visits each once, in another random order."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mnas.latency.runtime import Run
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

    def time(self, run: Run) -> PassTime:
        return time_pass(run, self.target, self.settings, self.clock)

    def is_steady(self, timing: Timing) -> bool:
        return is_steady(timing, self.target, self.settings)


def time_interleaved(
    things: Mapping[str, Callable[[], Run]],
    stopwatch: Stopwatch,
    *,
    rounds: int,
    rng: random.Random,
    progress: Progress = no_progress,
) -> dict[str, list[PassTime]]:
    """Time things in rounds, so that a change of the machine's speed meets all alike.

    Args:
        things: Makes each ready to run; called anew in every round, so that only one is in memory.
        stopwatch: Times one.
        rounds: How often each is visited.
        rng: Order within a round.
        progress: Told (done, total, name) after each.

    Returns:
        One time for each round, by name.
    """
    times: dict[str, list[PassTime]] = {name: [] for name in things}
    done = 0
    for _ in range(rounds):
        order = list(things)
        rng.shuffle(order)
        for name in order:
            times[name].append(stopwatch.time(things[name]()))
            done += 1
            progress(done, rounds * len(things), name)
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
