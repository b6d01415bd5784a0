"""Ray actors that train, on this machine or on the nodes of a cluster."""

import logging
import os
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnas.arch import MnasError, write_atomically
from mnas.search.work import Bench, Task
from mnas.training import Score

logger = logging.getLogger(__name__)
_DEATHS = 2  # a candidate of which two workers die is at fault itself
_LOSSES = 10  # so often a task is lost, whoever is at fault, before it is given up
_START_TRIES = 5  # workers in a row that die before they are ready
_PATIENCE_S = 300.0  # without any living worker, before the run ends; it can be resumed


class WorkersError(MnasError):
    """Ray did not start, or no worker did."""


@dataclass(slots=True)
class _Job:
    """A task on its way through the workers."""

    ticket: int
    task: Task
    deaths: int = 0  # of workers, by this task
    losses: int = 0  # however the task was lost
    actor: Any = None
    taken: Any = None  # what the worker answers before it begins
    lost_nodes: frozenset[str] = field(default_factory=frozenset)  # known when it was handed over


class RayExecutor:
    """Long-lived Ray actors, one task each at a time.

    A worker that dies is replaced and its task is tried again; a task of which two workers die is
    a score that failed with `worker_died`. It is no fault of the task if the worker was dead
    before, if Ray has lost a node since, or cannot say that the worker is dead; only a task that
    was lost ten times is given up all the same. Workers that a cluster cannot place yet are waited
    for, beside the work of the others, so a lost node only makes a search slower.

    Args:
        bench: What the workers share; it is put into Ray's object store once, its arrays are
            not copied by the workers of a node.
        count: Number of workers.
        cpus: Processors, and training threads, of each.
        gpus: Share of a GPU that each takes; Ray shows a worker no other.
        address: Of a running cluster; None starts Ray on this machine.
        started: Called when processes of this run may have started.

    Raises:
        WorkersError: Ray did not start, sees no GPU where one is asked for, or no worker could.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        count: int,
        cpus: int,
        gpus: float = 0,
        address: str | None = None,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self._ray = _connect(address) if address is not None else _start_ray(count * cpus)
        self._started = started
        self._cpus, self._gpus = cpus, gpus
        if gpus:
            self._require_gpus(address)
        self._bench = self._ray.put(bench)
        self._actor_class = self._ray.remote(_actor_class())
        self._idle: deque[Any] = deque()
        self._starting: dict[Any, tuple[Any, frozenset[str]]] = {}
        self._running: dict[Any, _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._lost_nodes: frozenset[str] = frozenset()
        self._failed_starts = 0
        self._alive_at = time.monotonic()
        started()
        for _ in range(count):
            self._hire()
        try:
            while not self._idle:
                self._collect(timeout=1.0)
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Workers that live; at least one task may always wait for the first that comes."""
        return max(1, len(self._idle) + len(self._running))

    def submit(self, ticket: int, task: Task) -> None:
        self._waiting.append(_Job(ticket, task))
        self._dispatch()

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        return self._collect(timeout)

    def close(self) -> None:
        self._ray.shutdown()

    def _collect(self, timeout: float) -> list[tuple[int, Score]]:
        references = [*self._running, *self._starting]
        done, _ = self._ray.wait(references, num_returns=1, timeout=timeout)
        scores = []
        for reference in done:
            if reference in self._starting:
                self._welcome(reference)
            elif (scored := self._finished(reference)) is not None:
                scores.append(scored)
        self._dispatch()
        self._require_somebody()
        return scores

    def _dispatch(self) -> None:
        while self._idle and self._waiting:
            job = self._waiting.popleft()
            job.actor = self._idle.popleft()
            job.lost_nodes = self._lost_nodes
            job.taken = job.actor.is_ready.remote()
            self._running[job.actor.perform.remote(job.task)] = job

    def _finished(self, reference: Any) -> tuple[int, Score] | None:
        """The score of a task that ended; None when it is tried again."""
        job = self._running.pop(reference)
        task = job.task
        try:
            score, weights = self._ray.get(reference)
            if weights is not None and task.weights_to is not None:
                write_atomically(task.weights_to, weights)
        except self._ray.exceptions.RayTaskError as error:  # an exception of the work itself
            score = _failure(task, f"exception: {error.cause!r}", str(error))
        except self._ray.exceptions.RayError as error:  # the worker died, or Ray ended it
            job.losses += 1
            job.deaths += self._died_of(job, error)
            logger.warning("a worker died (%d of %d by its task): %s", job.deaths, _DEATHS, error)
            self._dismiss(job.actor)
            if job.deaths < _DEATHS and job.losses < _LOSSES:
                self._waiting.appendleft(job)
                return None
            is_memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
            reason = "out_of_memory" if is_memory else "worker_died"
            return job.ticket, _failure(task, reason, str(error))
        self._idle.append(job.actor)
        return job.ticket, score

    def _died_of(self, job: _Job, error: Exception) -> bool:
        """Whether a worker lived when it took its task, and died though its node lives."""
        if self._lost_a_node_since(job.lost_nodes):
            return False
        if isinstance(error, self._ray.exceptions.ActorUnavailableError):
            return False  # out of reach: its node may be lost, and Ray not know it yet
        try:
            self._ray.get(job.taken, timeout=1.0)
        except self._ray.exceptions.RayError:
            return False
        return True

    def _lost_a_node_since(self, known: frozenset[str]) -> bool:
        """Whether Ray has lost a node, any of them, that was not known to be lost."""
        self._lost_nodes = frozenset(
            str(node["NodeID"]) for node in self._ray.nodes() if not node["Alive"]
        )
        return not self._lost_nodes <= known

    def _welcome(self, reference: Any) -> None:
        actor, lost_nodes = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += not self._lost_a_node_since(lost_nodes)
            logger.warning("a worker did not start: %s", error)
            if self._failed_starts >= _START_TRIES:
                raise WorkersError(
                    f"{_START_TRIES} workers in a row died while they started: {error}"
                ) from error
            self._dismiss(actor)
            return
        self._failed_starts = 0
        self._idle.append(actor)
        self._started()

    def _hire(self) -> None:
        options = self._actor_class.options(
            num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0
        )
        actor = options.remote(self._bench)
        self._starting[actor.is_ready.remote()] = actor, self._lost_nodes

    def _require_gpus(self, address: str | None) -> None:
        """Workers that no node can ever place would be waited for in vain."""
        if self._ray.cluster_resources().get("GPU", 0) >= self._gpus:
            return
        self.close()
        where = "on this machine" if address is None else f"in the cluster at {address}"
        raise WorkersError(
            f"the experiment asks for {self._gpus:g} GPU per worker (workers.gpus); Ray sees none "
            f"{where}. Set workers.gpus=0 to train on processors, or name a cluster that has GPUs "
            "in workers.address; `nvidia-smi` says what a machine has"
        )

    def _dismiss(self, actor: Any) -> None:
        self._ray.kill(actor)
        self._hire()

    def _require_somebody(self) -> None:
        if self._idle or self._running:
            self._alive_at = time.monotonic()
        elif time.monotonic() - self._alive_at > _PATIENCE_S:
            free = self._ray.available_resources()
            gpus = f" and {self._gpus:g} GPU" if self._gpus else ""
            has = f", {free.get('GPU', 0):g} GPU" if self._gpus else ""
            raise WorkersError(
                f"no worker started within {_PATIENCE_S:.0f} s: each asks for {self._cpus} "
                f"processors{gpus}, Ray has {free.get('CPU', 0):g}{has} free. Everything finished "
                "is saved; lower workers.cpus or mend the cluster, and run the same command again."
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

        def __init__(self, bench: Bench) -> None:
            import signal
            from dataclasses import replace

            # Ctrl-C is for the driver, which lets running work end; workers do not take it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if bench.checkpoints is not None and not bench.checkpoints.parents[1].is_dir():
                # A node that does not see the run's folder keeps checkpoints to itself: they are
                # only a cache.
                bench = replace(bench, checkpoints=Path(tempfile.mkdtemp(prefix="mnas-")))
            self._bench = bench

        def is_ready(self) -> bool:
            return True

        def perform(self, task: Task) -> tuple[Score, bytes | None]:
            """The score and the weights, which travel to the driver: it may be another machine."""
            from dataclasses import replace

            if task.weights_to is None:
                return self._bench.perform(task), None
            with tempfile.TemporaryDirectory(prefix="mnas-") as folder:
                path = Path(folder) / task.weights_to.name
                score = self._bench.perform(replace(task, weights_to=path))
                return score, path.read_bytes() if path.is_file() else None

    return Worker


def _start_ray(cpus: int) -> Any:
    return _init(
        address="local",  # never a cluster that happens to be near
        num_cpus=cpus,
        _node_ip_address="127.0.0.1",
        include_dashboard=False,
    )


def _connect(address: str) -> Any:
    host, _, port = address.partition(":")
    if port:  # Ray itself tries for minutes
        try:
            socket.create_connection((host, int(port)), timeout=10.0).close()
        except OSError as error:
            raise WorkersError(
                f"Ray did not start with the cluster at {address}: {error.strerror or error}. "
                "Start one there with `ray start --head`, or set workers.address to null."
            ) from None
    return _init(address=address)


def _init(*, address: str, **options: Any) -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray 2.60 warns without it
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray as ray_module

    ray: Any = ray_module  # ray ships untyped functions
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = "on this machine" if address == "local" else f"with the cluster at {address}"
        raise WorkersError(
            f"Ray did not start {where}: {error}. `mnas doctor` checks what Ray needs."
        ) from error
    return ray
