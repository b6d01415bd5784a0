"""What the driver costs: no-op trials a second, memory and time as a search grows, idle workers.

The loop, the records (SQLite on disk, synchronous) and the sampler are the real ones; only the
training is replaced. Parts, each of which can be named:

    growth    no-op trials through the driver, time and memory in steps up to --trials
    optuna    the same ask and tell with plain Optuna on SQLite, for --seconds
    tune      ray.tune with OptunaSearch, for a few trials, where it can be imported
    overhead  trials that take --sleep seconds on 2 Ray workers, against the time they must take
    cluster   a simulated cluster: virtual clock, --workers workers, trial times and deaths drawn

Example: python benchmarks/orchestration.py growth optuna cluster --trials 20000 --json
"""

import argparse
import heapq
import itertools
import json
import math
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil

from mnas.arch import Architecture, count
from mnas.latency import Latency
from mnas.results import RecordStore
from mnas.search.executors import Executor
from mnas.search.ground import Ground
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import ignore
from mnas.search.proposing import Proposer
from mnas.search.ray_workers import RayExecutor
from mnas.search.samplers import sampler_factory
from mnas.search.stopping import StopRequest
from mnas.search.trials import Plan, TrialLoop
from mnas.search.work import Bench, Task
from mnas.space import SearchSpace, load_space
from mnas.training import Score

Answer = dict[str, Any]


class ByMacs:
    """Latency by MACs: what a table costs is measured elsewhere."""

    def predict(self, arch: Architecture, /) -> Latency:
        return Latency(ms=count(arch).macs / 1e7, low_ms=None, high_ms=None, predicted_share=0.0)


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


def loop(
    space: SearchSpace, store: RecordStore, executor: Executor, trials: int, sampler: str
) -> TrialLoop:
    objectives = Objectives(targets=("cpu",), with_latency=True)
    limits = Limits(predictors={"cpu": ByMacs()})
    ground = Ground(space, limits, objectives)
    return TrialLoop(
        Plan(trials=trials, epochs=(1,), seed=0),
        space=space,
        limits=limits,
        objectives=objectives,
        proposer=Proposer(
            space, sampler_factory(sampler, ground), seed=0, directions=objectives.directions
        ),
        store=store,
        executor=executor,
        observer=ignore,
        stop=StopRequest(),
    )


def growth(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """Time and memory of each tenth of a long search, beside the first tenth."""
    process = psutil.Process()
    found: Answer = {"sampler": options.sampler, "steps": []}
    with tempfile.TemporaryDirectory() as folder, RecordStore(Path(folder) / "r.db") as store:
        marks: list[tuple[int, float, int]] = [(0, time.perf_counter(), process.memory_info().rss)]
        executor = AtOnce()
        trial_loop = loop(space, store, executor, options.trials, options.sampler)
        step = max(1, options.trials // 10)

        def observe(shown: Any) -> None:
            if shown.done >= marks[-1][0] + step:
                marks.append((shown.done, time.perf_counter(), process.memory_info().rss))

        trial_loop._observer = observe
        trial_loop.run()
    for before, after in itertools.pairwise(marks):
        found["steps"].append(
            {
                "trials": after[0],
                "trials_per_second": (after[0] - before[0]) / (after[1] - before[1]),
                "memory_mb": after[2] / 1e6,
            }
        )
    first, last = found["steps"][0], found["steps"][-1]
    total = marks[-1][0] / (marks[-1][1] - marks[0][1])
    found["trials_per_second"] = total
    found["last_over_first_speed"] = last["trials_per_second"] / first["trials_per_second"]
    grown = marks[-1][2] - marks[1][2]
    found["bytes_per_trial"] = grown / max(1, marks[-1][0] - marks[1][0])
    return found


def plain_optuna(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """Plain Optuna on SQLite: ask, suggest every choice, tell."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(
            storage=f"sqlite:///{folder}/study.db", sampler=optuna.samplers.RandomSampler(seed=0)
        )
        started, trials = time.perf_counter(), 0
        while time.perf_counter() - started < options.seconds:
            trial = study.ask()
            for name, choices in space.choices.items():
                trial.suggest_categorical(name, choices)
            study.tell(trial, 0.5)
            trials += 1
        return {"trials_per_second": trials / (time.perf_counter() - started)}


def tune(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """ray.tune with OptunaSearch on two processors."""
    try:
        from ray import tune as ray_tune
        from ray.tune.search.optuna import OptunaSearch
    except ImportError as error:
        return {"skipped": f"cannot be imported here: {error}"}
    started = time.perf_counter()
    ray_tune.Tuner(
        lambda config: {"score": 0.5},
        param_space={
            name: ray_tune.choice(list(choices)) for name, choices in space.choices.items()
        },
        tune_config=ray_tune.TuneConfig(
            metric="score", mode="max", num_samples=10, search_alg=OptunaSearch()
        ),
    ).fit()
    return {"trials_per_second": 10 / (time.perf_counter() - started)}


class SleepingBench(Bench):
    """Sleeps in place of training."""

    def perform(self, task: Task) -> Score:
        time.sleep(task.epochs)
        return scored(task)


def overhead(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """Wall time of trials that sleep, over what two workers must take for them."""
    bench = SleepingBench(data=None, recipe=None, threads=1, checkpoints=None)  # type: ignore[arg-type]
    executor = RayExecutor(bench, count=2, cpus=1)
    try:
        with tempfile.TemporaryDirectory() as folder, RecordStore(Path(folder) / "r.db") as store:
            trial_loop = loop(space, store, executor, options.sleeps, options.sampler)
            trial_loop._plan = Plan(trials=options.sleeps, epochs=(options.sleep,), seed=0)
            started = time.perf_counter()
            trial_loop.run()
            wall = time.perf_counter() - started
    finally:
        executor.close()
    least = options.sleep * math.ceil(options.sleeps / 2)
    return {"wall_s": wall, "least_s": least, "overhead": wall / least - 1}


def cluster(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """The real driver and records on a simulated cluster."""
    executor = Simulated(options.workers, mean_s=600.0, life_s=24 * 3600.0, back_s=120.0)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, RecordStore(Path(folder) / "r.db") as store:
        loop(space, store, executor, options.trials, options.sampler).run()
        records = len(store.all())
    capacity = executor.now * options.workers
    return {
        "sampler": options.sampler,
        "workers": options.workers,
        "trials": records,
        "virtual_hours": executor.now / 3600,
        "driver_seconds": executor.driver,
        "real_seconds": time.perf_counter() - started,
        "idle_share": 1 - (executor.busy + executor.lost) / capacity,
        "lost_share": executor.lost / capacity,
        "deaths": executor.deaths,
    }


PARTS: dict[str, Callable[[SearchSpace, argparse.Namespace], Answer]] = {
    "growth": growth,
    "optuna": plain_optuna,
    "tune": tune,
    "overhead": overhead,
    "cluster": cluster,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=[*PARTS], metavar="PART")
    parser.add_argument("--space", default="ofa_mobilenet_v3")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of plain Optuna")
    parser.add_argument("--sleep", type=int, default=10, help="seconds of a trial of `overhead`")
    parser.add_argument("--sleeps", type=int, default=12, help="trials of `overhead`")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    space = load_space(options.space)
    found = {part: PARTS[part](space, options) for part in options.parts}
    if "growth" in found and "trials_per_second" in found.get("optuna", {}):
        ratio = found["growth"]["trials_per_second"] / found["optuna"]["trials_per_second"]
        found["ratio"] = {"mnas_over_optuna_on_sqlite": ratio}
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        print()
        return
    for part, answer in found.items():
        print(part)
        for key, value in answer.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            print(f"  {key}: {shown}")


if __name__ == "__main__":
    main()
