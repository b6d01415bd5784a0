"""A whole search, from the experiment file to the report; the same call resumes it."""

import contextlib
import json
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnas.arch import Architecture, write_atomically
from mnas.latency import LatencyTable
from mnas.results import (
    RecordStore,
    Run,
    write_front_csv,
    write_network,
    write_records_csv,
    write_report,
)
from mnas.search.confirming import Comparison
from mnas.search.environment import describe_environment
from mnas.search.executors import Executor, InlineExecutor, RayExecutor
from mnas.search.experiment import (
    Experiment,
    load_experiment,
)
from mnas.search.holding import hold_run, note_processes
from mnas.search.limits import BudgetError, Limits
from mnas.search.observing import Observer, Step, ignore
from mnas.search.performing import perform_all
from mnas.search.preparing import (
    Prepared,
    limits_of,
    objectives_of,
    prepare,
    refuse_impossible_budget,
)
from mnas.search.proposing import Proposer
from mnas.search.run_files import (
    earlier_seconds,
    open_folder,
    write_environment,
    write_experiment,
)
from mnas.search.samplers import sampler_factory
from mnas.search.seeds import derive_seed
from mnas.search.stopping import SearchInterruptedError, StopRequest
from mnas.search.tables import table_of_run
from mnas.search.trials import EvaluationFailuresError, Plan, TrialLoop, evaluation_record
from mnas.search.work import Bench, Task
from mnas.training import Score

ExecutorFactory = Callable[[Bench, Experiment, Path], Executor]


def ray_workers(bench: Bench, experiment: Experiment, directory: Path) -> Executor:
    """The workers that an experiment asks for."""
    workers = experiment.workers
    return RayExecutor(
        bench,
        count=workers.count,
        cpus=workers.cpus,
        address=workers.address,
        started=lambda: note_processes(directory),
    )


def inline_worker(bench: Bench, experiment: Experiment, directory: Path) -> Executor:
    """The caller does the work itself: for tests and debugging, with the same records."""
    return InlineExecutor(bench)


def run_search(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    out: str | Path | None = None,
    observer: Observer = ignore,
    stop: StopRequest | None = None,
    make_executor: ExecutorFactory = ray_workers,
) -> Run:
    """Search as an experiment file says; the same call on the same folder resumes.

    Args:
        path: An experiment file, the name of a shipped one, or the folder of a run to resume.
        overrides: `key=value` texts, such as `search.trials=50`.
        out: Folder of the run; default `results/<name>` in the working directory.
        observer: Is told each step.
        stop: Whether somebody asked to stop; see `StopRequest`.
        make_executor: Who trains; Ray workers by default.

    Returns:
        The finished run: records, front, verdict, report.

    Raises:
        InvalidExperimentError: The file is wrong, or the folder holds a different experiment.
        BudgetError: No network can meet the budget, or none measured within it (exit code 3).
        EvaluationFailuresError: Trainings failed one after the other (exit code 4).
        RunHeldError: Another process drives this run.
        SearchInterruptedError: Somebody asked to stop; everything finished is saved.
    """
    stop = stop or StopRequest()
    if Path(path).is_dir():
        out = out or path
        path = Path(path) / "experiment.yaml"
    overrides = list(overrides)
    experiment = load_experiment(path, overrides)
    directory = Path(out) if out is not None else Path("results") / experiment.name
    observer(Step(phase="data", text=f"reading {experiment.data.source} and {experiment.space}"))
    prepared = prepare(experiment)
    open_folder(directory, experiment.resolved())
    with hold_run(directory):
        write_experiment(directory, experiment.resolved())
        command = shlex.join(["mnas", "search", str(path), *overrides])
        return _Search(prepared, directory, observer, stop, make_executor, command).run()


class _Search:
    """One session of driving a run, phase by phase."""

    def __init__(
        self,
        prepared: Prepared,
        directory: Path,
        observer: Observer,
        stop: StopRequest,
        make_executor: ExecutorFactory,
        command: str,
    ) -> None:
        self._prepared = prepared
        self._experiment = prepared.experiment
        self._directory = directory
        self._observer = observer
        self._stop = stop
        self._make_executor = make_executor
        self._command = command
        self._seconds = earlier_seconds(directory)

    def run(self) -> Run:
        with self._timed("measuring"):
            tables = self._tables()
        limits = limits_of(self._experiment, tables)
        refuse_impossible_budget(self._prepared.space, limits)
        self._write_environment(tables)
        with RecordStore(self._directory / "records.db") as store:
            try:
                self._drive(store, limits, tables)
            finally:
                self._write_environment(tables)
                self._write_results()
        return Run.load(self._directory)

    def _drive(self, store: RecordStore, limits: Limits, tables: dict[str, LatencyTable]) -> None:
        experiment = self._experiment
        bench = Bench(
            data=self._prepared.data.without_test(),
            recipe=experiment.proxy,
            threads=experiment.workers.cpus,
            checkpoints=self._directory / "checkpoints" / "proxy",
        )
        self._observer(Step(phase="search", text="starting workers"))
        executor = self._make_executor(bench, experiment, self._directory)
        try:
            with self._stop.draining():
                with self._timed("search"):
                    self._trials(store, limits, executor)
                self._end_if_stopped()
                with self._timed("baselines"):
                    baselines = self._baselines(store, limits, executor)
                self._end_if_stopped()
            with self._timed("confirm"):
                self._confirm(store, limits, executor, tables, baselines)
        finally:
            executor.close()

    def _trials(self, store: RecordStore, limits: Limits, executor: Executor) -> None:
        experiment = self._experiment
        objectives = objectives_of(experiment)
        deadline = None
        if experiment.search.hours is not None:
            spent = self._seconds.get("search", 0.0)
            deadline = time.monotonic() + experiment.search.hours * 3600 - spent
        TrialLoop(
            Plan(
                trials=experiment.search.trials,
                epochs=experiment.proxy.epochs,
                seed=experiment.search.seed,
                deadline=deadline,
            ),
            space=self._prepared.space,
            limits=limits,
            objectives=objectives,
            proposer=Proposer(
                self._prepared.space,
                sampler_factory(experiment.search.sampler),
                seed=experiment.search.seed,
                directions=objectives.directions,
            ),
            store=store,
            executor=executor,
            observer=self._observer,
            stop=self._stop,
        ).run()

    def _baselines(
        self, store: RecordStore, limits: Limits, executor: Executor
    ) -> list[tuple[Architecture, ...]]:
        """For each published network the scaled version that its proxy prefers, then narrower ones.

        The narrower ones take its place if it measures over the budget.
        """
        experiment = self._experiment
        rung = len(experiment.proxy.epochs) - 1
        versions = [each.within(limits) for each in self._prepared.baselines]
        scores = {
            record.id: record.accuracy or 0.0
            for record in store.all()
            if record.kind == "baseline" and record.rung is not None
        }
        every = [arch for group in versions for arch in group]
        waiting = [pair for pair in enumerate(every) if pair[1].id not in scores]

        def keep(index: int, score: Score, started: str) -> None:
            number, arch = waiting[index]
            record = evaluation_record(
                arch,
                limits.assess(arch),
                number=number,
                kind="baseline",
                score=score,
                rung=rung,
                started=started,
            )
            store.add(record, arch)
            scores[arch.id] = score.accuracy or 0.0
            step = Step(phase="baselines", done=index + 1, total=len(waiting), text=arch.name)
            self._observer(step)

        tasks = [
            Task(
                architecture=arch,
                stage="proxy",
                epochs=experiment.proxy.epochs[rung],
                seed=derive_seed(experiment.search.seed, arch.id, 0),
            )
            for _, arch in waiting
        ]
        perform_all(tasks, executor, self._stop, keep)
        preferred = [
            (baseline, max(group, key=lambda arch: scores.get(arch.id, 0.0)))
            for baseline, group in zip(self._prepared.baselines, versions, strict=True)
            if group
        ]
        return [(arch, *baseline.narrower_than(arch)) for baseline, arch in preferred]

    def _confirm(
        self,
        store: RecordStore,
        limits: Limits,
        executor: Executor,
        tables: dict[str, LatencyTable],
        baselines: Sequence[Sequence[Architecture]],
    ) -> None:
        verdict_path = self._directory / "verdict.json"
        comparison = Comparison(
            self._experiment,
            limits=limits,
            table=tables[self._experiment.target.name],
            store=store,
            executor=executor,
            directory=self._directory,
            observer=self._observer,
            stop=self._stop,
        )
        contenders, dropped = comparison.choose(best_candidates(store), baselines)
        if not any(each.kind == "confirm" for each in contenders):
            fastest = min(dropped, key=lambda each: float(each["measured_ms"]), default=None)
            said = (
                "nothing was trained"
                if fastest is None
                else (f"the fastest of the best measured {fastest['measured_ms']:.4g} ms")
            )
            raise BudgetError(
                f"no candidate measured within {self._experiment.target.budget_ms} ms end to end "
                f"({said}). The records are kept; raise the budget, or search longer."
            )
        with self._stop.draining():
            comparison.train(contenders)
        self._end_if_stopped()
        test_data = self._prepared.data
        verdict = comparison.judge(contenders, dropped, test_data.resized)
        verdict["baselines_without_a_version_in_budget"] = [
            each.name for each in self._prepared.baselines if not each.within(limits)
        ]
        write_atomically(verdict_path, json.dumps(verdict, indent=1) + "\n")
        if verdict["winner"] is None:
            raise EvaluationFailuresError(
                "no candidate was confirmed: every one of their trainings failed. The reasons are "
                f"in {self._directory / 'records.csv'}."
            )

    def _tables(self) -> dict[str, LatencyTable]:
        return {
            section.name: table_of_run(
                section,
                self._prepared.space,
                self._prepared.also,
                directory=self._directory,
                observer=self._observer,
            )
            for section in self._experiment.targets
        }

    def _end_if_stopped(self) -> None:
        if self._stop.is_requested:
            raise SearchInterruptedError(
                f"stopped; everything finished is in {self._directory}. "
                "The same command goes on from there."
            )

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - started
            self._seconds[phase] = self._seconds.get(phase, 0.0) + spent

    def _write_environment(self, tables: dict[str, LatencyTable]) -> None:
        environment = describe_environment(
            hashes={
                "data": self._prepared.data.fingerprint,
                "space": self._prepared.space.digest,
                "recipe": self._experiment.proxy.digest,
                "tables": {name: table.digest for name, table in tables.items()},
            },
            tables={name: _table_facts(table) for name, table in tables.items()},
        )
        environment["seconds"] = {k: round(v, 3) for k, v in self._seconds.items()}
        environment["command"] = self._command
        environment["data"] = self._prepared.data.card()
        write_environment(self._directory, environment)

    def _write_results(self) -> None:
        self._observer(Step(phase="report", text="writing tables and report"))
        run = Run.load(self._directory)
        write_records_csv(run)
        write_front_csv(run)
        verdict = run.verdict or {}
        ids = {entry["id"] for entry in verdict.get("confirmed", ())}
        for each in sorted({*ids, *run.front()["id"]}):
            write_network(run, each)
        write_report(run)


def best_candidates(store: RecordStore) -> list[Architecture]:
    """The trials that were trained, the best first: highest rung, then highest accuracy."""
    best: dict[str, tuple[int, float]] = {}
    for record in store.all():
        if record.kind == "trial" and record.accuracy is not None:
            assert record.rung is not None
            best[record.id] = max(best.get(record.id, (-1, 0.0)), (record.rung, record.accuracy))
    ranked = sorted(best, key=lambda each: (best[each], each), reverse=True)
    return [store.architecture(each) for each in ranked]


def _table_facts(table: LatencyTable) -> dict[str, Any]:
    verification = table.verification
    return {
        "device": table.device,
        "runtime": table.target.runtime,
        "runtime_version": table.runtime_version,
        "threads": table.target.threads,
        "dtype": table.target.dtype,
        "verification": None if verification is None else asdict(verification),
    }
