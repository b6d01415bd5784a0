"""`mnas.optimize`: the same samplers, records and rules for one's own scoring function."""

import logging
import math
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnas.arch import Architecture, MnasError
from mnas.latency import Latency, LatencyTable
from mnas.results import RecordStore, Run, write_front_csv, write_records_csv
from mnas.search.environment import describe_environment
from mnas.search.ground import Ground
from mnas.search.holding import hold_run
from mnas.search.limits import Limits, Predictor
from mnas.search.objectives import Objectives
from mnas.search.observing import ignore
from mnas.search.preparing import refuse_impossible_limits
from mnas.search.proposing import Proposer
from mnas.search.run_files import (
    make_folder,
    refuse_other_experiment,
    write_environment,
    write_experiment,
)
from mnas.search.samplers import refuse_unknown_sampler, sampler_factory
from mnas.search.stopping import StopRequest
from mnas.search.trials import Plan, TrialLoop
from mnas.search.work import Task
from mnas.space import SearchSpace, load_space
from mnas.training import Score

logger = logging.getLogger(__name__)
_TARGET = "target"
# How often one's own latency function is asked to draw one network directly, at most; a sampler
# may ask for `ground.MOST_ASKED` more, so that a proposal asks no more than 2000 times.
_QUESTIONS = 1000
# Answers of a latency function, the latest ones: some 800 bytes each. What samplers look at is
# remembered by its encoding as well.
_MOST_REMEMBERED = 20_000


def optimize(
    space: SearchSpace | str | Path,
    score: Callable[[Architecture], float],
    *,
    latency: LatencyTable | str | Path | Callable[[Architecture], float],
    trials: int,
    budget_ms: float | None = None,
    sampler: str = "greybox",
    seed: int = 0,
    batch: int = 1,
    directory: str | Path | None = None,
) -> Run:
    """Search a space with one's own scoring function, in the caller's thread.

    With a budget the score alone is optimised, within it; without one, the front of score and
    latency is.

    Args:
        space: A space, its file, or the name of a shipped one.
        score: Says how good an architecture is: any finite number, higher is better. It may
            raise: that is a recorded failure with its reason.
        latency: A table, its file, or a function that gives milliseconds; a function is asked
            once for each architecture (of the latest 20 000), at most 2000 times for a proposal.
        trials: Distinct architectures to score; those over the budget and repeats cost none.
        budget_ms: Highest latency allowed, in milliseconds.
        sampler: `greybox`, `tpe`, `nsga2`, `evolution`, `random`, or `package.module:Class` of
            an Optuna sampler.
        seed: The same seed gives the same records.
        batch: Proposals between two looks at results.
        directory: Where to keep the run; the same call on the same folder resumes. None keeps it
            in memory.

    Returns:
        The run: `records()`, `front()`, `best()`.

    Raises:
        UnknownNameError: There is no such sampler; names the known ones.
        BudgetError: No network of the space can meet the budget, or none that does was found.
        EvaluationFailuresError: Several scores in a row failed.
        MnasError: An argument that no search can have.
    """
    _refuse_bad_numbers(trials=trials, batch=batch, budget_ms=budget_ms)
    refuse_unknown_sampler(sampler)
    space = space if isinstance(space, SearchSpace) else load_space(space)
    predictor = _predictor(latency)
    limits = Limits(
        predictors={_TARGET: predictor},
        budgets_ms={} if budget_ms is None else {_TARGET: budget_ms},
    )
    if isinstance(predictor, LatencyTable):
        refuse_impossible_limits(space, limits)
    objectives = Objectives(targets=(_TARGET,), with_latency=budget_ms is None)
    experiment: dict[str, Any] = {
        "schema": "mnas.optimize/1",
        "name": space.name,
        "space": {"name": space.name, "digest": space.digest},
        "targets": [{"name": _TARGET, "budget_ms": budget_ms}],
        "objectives": ["accuracy", "latency"] if budget_ms is None else ["accuracy"],
        "search": {"sampler": sampler, "trials": trials, "seed": seed, "batch": batch},
    }
    folder = None if directory is None else Path(directory)
    if folder is not None:
        refuse_other_experiment(folder, experiment)
        make_folder(folder)
    environment = describe_environment(hashes={"space": space.digest}, tables={})
    with (
        nullcontext() if folder is None else hold_run(folder),
        RecordStore(":memory:" if folder is None else folder / "records.db") as store,
    ):
        if folder is not None:
            refuse_other_experiment(folder, experiment)  # another process may have begun meanwhile
            write_experiment(folder, experiment)
            write_environment(folder, environment)
        try:
            TrialLoop(
                Plan(trials=trials, epochs=(0,), seed=seed),
                space=space,
                limits=limits,
                objectives=objectives,
                proposer=Proposer(
                    space,
                    sampler_factory(sampler, Ground(space, limits, objectives)),
                    seed=seed,
                    directions=objectives.directions,
                ),
                store=store,
                executor=_Caller(score, batch),
                observer=ignore,
                stop=StopRequest(),
                questions=_QUESTIONS,
            ).run()
        except BaseException:
            # What ended the search must reach the caller, whatever writing does.
            try:
                _written(folder, experiment, environment, store)
            except Exception:  # told in the log only: the first error matters more
                logger.exception("writing tables failed")
            raise
        return _written(folder, experiment, environment, store)


def _written(
    folder: Path | None,
    experiment: dict[str, Any],
    environment: dict[str, Any],
    store: RecordStore,
) -> Run:
    run = Run(
        directory=folder,
        experiment=experiment,
        environment=environment,
        evaluations=tuple(store.all()),
        documents=store.documents(),
    )
    if folder is not None:
        write_records_csv(run)
        write_front_csv(run)
    return run


class _Caller:
    """Scores in the caller's thread, `batch` proposals between two looks at results."""

    def __init__(self, score: Callable[[Architecture], float], batch: int) -> None:
        self._score = score
        self._batch = batch
        self._is_scoring = False
        self._waiting: list[tuple[int, Task]] = []

    @property
    def slots(self) -> int:
        """None while a batch is being scored: the next one is proposed with all its results."""
        return 0 if self._is_scoring else self._batch

    def submit(self, ticket: int, task: Task) -> None:
        self._waiting.append((ticket, task))

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        """One score, so that each is recorded before the next is asked for."""
        ticket, task = self._waiting.pop(0)
        self._is_scoring = bool(self._waiting)
        return [(ticket, self._scored(task))]

    def close(self) -> None:
        self._waiting.clear()

    def _scored(self, task: Task) -> Score:
        started = time.monotonic()
        reason, trace, value = None, None, None
        try:
            value = float(self._score(task.architecture))
        except Exception as error:  # whatever a person's own function raises is a result
            reason, trace = f"exception: {error!r}", traceback.format_exc()
        if value is not None and not math.isfinite(value):
            reason, value = f"nan: the score is {value}", None
        return Score(
            accuracy=value,
            epochs=task.epochs,
            seed=task.seed,
            seconds=time.monotonic() - started,
            state="complete" if reason is None else "failed",
            reason=reason,
            traceback=trace,
        )


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One's own latency function; what it said of the latest architectures is remembered."""

    function: Callable[[Architecture], float]
    known: dict[Architecture, float] = field(default_factory=dict)

    def predict(self, arch: Architecture, /) -> Latency:
        if arch not in self.known:
            try:
                ms = float(self.function(arch))
            except (TypeError, ValueError) as error:
                raise MnasError(f"latency gave no number for {arch.id}: {error}") from error
            if not math.isfinite(ms) or ms <= 0:
                raise MnasError(f"latency must give milliseconds above 0; got {ms!r} for {arch.id}")
            if len(self.known) >= _MOST_REMEMBERED:
                self.known.pop(next(iter(self.known)))
            self.known[arch] = ms
        return Latency(ms=self.known[arch], low_ms=None, high_ms=None, predicted_share=0.0)


def _predictor(
    latency: LatencyTable | str | Path | Callable[[Architecture], float],
) -> Predictor:
    if isinstance(latency, LatencyTable):
        return latency
    if isinstance(latency, str | Path):
        return LatencyTable.load(latency)
    if not callable(latency):
        raise MnasError(
            "latency must be a LatencyTable, the file of one, or a function that gives the "
            f"milliseconds of an architecture; got {latency!r}"
        )
    return _Asked(function=latency)


def _refuse_bad_numbers(*, trials: int, batch: int, budget_ms: float | None) -> None:
    for name, value in (("trials", trials), ("batch", batch)):
        if value < 1:
            raise MnasError(f"{name} must be at least 1; got {value}")
    if budget_ms is not None and not (math.isfinite(budget_ms) and budget_ms > 0):
        raise MnasError(f"budget_ms must be above 0; got {budget_ms}")
