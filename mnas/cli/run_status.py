"""Where a run stands, read from its folder; nothing of it is run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mnas.arch import MnasError

if TYPE_CHECKING:
    from mnas.results import Run

State = Literal["running", "finished", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best network so far; see `Run.best`.

    Attributes:
        stage: What its accuracy comes from: `confirm` or `proxy`.
        accuracy: Mean validation accuracy, a fraction.
    """

    id: str
    stage: str
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """Where a run stands.

    Attributes:
        state: `running` while a process drives it, `finished` with a verdict, else `stopped`.
        pid: Of the process that drives it; None when nobody does.
        phase: `table`, `search`, `confirm` or `done`.
        trials: Distinct architectures whose scoring started.
        trials_wanted: How many the experiment asks for; None if it does not say.
        complete: Evaluations that gave an accuracy.
        infeasible: Proposals over a limit, not trained.
        filtered: Proposals that a training-free score turned away, not trained.
        failed: Evaluations that failed.
        timed: Networks that were timed end to end.
        timed_at: Address of the device that timed them; None where it is not known.
        waits: Why the comparison waits for times; None where it does not.
        confirmed: Confirmations that are done, baselines included.
        seconds: Of training, summed over the workers.
    """

    directory: Path
    name: str
    state: State
    pid: int | None
    phase: str
    trials: int = 0
    trials_wanted: int | None = None
    complete: int = 0
    infeasible: int = 0
    filtered: int = 0
    failed: int = 0
    timed: int = 0
    timed_at: str | None = None
    waits: str | None = None
    confirmed: int = 0
    seconds: float = 0.0
    best: Best | None = None


def status_of(directory: Path) -> RunStatus:
    """Look at a run, finished or not, also while it is written.

    Raises:
        RunError: The folder is no run, or a file of it is damaged.
    """
    from mnas.results import Run
    from mnas.search import driver_of

    pid = driver_of(directory)
    is_begun = (directory / "experiment.yaml").is_file()
    if is_begun and not (directory / "records.db").is_file():
        return RunStatus(
            directory=directory,
            name=directory.name,
            state="running" if pid is not None else "stopped",
            pid=pid,
            phase="table",
        )
    return _status(Run.load(directory), directory, pid)


def _status(run: "Run", directory: Path, pid: int | None) -> RunStatus:
    from mnas.results import read_end_to_end

    rows, timed = run.evaluations, read_end_to_end(directory)
    trained = [row for row in rows if row.kind == "trial" and row.state != "infeasible"]
    confirmed = sum(row.kind != "trial" and row.rung is None for row in rows)
    wanted = (run.experiment.get("search") or {}).get("trials")
    is_finished = run.verdict is not None
    is_compared = confirmed or timed.ms or timed.waits
    phase = "done" if is_finished else "confirm" if is_compared else "search"
    return RunStatus(
        directory=directory,
        name=run.name,
        state="running" if pid is not None else "finished" if is_finished else "stopped",
        pid=pid,
        phase=phase,
        trials=len({row.id for row in trained}),
        trials_wanted=wanted if isinstance(wanted, int) else None,
        complete=sum(row.state == "complete" for row in rows),
        infeasible=sum(row.state == "infeasible" and not row.is_filtered for row in rows),
        filtered=sum(row.is_filtered for row in rows),
        failed=sum(row.state == "failed" for row in rows),
        timed=len(timed.ms),
        timed_at=timed.address,
        waits=timed.waits,
        confirmed=confirmed,
        seconds=sum(row.seconds for row in rows),
        best=_best(run),
    )


def _best(run: "Run") -> Best | None:
    try:
        stage, candidate = run.best_candidate()
    except MnasError:  # nothing was scored yet
        return None
    return Best(id=candidate.id, stage=stage, accuracy=candidate.accuracy)
