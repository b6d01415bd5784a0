"""Workers that die and nodes that go: the search goes on, nothing is lost or done twice."""

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
from mnas.search.work import Bench

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
