"""Who does the work: Ray actors, or the caller itself. Both give the same scores."""

import logging
import os
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from mnas.arch import MnasError
from mnas.search.work import Bench, Task
from mnas.training import Score

logger = logging.getLogger(__name__)
_TRIES = 2


class WorkersError(MnasError):
    """Ray did not start."""


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


class RayExecutor:
    """Long-lived Ray actors, one task each at a time.

    A worker that dies is replaced and its task is tried again; a task whose worker dies twice is
    a score that failed with `worker_died`.

    Args:
        bench: What the workers share; the data is put into Ray's object store once.
        count: Number of workers.
        cpus: Processors, and training threads, of each.
        started: Called with the pids of the processes of this run, when they are known.

    Raises:
        WorkersError: Ray did not start.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        count: int,
        cpus: int,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self._ray = _start_ray(count * cpus)
        started()
        self._cpus = cpus
        self._data = self._ray.put(bench.data)
        self._bench = bench
        self._actor_class = self._ray.remote(_actor_class())
        self._idle: deque[Any] = deque(self._actor() for _ in range(count))
        self._count = count
        self._running: dict[Any, tuple[int, Task, Any, int]] = {}
        started()

    @property
    def slots(self) -> int:
        return self._count

    def submit(self, ticket: int, task: Task, tries: int = 1) -> None:
        actor = self._idle.popleft()
        self._running[actor.perform.remote(task)] = (ticket, task, actor, tries)

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        scores = []
        for reference in done:
            ticket, task, actor, tries = self._running.pop(reference)
            try:
                score = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:  # an exception of the work itself
                self._idle.append(actor)
                score = _failure(task, f"exception: {error.cause!r}", str(error))
            except self._ray.exceptions.RayError as error:  # the worker died, or Ray ended it
                logger.warning("a worker died (try %d of %d): %s", tries, _TRIES, error)
                self._ray.kill(actor)
                self._idle.append(self._actor())
                if tries < _TRIES:
                    self.submit(ticket, task, tries + 1)
                    continue
                is_memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
                score = _failure(task, "out_of_memory" if is_memory else "worker_died", str(error))
            else:
                self._idle.append(actor)
            scores.append((ticket, score))
        return scores

    def close(self) -> None:
        self._ray.shutdown()

    def _actor(self) -> Any:
        return self._actor_class.options(num_cpus=self._cpus, max_restarts=0).remote(
            self._data, self._bench.recipe, self._bench.threads, self._bench.checkpoints
        )


def _failure(task: Task, reason: str, trace: str) -> Score:
    return Score(
        accuracy=None,
        epochs=task.epochs,
        seed=task.seed,
        seconds=0.0,
        state="failed",
        reason=reason,
        traceback=trace,
    )


def _actor_class() -> type:
    class Worker:
        """Lives as long as the search and holds the data; imports no optuna."""

        def __init__(self, data: Any, recipe: Any, threads: int, checkpoints: Any) -> None:
            import signal

            # Ctrl-C is for the driver, which lets running work end; workers do not take it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._bench = Bench(data=data, recipe=recipe, threads=threads, checkpoints=checkpoints)

        def perform(self, task: Task) -> Score:
            return self._bench.perform(task)

    return Worker


def _start_ray(cpus: int) -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray 2.60 warns without it
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray as ray_module

    ray: Any = ray_module  # ray ships untyped functions

    try:
        ray.init(
            address="local",  # never a cluster that happens to be near
            num_cpus=cpus,
            _node_ip_address="127.0.0.1",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise WorkersError(
            f"Ray did not start on this machine: {error}. `mnas doctor` checks what Ray needs."
        ) from error
    return ray
