"""Workers that die and nodes that go: the search goes on, nothing is lost or done twice."""

import contextlib
import os
import signal
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from formulas import FormulaBench, formula
from ray import exceptions as ray_exceptions

from mnas.results import RecordStore
from mnas.search.ray_workers import RayExecutor, WorkersError
from mnas.search.work import Bench, Task

# Ray leaves sockets and processes to the interpreter's end; neither is a fault of ours.
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where workers find this
    folder = tmp_path / "run" / "checkpoints" / "proxy"
    folder.mkdir(parents=True)
    return FormulaBench(data=None, recipe=None, threads=1, checkpoints=folder)


def test_killed_worker_is_replaced_and_its_task_is_done_once_more(bench, make_loop, tmp_path):
    executor = RayExecutor(bench, count=2, cpus=1)
    killed = []

    def observer(step):
        if step.done == 3 and not killed:
            killed.append(newest_pid(bench.checkpoints))
            os.kill(killed[0], signal.SIGKILL)

    try:
        with RecordStore(tmp_path / "records.db") as store:
            loop = make_loop(store, trials=8, epochs=(1,), executor=executor, observer=observer)
            loop.run()
            records = store.all()
    finally:
        executor.close()

    assert killed
    assert {record.state for record in records} == {"complete"}
    assert set(Counter(record.id for record in records).values()) == {1}
    assert len(records) == 8
    for record in records:  # who computed a score does not matter
        assert record.accuracy == formula_of(record, tmp_path)


def formula_of(record, tmp_path):
    with RecordStore(tmp_path / "records.db") as store:
        return formula(store.architecture(record.id), record.epochs, record.seed)


def newest_pid(folder: Path) -> int:
    return int(max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns).read_text())


@pytest.mark.slow
def test_node_of_a_cluster_that_is_killed_in_the_middle_does_not_stop_the_search(
    bench, make_loop, tmp_path
):
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False},
    )
    second = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    executor = RayExecutor(bench, count=3, cpus=1, address=cluster.address)
    killed = []

    def observer(step):
        if step.done >= 6 and not killed:
            killed.append(second)
            cluster.remove_node(second, allow_graceful=False)

    try:
        with RecordStore(tmp_path / "records.db") as store:
            loop = make_loop(store, trials=24, epochs=(1,), executor=executor, observer=observer)
            loop.run()
            records = store.all()
    finally:
        executor.close()
        cluster.shutdown()

    assert killed
    assert len({record.id for record in records}) == len(records) == 24
    assert {record.state for record in records} == {"complete"}


def test_cluster_that_is_not_there_is_named():
    with pytest.raises(WorkersError, match=r"with the cluster at 127\.0\.0\.1:1"):
        RayExecutor(
            Bench(data=None, recipe=None, threads=1, checkpoints=None),
            count=1,
            cpus=1,
            address="127.0.0.1:1",
        )


class FakeRay:
    """What the executor asks of Ray while it hires, on a cluster with so many GPUs."""

    exceptions = ray_exceptions

    def __init__(self, gpus):
        self.gpus, self.asked, self.is_down = gpus, [], False

    def cluster_resources(self):
        return {"CPU": 2.0, **({"GPU": float(self.gpus)} if self.gpus else {})}

    def put(self, value):
        return value

    def remote(self, actor_class):
        return SimpleNamespace(options=self._options)

    def _options(self, **asked):
        self.asked.append(asked)
        place = len(self.asked)
        ready = SimpleNamespace(remote=lambda: place)
        return SimpleNamespace(remote=lambda bench: SimpleNamespace(is_ready=ready))

    def wait(self, references, num_returns, timeout):
        return references[:1], references[1:]

    def get(self, reference):
        return True

    def shutdown(self):
        self.is_down = True


def test_workers_ask_ray_for_their_share_of_a_gpu(bench, monkeypatch):
    ray = FakeRay(gpus=1)
    monkeypatch.setattr("mnas.search.ray_workers._start_ray", lambda cpus: ray)
    RayExecutor(bench, count=2, cpus=1, gpus=0.5)
    assert ray.asked == [{"num_cpus": 1, "num_gpus": 0.5, "max_restarts": 0}] * 2


def test_gpus_that_ray_does_not_see_are_refused_in_words(bench, monkeypatch):
    ray = FakeRay(gpus=0)
    monkeypatch.setattr("mnas.search.ray_workers._start_ray", lambda cpus: ray)
    said = r"asks for 0\.5 GPU per worker \(workers\.gpus\); Ray sees none on this machine"
    with pytest.raises(WorkersError, match=said):
        RayExecutor(bench, count=2, cpus=1, gpus=0.5)
    assert ray.is_down
    assert ray.asked == []


class DyingRay(FakeRay):
    """Workers that start, and end their tasks, one after the other as they are told to.

    Each is `done`, `died`, `was dead` before it took its task, `unavailable`, or dies as its
    `node is lost`.
    """

    def __init__(self, *, starts=(), tasks=()):
        super().__init__(gpus=0)
        self.starts, self.tasks = list(starts), list(tasks)
        self.lost_nodes, self.answers = 0, []

    def nodes(self):
        return [{"NodeID": "head", "Alive": True}] + [
            {"NodeID": f"node{number}", "Alive": False} for number in range(self.lost_nodes)
        ]

    def _options(self, **asked):
        begun = []

        def is_ready():
            if not begun:
                begun.append(self)
                return self._answer(self.starts.pop(0) if self.starts else "done")
            return self._answer("died" if self.tasks[:1] == ["was dead"] else "done")

        return SimpleNamespace(
            remote=lambda bench: SimpleNamespace(
                is_ready=SimpleNamespace(remote=is_ready),
                perform=SimpleNamespace(remote=lambda task: self._answer(self.tasks.pop(0))),
            )
        )

    def _answer(self, end):
        self.answers.append(end)
        return len(self.answers) - 1

    def get(self, reference, timeout=None):
        end = self.answers[reference]
        self.lost_nodes += end == "node is lost"
        if end == "unavailable":
            raise ray_exceptions.ActorUnavailableError("connection reset", None)
        if end != "done":
            raise ray_exceptions.ActorDiedError
        return SimpleNamespace(reason=None), None

    def kill(self, actor):
        pass


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        (["died", "done"], None),
        (["died", "died"], "worker_died"),
        (["was dead"] * 5 + ["done"], None),
        (["node is lost"] * 5 + ["done"], None),
        (["unavailable"] * 5 + ["done"], None),
        (["node is lost", "died", "was dead", "died"], "worker_died"),
        (["unavailable"] * 10, "worker_died"),
    ],
)
def test_candidate_is_at_fault_only_where_its_worker_took_it_and_died_on_a_living_node(
    bench, monkeypatch, ends, reason
):
    ray = DyingRay(tasks=ends)
    monkeypatch.setattr("mnas.search.ray_workers._start_ray", lambda cpus: ray)
    executor = RayExecutor(bench, count=1, cpus=1)
    executor.submit(7, SimpleNamespace(epochs=1, seed=0, weights_to=None))
    scores = []
    while not scores:
        scores = executor.collect(timeout=1.0)

    assert [(ticket, score.reason) for ticket, score in scores] == [(7, reason)]
    assert ray.tasks == []


def test_workers_that_were_starting_on_a_lost_node_do_not_end_a_run(bench, monkeypatch):
    ray = DyingRay(starts=["node is lost"] + ["died"] * 7)
    monkeypatch.setattr("mnas.search.ray_workers._start_ray", lambda cpus: ray)
    executor = RayExecutor(bench, count=8, cpus=1)
    for _ in range(16):
        executor.collect(timeout=1.0)
    assert executor.slots == 8


def test_five_workers_that_die_while_they_start_end_a_run_though_a_node_was_lost_before(
    bench, monkeypatch
):
    ray = DyingRay(starts=["node is lost"] + ["died"] * 5)
    monkeypatch.setattr("mnas.search.ray_workers._start_ray", lambda cpus: ray)
    with pytest.raises(WorkersError, match="5 workers in a row died while they started"):
        RayExecutor(bench, count=1, cpus=1)
    assert ray.is_down


@pytest.mark.slow
def test_candidate_that_loses_its_node_twice_is_done_on_the_third(bench, space):
    from ray.cluster_utils import Cluster

    bench.seconds = 6.0
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    executor = RayExecutor(bench, count=1, cpus=1, address=cluster.address)
    try:
        architecture = next(iter(space.enumerate()))
        executor.submit(7, Task(architecture=architecture, stage="proxy", epochs=1, seed=0))
        for begun in (1, 2):
            while len(list(bench.checkpoints.iterdir())) < begun:
                assert executor.collect(timeout=0.1) == []
            lost, node = node, cluster.add_node(num_cpus=1)
            cluster.remove_node(lost, allow_graceful=False)
            with contextlib.suppress(ProcessLookupError):  # a worker may outlive Ray for a while
                os.kill(newest_pid(bench.checkpoints), signal.SIGKILL)
        scores = []
        while not scores:
            scores = executor.collect(timeout=1.0)
    finally:
        executor.close()
        cluster.shutdown()

    assert [(ticket, score.state, score.reason) for ticket, score in scores] == [
        (7, "complete", None)
    ]
    assert len(list(bench.checkpoints.iterdir())) == 3


@pytest.mark.slow
def test_two_workers_share_one_gpu_of_a_real_ray(bench, monkeypatch):
    from mnas.search import ray_workers

    init = ray_workers._init
    monkeypatch.setattr(ray_workers, "_init", lambda **options: init(num_gpus=1, **options))
    executor = RayExecutor(bench, count=2, cpus=1, gpus=0.5)
    try:
        for _ in range(600):
            executor.collect(timeout=0.1)
            if executor.slots == 2:
                break
        assert executor.slots == 2
    finally:
        executor.close()
