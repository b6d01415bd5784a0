"""Workers that train nothing: at once, asleep, or on a virtual clock; a table of their device."""

import heapq
import math
import random
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Literal

from mnas.arch import block_counts, count
from mnas.latency import LatencyTable, TableRow, Target
from mnas.search.work import Bench, Task
from mnas.space import SearchSpace
from mnas.training import Score

_TRIES = 2  # as in mnas.search.ray_workers


def table_by_macs(space: SearchSpace) -> LatencyTable:
    """A table in which every block takes its MACs, as if it had been measured."""
    times = {
        key: 0.002 + block_counts(block)[1] / 1e7 for key, block in space.reachable_blocks().items()
    }
    rows = tuple(
        TableRow(block=key, ms=ms, wall_ms=ms, spread=0.0, runs=10, status="measured")
        for key, ms in times.items()
    )
    return LatencyTable(target=Target(), device="made up", runtime_version="0", rows=rows)


def scored(task: Task) -> Score:
    size = math.log10(count(task.architecture).params) / 8
    return Score(
        accuracy=size + (task.seed % 997) / 1e5,
        epochs=task.epochs,
        seed=task.seed,
        seconds=0.0,
        state="complete",
    )


def _died(task: Task) -> Score:
    return Score(
        accuracy=None,
        epochs=task.epochs,
        seed=task.seed,
        seconds=0.0,
        state="failed",
        reason="worker_died",
    )


class AtOnce:
    """Performs nothing, at once."""

    slots = 2

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Task]] = deque()

    def submit(self, ticket: int, task: Task) -> None:
        self._waiting.append((ticket, task))

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        ticket, task = self._waiting.popleft()
        return [(ticket, scored(task))]

    def close(self) -> None:
        self._waiting.clear()


@dataclass(slots=True, kw_only=True)
class SleepingBench(Bench):
    """What Ray workers share that sleep in place of training.

    Attributes:
        sleep_s: What each task takes.
    """

    sleep_s: float

    def perform(self, task: Task) -> Score:
        time.sleep(self.sleep_s)
        return scored(task)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    ticket: int
    task: Task
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    attempt: _Attempt
    what: Literal["done", "death"]
    took_s: float


class Simulated:
    """A cluster on a virtual clock, which also moves by what the driver takes in earnest.

    Trial times are log-normal with the given mean; a worker dies after an exponential time and
    comes back after a while. As with Ray's workers, only the living ones are `slots`, a task whose
    worker died is first in the queue for another one, and its second death is a failed score.

    Args:
        workers: How many there are while none is dead.
        mean_s: Of a trial.
        life_s: Mean life of a worker at work.
        back_s: From a worker's death until another one is in its place.
    """

    def __init__(self, workers: int, *, mean_s: float, life_s: float, back_s: float) -> None:
        self._rng = random.Random(0)
        self._mean_s, self._life_s, self._back_s = mean_s, life_s, back_s
        self._workers = workers
        self._living = self._free = workers
        self._events: list[tuple[float, int, _Ending | None]] = []
        self._waiting: deque[_Attempt] = deque()
        self._order = 0
        self._real = time.perf_counter()
        self.now = self.busy = self.lost = self.driver = 0.0
        self.deaths = 0

    @property
    def slots(self) -> int:
        return max(1, self._living)

    @property
    def idle_share(self) -> float:
        """Part of the workers' time in which none of them worked, those that were dead included."""
        return 1 - (self.busy + self.lost) / self._capacity

    @property
    def lost_share(self) -> float:
        """Part of the workers' time spent on tasks that they did not end."""
        return self.lost / self._capacity

    @property
    def _capacity(self) -> float:
        return max(1e-9, self.now * self._workers)

    def submit(self, ticket: int, task: Task) -> None:
        self._waiting.append(_Attempt(ticket=ticket, task=task))
        self._advance()
        self._dispatch()

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        """What the next event gives: one score, or none where a worker died or came back."""
        self._advance()
        at, _, ending = heapq.heappop(self._events)
        self.now = max(self.now, at)
        scores = self._back() if ending is None else self._ended(ending)
        self._dispatch()
        return scores

    def close(self) -> None:
        self._events.clear()

    def _back(self) -> list[tuple[int, Score]]:
        self._living += 1
        self._free += 1
        return []

    def _ended(self, ending: _Ending) -> list[tuple[int, Score]]:
        attempt = ending.attempt
        if ending.what == "done":
            self.busy += ending.took_s
            self._free += 1
            return [(attempt.ticket, scored(attempt.task))]
        self.deaths += 1
        self.lost += ending.took_s
        self._living -= 1
        self._push(self.now + self._back_s, None)
        if attempt.tries < _TRIES:
            self._waiting.appendleft(replace(attempt, tries=attempt.tries + 1))
            return []
        return [(attempt.ticket, _died(attempt.task))]

    def _advance(self) -> None:
        real = time.perf_counter()
        self.now += real - self._real
        self.driver += real - self._real
        self._real = real

    def _dispatch(self) -> None:
        while self._free and self._waiting:
            attempt = self._waiting.popleft()
            self._free -= 1
            took = self._rng.lognormvariate(math.log(self._mean_s) - 0.125, 0.5)
            dies = self._rng.expovariate(1 / self._life_s)
            spent = min(took, dies)
            what: Literal["done", "death"] = "done" if took <= dies else "death"
            self._push(self.now + spent, _Ending(attempt=attempt, what=what, took_s=spent))
        self._real = time.perf_counter()

    def _push(self, at: float, ending: _Ending | None) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, ending))
