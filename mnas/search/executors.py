"""Who does the work: Ray actors (`ray_workers`) or the caller itself, with the same scores."""

from collections import deque
from typing import Protocol

from mnas.search.work import Bench, Task
from mnas.training import Score


class Executor(Protocol):
    """Performs tasks, at most `slots` at a time."""

    @property
    def slots(self) -> int: ...

    def submit(self, ticket: int, task: Task) -> None:
        """Start a task; `ticket` names it among those in flight."""
        ...

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        """Scores that are done, waiting for at least one up to `timeout` seconds."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class InlineExecutor:
    """Performs each task in the caller's process when it is collected, for tests and debugging."""

    slots = 1

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._waiting: deque[tuple[int, Task]] = deque()

    def submit(self, ticket: int, task: Task) -> None:
        self._waiting.append((ticket, task))

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        if not self._waiting:
            return []
        ticket, task = self._waiting.popleft()
        return [(ticket, self._bench.perform(task))]

    def close(self) -> None:
        self._waiting.clear()
