"""What the driver costs: no-op trials a second, memory and time as a search grows, idle workers.

The loop, the records (SQLite on disk, synchronous) and the sampler are the real ones; only the
training is replaced. Parts, each of which can be named:

    growth    no-op trials in the driver's own process, time and memory in ten steps to --trials
    optuna    the same ask and tell with plain Optuna on SQLite, for --seconds
    ray       no-op trials through 2 Ray workers, for --seconds or up to --trials
    tune      50 no-op trials through ray.tune with OptunaSearch (random) on 2 processors, where it
              can be imported
    overhead  trials that take --sleep seconds on 2 Ray workers, against the time they must take,
              for the first of --samplers
    cluster   a simulated cluster: virtual clock, --workers workers, trial times and deaths drawn

`growth`, `ray` and `cluster` do it for each of --samplers. Where Ray is used, it is up before the
clock starts. Each step is printed to stderr as it ends, and after --limit seconds a sampler ends
where it is.

Example: python benchmarks/orchestration.py growth optuna cluster --trials 20000 --json
"""

import argparse
import contextlib
import itertools
import json
import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
from no_op_workers import AtOnce, Simulated, SleepingBench, table_by_macs

from mnas.results import RecordStore
from mnas.search.executors import Executor
from mnas.search.ground import Ground
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import Step
from mnas.search.proposing import Proposer
from mnas.search.ray_workers import RayExecutor
from mnas.search.samplers import sampler_factory
from mnas.search.stopping import StopRequest
from mnas.search.trials import Plan, TrialLoop
from mnas.space import SearchSpace, load_space

Answer = dict[str, Any]
_RAY_WORKERS = 2
_TUNED = 50  # trials of ray.tune


class Watch:
    """Prints each tenth of a search as it ends, and ends the search when its time is over.

    Args:
        what: Said before each line.
        trials: Of the whole search.
        limit_s: Seconds after which nothing new is started.
        more: What else a line says.
    """

    def __init__(
        self, what: str, trials: int, limit_s: float, more: Callable[[], str] = lambda: ""
    ) -> None:
        self._what = what
        self._step = max(1, trials // 10)
        self._more = more
        self._process = psutil.Process()
        self._began = time.perf_counter()
        self._until = self._began + limit_s
        self._marks: list[tuple[int, float, float, int]] = [
            (0, self._began, time.process_time(), self._memory())
        ]
        self.stop = StopRequest()

    def __call__(self, step: Step) -> None:
        now = time.perf_counter()
        self.stop.is_requested = self.stop.is_requested or now > self._until
        if step.done >= self._marks[-1][0] + self._step:
            self._mark(step.done, now)

    def _mark(self, done: int, now: float) -> None:
        before, began, used, _ = self._marks[-1]
        self._marks.append((done, now, time.process_time(), self._memory()))
        each = 1e3 / (done - before)
        cpu = self._marks[-1][2] - used
        print(
            f"{self._what}: {done} trials, {each * (now - began):.2f} ms a trial "
            f"({each * cpu:.2f} of the processor), {self._marks[-1][3] / 1e6:.1f} MB, "
            f"{now - self._began:.0f} s{self._more()}",
            file=sys.stderr,
            flush=True,
        )

    def _memory(self) -> int:
        return int(self._process.memory_info().rss)

    def answer(self) -> Answer:
        """Time and memory of each step, and of the last beside the second, which has warmed up."""
        steps = [
            {
                "trials": after[0],
                "ms_per_trial": 1e3 * (after[1] - before[1]) / (after[0] - before[0]),
                "cpu_ms_per_trial": 1e3 * (after[2] - before[2]) / (after[0] - before[0]),
                "memory_mb": after[3] / 1e6,
            }
            for before, after in itertools.pairwise(self._marks)
        ]
        found: Answer = {"is_cut_short": self.stop.is_requested, "steps": steps}
        if len(steps) < 3:
            return found
        early, late = self._marks[1], self._marks[-1]
        return found | {
            "trials": late[0],
            "trials_per_second": late[0] / (late[1] - self._began),
            "last_over_second_cpu": steps[-1]["cpu_ms_per_trial"] / steps[1]["cpu_ms_per_trial"],
            "bytes_per_trial": (late[3] - early[3]) / (late[0] - early[0]),
        }


def loop(
    space: SearchSpace,
    store: RecordStore,
    executor: Executor,
    watch: Watch,
    *,
    sampler: str,
    trials: int,
) -> TrialLoop:
    objectives = Objectives(targets=("cpu",), with_latency=True)
    limits = Limits(predictors={"cpu": table_by_macs(space)})
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
        observer=watch,
        stop=watch.stop,
    )


def growth(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """Time and memory of each tenth of a long search, beside the first tenth."""
    found = {}
    for sampler in options.samplers.split(","):
        with tempfile.TemporaryDirectory() as folder, RecordStore(Path(folder) / "r.db") as store:
            watch = Watch(f"growth {sampler}", options.trials, options.limit)
            loop(space, store, AtOnce(), watch, sampler=sampler, trials=options.trials).run()
            found[sampler] = watch.answer()
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


def no_ops_through_ray(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """Trials that take no time, through Ray workers and into the records."""
    found = {}
    for sampler in options.samplers.split(","):
        wall, trials = _through_ray(
            space, sampler, options.trials, sleep_s=0.0, limit_s=options.seconds
        )
        found[sampler] = {"trials": trials, "trials_per_second": trials / wall}
    return found


def overhead(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """Wall time of trials that sleep, over what the workers must take for them."""
    sampler = options.samplers.split(",")[0]
    wall, _ = _through_ray(space, sampler, options.sleeps, sleep_s=options.sleep)
    least = options.sleep * math.ceil(options.sleeps / _RAY_WORKERS)
    return {"sampler": sampler, "wall_s": wall, "least_s": least, "overhead": wall / least - 1}


def _through_ray(
    space: SearchSpace, sampler: str, trials: int, *, sleep_s: float, limit_s: float = math.inf
) -> tuple[float, int]:
    """Seconds and ended trials of a search whose workers all live before it begins."""
    bench = SleepingBench(
        data=None,  # type: ignore[arg-type]
        recipe=None,  # type: ignore[arg-type]
        threads=1,
        checkpoints=None,
        sleep_s=sleep_s,
    )
    executor = RayExecutor(bench, count=_RAY_WORKERS, cpus=1)
    try:
        while executor.slots < _RAY_WORKERS:
            executor.collect(timeout=1.0)
        with tempfile.TemporaryDirectory() as folder, RecordStore(Path(folder) / "r.db") as store:
            watch = Watch(f"{sampler} through Ray", trials, limit_s)
            trial_loop = loop(space, store, executor, watch, sampler=sampler, trials=trials)
            started = time.perf_counter()
            trial_loop.run()
            wall = time.perf_counter() - started
            return wall, sum(record.state == "complete" for record in store.trials())
    finally:
        executor.close()


def tune(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """No-op trials through ray.tune with OptunaSearch, which proposes at random as well.

    Ray runs already, and a first fit of two trials is not counted. What is counted is one whole
    `fit`: the trials, the start of the actors, which serve one trial after the other as mnas's
    workers do, and what Tune writes to the disk.
    """
    try:
        import ray
        from ray import tune as ray_tune
        from ray.tune.search.optuna import OptunaSearch
    except ImportError as error:
        return {"skipped": f"cannot be imported here: {error}"}

    def fit(trials: int, folder: str) -> None:
        results = ray_tune.Tuner(
            lambda config: {"score": 0.5},
            param_space={
                name: ray_tune.choice(list(choices)) for name, choices in space.choices.items()
            },
            tune_config=ray_tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=trials,
                reuse_actors=True,  # else each trial pays for a process of its own
                search_alg=OptunaSearch(sampler=optuna.samplers.RandomSampler(seed=0)),
            ),
            run_config=ray_tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        assert len(results) == trials
        assert not results.errors

    ray.init(
        address="local",
        num_cpus=_RAY_WORKERS,
        _node_ip_address="127.0.0.1",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        # Tune prints where it writes.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            fit(2, folder)
            started = time.perf_counter()
            fit(_TUNED, folder)
            wall = time.perf_counter() - started
    finally:
        ray.shutdown()
    return {"trials": _TUNED, "trials_per_second": _TUNED / wall}


def cluster(space: SearchSpace, options: argparse.Namespace) -> Answer:
    """The real driver and records on a simulated cluster."""
    return {sampler: _simulated(space, options, sampler) for sampler in options.samplers.split(",")}


def _simulated(space: SearchSpace, options: argparse.Namespace, sampler: str) -> Answer:
    executor = Simulated(options.workers, mean_s=600.0, life_s=24 * 3600.0, back_s=120.0)

    def more() -> str:
        return (
            f", {executor.now / 3600:.1f} virtual hours, {100 * executor.idle_share:.2f} % idle, "
            f"{100 * executor.lost_share:.2f} % lost in {executor.deaths} deaths"
        )

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, RecordStore(Path(folder) / "r.db") as store:
        watch = Watch(f"cluster {sampler}", options.trials, options.limit, more)
        loop(space, store, executor, watch, sampler=sampler, trials=options.trials).run()
        records = store.count()
        failed = sum(record.state == "failed" for record in store.trials())
    return {
        "workers": options.workers,
        "records": records,
        "failed": failed,
        "virtual_hours": executor.now / 3600,
        "driver_seconds": executor.driver,
        "real_seconds": time.perf_counter() - started,
        "idle_share": executor.idle_share,
        "lost_share": executor.lost_share,
        "deaths": executor.deaths,
        **watch.answer(),
    }


PARTS: dict[str, Callable[[SearchSpace, argparse.Namespace], Answer]] = {
    "growth": growth,
    "optuna": plain_optuna,
    "ray": no_ops_through_ray,
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
    parser.add_argument("--samplers", default="random,evolution,greybox")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument(
        "--limit",
        type=float,
        default=1800.0,
        help="seconds of one sampler in `growth` and `cluster`, after which it ends where it is",
    )
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of `optuna` and `ray`")
    parser.add_argument(
        "--sleep", type=float, default=10.0, help="seconds of a trial of `overhead`"
    )
    parser.add_argument("--sleeps", type=int, default=12, help="trials of `overhead`")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    if not (math.isfinite(options.sleep) and options.sleep > 0):
        parser.error(f"--sleep must be above 0 seconds; got {options.sleep:g} (`ray` sleeps none)")
    if options.sleeps < 1:
        parser.error(f"--sleeps must be at least 1; got {options.sleeps}")
    space = load_space(options.space)
    found = {part: PARTS[part](space, options) for part in options.parts}
    for ours, theirs, ratio in (
        ("growth", "optuna", "over_optuna_on_sqlite"),
        ("ray", "tune", "over_ray_tune"),
    ):
        their_rate = found.get(theirs, {}).get("trials_per_second")
        if their_rate and ours in found:
            found[ratio] = {
                sampler: each["trials_per_second"] / their_rate
                for sampler, each in found[ours].items()
                if "trials_per_second" in each
            }
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        print()
        return
    for part, answer in found.items():
        print(part)
        _print(answer, "  ")


def _print(answer: Answer, margin: str) -> None:
    for key, value in answer.items():
        if isinstance(value, dict):
            print(f"{margin}{key}")
            _print(value, margin + "  ")
        elif key != "steps":  # those were printed as they ended
            print(f"{margin}{key}: {f'{value:.4g}' if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
