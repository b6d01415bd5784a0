"""Workers that train nothing: at once, or on a virtual clock; and a table of their device."""

import heapq
import math
import random
import time
from collections import deque

from mnas.arch import block_counts, count
from mnas.latency import LatencyTable, TableRow, Target
from mnas.search.work import Task
from mnas.space import SearchSpace
from mnas.training import Score


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


class Simulated:
    """A cluster on a virtual clock, which also moves by what the driver takes in earnest.

    Trial times are log-normal with the given mean; a worker dies after an exponential time, comes
    back after a while, and its task is done again by whoever is free.
    """

    def __init__(self, workers: int, *, mean_s: float, life_s: float, back_s: float) -> None:
        self._rng = random.Random(0)
        self._mean_s, self._life_s, self._back_s = mean_s, life_s, back_s
        self._free = workers
        self._workers = workers
        self._events: list[tuple[float, int, str, int, Task | None, float]] = []
        self._waiting: deque[tuple[int, Task]] = deque()
        self._order = 0
        self._real = time.perf_counter()
        self.now = self.busy = self.lost = self.driver = 0.0
        self.deaths = 0

    @property
    def slots(self) -> int:
        return self._workers

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
        self._waiting.append((ticket, task))
        self._advance()
        self._dispatch()

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        self._advance()
        while True:
            self._dispatch()
            at, _, what, ticket, task, took = heapq.heappop(self._events)
            self.now = max(self.now, at)
            self._free += what != "death"
            if what == "done":
                assert task is not None
                self.busy += took
                self._dispatch()
                return [(ticket, scored(task))]
            if what == "death":
                assert task is not None
                self.deaths += 1
                self.lost += took
                self._waiting.appendleft((ticket, task))
                self._push(self.now + self._back_s, "back", 0, None, 0.0)

    def close(self) -> None:
        self._events.clear()

    def _advance(self) -> None:
        real = time.perf_counter()
        self.now += real - self._real
        self.driver += real - self._real
        self._real = real

    def _dispatch(self) -> None:
        while self._free and self._waiting:
            ticket, task = self._waiting.popleft()
            self._free -= 1
            took = self._rng.lognormvariate(math.log(self._mean_s) - 0.125, 0.5)
            dies = self._rng.expovariate(1 / self._life_s)
            what = "done" if took <= dies else "death"
            spent = min(took, dies)
            self._push(self.now + spent, what, ticket, task, spent)
        self._real = time.perf_counter()

    def _push(self, at: float, what: str, ticket: int, task: Task | None, took: float) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, what, ticket, task, took))
