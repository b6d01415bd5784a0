"""A whole search, from the experiment file to the report; the same call resumes it."""

import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from mnas.results import (
    Run,
)
from mnas.search.executors import Executor, InlineExecutor
from mnas.search.experiment import (
    Experiment,
    load_experiment,
)
from mnas.search.holding import child_pids, hold_run, note_processes, refuse_held, watched
from mnas.search.observing import Observer, Step, ignore
from mnas.search.preparing import (
    limits_of,
    prepare,
    refuse_impossible_limits,
)
from mnas.search.ray_workers import RayExecutor
from mnas.search.run_files import (
    make_folder,
    refuse_other_experiment,
    refuse_other_inputs,
    write_experiment,
)
from mnas.search.sections import INLINE
from mnas.search.session import ExecutorFactory, Session, input_hashes
from mnas.search.stopping import StopRequest
from mnas.search.tables import announcement_of, refuse_other_tables, table_of_run
from mnas.search.warm_start import read_warm_start
from mnas.search.work import Bench


def chosen_workers(bench: Bench, experiment: Experiment, directory: Path) -> Executor:
    """The workers that an experiment asks for."""
    workers = experiment.workers
    if workers.address == INLINE:
        return inline_worker(bench, experiment, directory)
    others = child_pids()
    return RayExecutor(
        bench,
        count=workers.count,
        cpus=workers.cpus,
        gpus=workers.gpus,
        address=workers.address,
        started=lambda: note_processes(directory, but=others),
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
    make_executor: ExecutorFactory = chosen_workers,
) -> Run:
    """Search as an experiment file says; the same call on the same folder resumes.

    Args:
        path: An experiment file, the name of a shipped one, or the folder of a run to resume.
        overrides: `key=value` texts, such as `search.trials=50`.
        out: Folder of the run; default `results/<name>` in the working directory.
        observer: Is told each step.
        stop: Whether somebody asked to stop; see `StopRequest`.
        make_executor: Who trains; by default the workers that the experiment asks for.

    Returns:
        The finished run: records, front, verdict, report.

    Raises:
        InvalidExperimentError: The file is wrong, or the folder holds a different experiment.
        BudgetError: No network can meet the budget, or none measured within it (exit code 3).
        EvaluationFailuresError: Trainings failed one after the other (exit code 4).
        RunHeldError: Another process drives this run.
        SearchInterruptedError: Somebody asked to stop; everything finished is saved.
    """
    overrides = list(overrides)
    experiment = load_experiment(path, overrides)
    directory = _directory(path, experiment, out).resolve()
    resolved = experiment.resolved()
    refuse_other_experiment(directory, resolved)
    refuse_held(directory)
    prepared = prepare(experiment, observer)
    hashes = input_hashes(prepared)
    refuse_other_inputs(directory, hashes)
    earlier = read_warm_start(
        experiment.warm_start,
        prepared.space,
        hashes=hashes,
        epochs=experiment.proxy.epochs,
        seed=experiment.search.seed,
    )
    for section in experiment.targets:
        if not section.is_here:
            observer(Step(phase="notice", text=announcement_of(section)))
    started = time.monotonic()
    tables = {
        section.name: table_of_run(
            section, prepared.space, prepared.also, directory=directory, observer=observer
        )
        for section in experiment.targets
    }
    measuring = time.monotonic() - started
    limits = limits_of(experiment, tables)
    refuse_impossible_limits(prepared.space, limits)
    # Nothing has been written into the folder of the run so far: a refused one leaves no trace.
    make_folder(directory)
    with hold_run(directory), watched(directory):
        # While this process measured, another may have begun a run here and ended.
        refuse_other_experiment(directory, resolved)
        refuse_other_inputs(directory, hashes)
        refuse_other_tables(directory, tables)
        write_experiment(directory, resolved)
        for name, table in tables.items():
            table.save(directory / "tables" / f"{name}.csv")
        session = Session(
            prepared=prepared,
            tables=tables,
            limits=limits,
            earlier=earlier,
            directory=directory,
            command=shlex.join(["mnas", "search", str(path), *overrides]),
            observer=observer,
            stop=stop or StopRequest(),
        )
        session.seconds["measuring"] = session.seconds.get("measuring", 0.0) + measuring
        return session.run(make_executor)


def _directory(path: str | Path, experiment: Experiment, out: str | Path | None) -> Path:
    if out is not None:
        return Path(out)
    return Path(path) if Path(path).is_dir() else Path("results") / experiment.name
