"""A fixed list of tasks through the workers, as many in flight as there are slots."""

from collections.abc import Callable, Sequence

from mnas.search.executors import Executor
from mnas.search.recording import now
from mnas.search.stopping import StopRequest
from mnas.search.work import Task
from mnas.training import Score

Done = Callable[[int, Score, str], None]


def perform_all(tasks: Sequence[Task], executor: Executor, stop: StopRequest, done: Done) -> None:
    """Perform tasks; when somebody asks to stop, those that run end and no other starts.

    Args:
        tasks: What to do.
        executor: Who does it.
        stop: Whether to start nothing new.
        done: Told the index of a task, its score, and when it started, as each ends.
    """
    started: dict[int, str] = {}
    following = 0
    while True:
        while following < len(tasks) and len(started) < executor.slots and not stop.is_requested:
            started[following] = now()
            executor.submit(following, tasks[following])
            following += 1
        if not started:
            return
        for index, score in executor.collect(timeout=0.2):
            done(index, score, started.pop(index))
