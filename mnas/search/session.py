"""One session of driving a run: search, baselines, confirm, and what is written of them."""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from mnas.search.baselines import score_baselines
from mnas.search.confirming import Comparison
from mnas.search.environment import describe_environment, table_facts
from mnas.search.executors import Executor
from mnas.search.experiment import (
    Experiment,
)
from mnas.search.filtering import filter_of
from mnas.search.ground import Ground
from mnas.search.limits import Limits
from mnas.search.observing import Observer, Step
from mnas.search.preparing import (
    Prepared,
    limits_of_trials,
    objectives_of,
)
from mnas.search.proposing import Proposer
from mnas.search.run_files import (
    earlier_seconds,
    write_environment,
)
from mnas.search.samplers import is_import_path, sampler_factory
from mnas.search.sections import INLINE
from mnas.search.stopping import SearchInterruptedError, StopRequest
from mnas.search.trials import Plan, TrialLoop
from mnas.search.verdicts import refuse_no_winner
from mnas.search.warm_start import Earlier
from mnas.search.work import Bench

logger = logging.getLogger(__name__)
ExecutorFactory = Callable[[Bench, Experiment, Path], Executor]


@dataclass(slots=True, kw_only=True)
class Session:
    """One session of driving a run, phase by phase."""

    prepared: Prepared
    tables: dict[str, LatencyTable]
    limits: Limits
    earlier: Earlier
    directory: Path
    command: str
    observer: Observer
    stop: StopRequest
    seconds: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = earlier_seconds(self.directory)

    @property
    def experiment(self) -> Experiment:
        return self.prepared.experiment

    def run(self, make_executor: ExecutorFactory) -> Run:
        self._write_environment()
        with RecordStore(self.directory / "records.db") as store:
            try:
                self._drive(store, make_executor)
            except BaseException:
                # What ended the search must reach the person, whatever writing does.
                try:
                    self._write_all()
                except Exception:  # told in the log only: the first error matters more
                    logger.exception("writing tables and report failed")
                raise
            self._write_all()
        return Run.load(self.directory)

    def _drive(self, store: RecordStore, make_executor: ExecutorFactory) -> None:
        bench = Bench(
            data=self.prepared.data.without_test(),
            recipe=self.experiment.proxy,
            threads=self.experiment.workers.cpus,
            checkpoints=self.directory / "checkpoints" / "proxy",
            device=self.experiment.workers.device,
        )
        with self._mirrored():
            self._phases(store, make_executor, bench)

    def _phases(self, store: RecordStore, make_executor: ExecutorFactory, bench: Bench) -> None:
        self.observer(Step(phase="search", text="starting workers"))
        executor = make_executor(bench, self.experiment, self.directory)
        try:
            with self.stop.draining():
                with self._timed("search"):
                    before = store.count()
                    self._trials(store, executor, bench)
                    if store.count() > before:  # a verdict on fewer trials is out of date
                        (self.directory / "verdict.json").unlink(missing_ok=True)
                self._end_if_stopped()
                with self._timed("baselines"):
                    baselines = score_baselines(
                        self.prepared.baselines,
                        self.experiment,
                        limits=self.limits,
                        store=store,
                        executor=executor,
                        observer=self.observer,
                        stop=self.stop,
                    )
                self._end_if_stopped()
            with self._timed("confirm"):
                self._confirm(store, executor, baselines)
        finally:
            executor.close()

    def _mirrored(self) -> contextlib.AbstractContextManager[None]:
        """Fill the experiment's mirror beside the search, if it has one."""
        url = self.experiment.mirror
        if url is None:
            return contextlib.nullcontext()
        from mnas.search.mirror import Mirror

        return Mirror(
            url,
            name=self.experiment.name,
            records=self.directory / "records.db",
            space=self.prepared.space,
            objectives=objectives_of(self.experiment),
            limits=self.limits,
            top_epochs=self.experiment.proxy.epochs[-1],
        ).filling()

    def _trials(self, store: RecordStore, executor: Executor, bench: Bench) -> None:
        search, objectives = self.experiment.search, objectives_of(self.experiment)
        limits = limits_of_trials(self.experiment, self.limits)
        if is_import_path(search.sampler):
            self.observer(Step(phase="search", text=f"running the code of {search.sampler}"))
        TrialLoop(
            Plan(
                trials=search.trials,
                epochs=self.experiment.proxy.epochs,
                seed=search.seed,
                deadline=self._deadline(store),
                patience=search.patience,
            ),
            space=self.prepared.space,
            limits=limits,
            objectives=objectives,
            proposer=Proposer(
                self.prepared.space,
                sampler_factory(search.sampler, Ground(self.prepared.space, limits, objectives)),
                seed=search.seed,
                directions=objectives.directions,
            ),
            store=store,
            executor=executor,
            observer=self.observer,
            stop=self.stop,
            earlier=self.earlier,
            candidate_filter=filter_of(bench.recipe.filter, bench, objectives, seed=search.seed),
        ).run()

    def _deadline(self, store: RecordStore) -> float | None:
        """When `hours` are over; what earlier sessions trained counts, also if they were killed."""
        hours = self.experiment.search.hours
        if hours is None:
            return None
        trained = sum(record.seconds for record in store.trials())
        spent = max(self.seconds.get("search", 0.0), trained / self._trainings_at_once)
        return time.monotonic() + hours * 3600 - spent

    @property
    def _trainings_at_once(self) -> int:
        workers = self.experiment.workers
        return 1 if workers.address == INLINE else workers.count

    def _confirm(
        self,
        store: RecordStore,
        executor: Executor,
        baselines: Sequence[Sequence[Architecture]],
    ) -> None:
        comparison = Comparison(
            self.experiment,
            limits=self.limits,
            table=self.tables[self.experiment.target.name],
            store=store,
            executor=executor,
            directory=self.directory,
            observer=self.observer,
            stop=self.stop,
        )
        contenders, dropped = comparison.choose(best_candidates(store, self.limits), baselines)
        with self.stop.draining():
            comparison.train(contenders)
        self._end_if_stopped()
        verdict = comparison.judge(contenders, dropped, self.prepared.data.resized)
        verdict["baselines_without_a_version_in_budget"] = [
            each.name for each in self.prepared.baselines if not each.within(self.limits)
        ]
        text = json.dumps(verdict, indent=1) + "\n"
        write_atomically(self.directory / "verdict.json", text)
        refuse_no_winner(verdict, self.directory)

    def _end_if_stopped(self) -> None:
        if self.stop.is_requested:
            raise SearchInterruptedError(
                f"stopped; everything finished is in {self.directory}. "
                "The same command goes on from there."
            )

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - started
            self.seconds[phase] = self.seconds.get(phase, 0.0) + spent

    def _write_environment(self) -> None:
        environment = describe_environment(
            hashes={
                **input_hashes(self.prepared),
                "tables": {name: table.digest for name, table in self.tables.items()},
            },
            tables={name: table_facts(table) for name, table in self.tables.items()},
        )
        environment["seconds"] = {k: round(v, 3) for k, v in self.seconds.items()}
        environment["command"] = self.command
        environment["data"] = self.prepared.data.card()
        write_environment(self.directory, environment)

    def _write_all(self) -> None:
        self._write_environment()
        self.observer(Step(phase="report", text="writing tables and report"))
        run = Run.load(self.directory)
        write_records_csv(run)
        write_front_csv(run)
        verdict = run.verdict or {}
        ids = {entry["id"] for entry in verdict.get("confirmed", ())}
        for each in sorted({*ids, *run.front()["id"]}):
            write_network(run, each)
        write_report(run)


def input_hashes(prepared: Prepared) -> dict[str, str]:
    """What a run was begun with and must go on with: content, not paths."""
    return {
        "data": prepared.data.fingerprint,
        "space": prepared.space.digest,
        "recipe": prepared.experiment.proxy.digest,
    }


def best_candidates(store: RecordStore, limits: Limits) -> list[Architecture]:
    """The trials that may be compared, the best first: highest rung, then highest accuracy.

    Args:
        store: Of the run.
        limits: What the comparison asks for; a soft reward also trained what is over the budget.
    """
    best: dict[str, tuple[int, float]] = {}
    for record in store.trials():
        if record.accuracy is None:
            continue
        if all(over <= 0 for over in limits.violations_of(record).values()):
            assert record.rung is not None
            best[record.id] = max(best.get(record.id, (-1, 0.0)), (record.rung, record.accuracy))
    ranked = sorted(best, key=lambda each: (best[each], each), reverse=True)
    return [store.architecture(each) for each in ranked]
