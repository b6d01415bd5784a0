"""Metrics for TensorBoard, MLflow and Weights & Biases; they never fail or delay a training."""

import contextlib
import importlib
import importlib.util
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mnas.arch import MnasError, did_you_mean

_PATIENCE_S = 20.0  # for what is still on its way when the training has ended
_logger = logging.getLogger(__name__)


class LoggerError(MnasError):
    """A logger that does not exist, or whose package is not installed; says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedTraining:
    """What a logger is told when a training begins or is continued.

    Attributes:
        name: Of the network.
        key: The same for a training and its continuation, and for no other.
        settings: Recipe, seed and whatever else decides the weights; JSON types.
        directory: Of the training.
        rows: The metrics of the epochs that are done already, `epoch` (from 1) among them.
    """

    name: str
    key: str
    settings: Mapping[str, Any]
    directory: Path
    rows: Sequence[Mapping[str, float]]


class MetricsLogger(Protocol):
    """Where metrics go besides `metrics.csv`; called in one thread of its own, in order."""

    def begin(self, training: LoggedTraining) -> None:
        """Take up the training, with the epochs that are done already."""
        ...

    def log(self, row: Mapping[str, float]) -> None:
        """Take the metrics of one epoch: `epoch` and whatever `metrics.csv` has."""
        ...

    def end(self, *, finished: bool) -> None:
        """The training is over; if it is not finished, it was stopped or failed."""
        ...


@contextlib.contextmanager
def logging_to(
    loggers: Sequence[MetricsLogger], training: LoggedTraining
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Hand metrics to loggers: their faults are warnings, and nobody waits for a slow one.

    Args:
        loggers: Each works in a thread of its own.
        training: What they are told at first.

    Yields:
        What takes the metrics of an epoch and returns at once.
    """
    watched = [_Watched(logger, training) for logger in loggers]

    def log(row: Mapping[str, float]) -> None:
        for each in watched:
            each.put(row)

    finished = False
    try:
        yield log
        finished = True
    finally:
        for each in watched:
            each.end(finished=finished)
        for each in watched:
            each.wait()


class _Watched:
    """One logger in its thread."""

    def __init__(self, logger: MetricsLogger, training: LoggedTraining) -> None:
        self._logger, self._training = logger, training
        self._rows: queue.SimpleQueue[Mapping[str, float] | bool] = queue.SimpleQueue()
        # a daemon: one that hangs must not keep the process
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def _name(self) -> str:
        return type(self._logger).__name__

    def put(self, row: Mapping[str, float]) -> None:
        self._rows.put(row)

    def end(self, *, finished: bool) -> None:
        self._rows.put(finished)

    def wait(self) -> None:
        self._thread.join(timeout=_PATIENCE_S)
        if self._thread.is_alive():
            _logger.warning(
                "%s did not take all metrics within %.0f s and is not waited for; metrics.csv has "
                "them all",
                self._name,
                _PATIENCE_S,
            )

    def _work(self) -> None:
        try:
            self._logger.begin(self._training)
            while not isinstance(told := self._rows.get(), bool):
                self._logger.log(told)
            self._logger.end(finished=told)
        except BaseException as error:
            _logger.warning(
                "%s gets no more metrics (%s: %s); the training goes on, and metrics.csv has them "
                "all",
                self._name,
                type(error).__name__,
                " ".join(str(error).split())[:300],
            )


class TensorBoard:
    """Event files in the training's folder `tensorboard`."""

    def begin(self, training: LoggedTraining) -> None:
        """Begin an event file; what earlier files hold is replaced by what is done already."""
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(str(training.directory / "tensorboard"), purge_step=1)
        lines = [f"    {key}: {value}" for key, value in sorted(training.settings.items())]
        self._writer.add_text("settings", "\n".join(lines))
        for row in training.rows:
            self.log(row)

    def log(self, row: Mapping[str, float]) -> None:
        """Write one epoch to the disk."""
        for name, value in _metrics(row):
            self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()

    def end(self, *, finished: bool) -> None:
        """Close the file."""
        self._writer.close()


class MLflow:
    """A run of the experiment `mnas` where MLflow's own settings say (`MLFLOW_TRACKING_URI`)."""

    def begin(self, training: LoggedTraining) -> None:
        """Take up the run of this training, or make it."""
        self._client = importlib.import_module("mlflow").MlflowClient()
        self._run = self._found(training.key) or self._made(training)
        self._client.update_run(self._run, status="RUNNING")
        for key, value in training.settings.items():  # the same value again is nothing to MLflow
            self._client.log_param(self._run, key, value)
        for name in {name for row in training.rows for name, _ in _metrics(row)}:
            sent = {metric.step for metric in self._client.get_metric_history(self._run, name)}
            for row in training.rows:
                if row["epoch"] not in sent:
                    self._client.log_metric(self._run, name, row[name], step=int(row["epoch"]))

    def _found(self, key: str) -> str | None:
        runs = self._client.search_runs([self._experiment()], f"tags.`mnas.training` = '{key}'")
        return str(runs[0].info.run_id) if runs else None

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name("mnas")
        return str(found.experiment_id if found else self._client.create_experiment("mnas"))

    def _made(self, training: LoggedTraining) -> str:
        tags = {"mnas.training": training.key}
        run = self._client.create_run(self._experiment(), tags=tags, run_name=training.name)
        return str(run.info.run_id)

    def log(self, row: Mapping[str, float]) -> None:
        """Send one epoch."""
        for name, value in _metrics(row):
            self._client.log_metric(self._run, name, value, step=int(row["epoch"]))

    def end(self, *, finished: bool) -> None:
        """Close the run; a continued training opens it again."""
        self._client.set_terminated(self._run, status="FINISHED" if finished else "KILLED")


class WeightsAndBiases:
    """A run of the project `mnas`, or of the one that `WANDB_PROJECT` names."""

    def begin(self, training: LoggedTraining) -> None:
        """Take up the run of this training, or make it.

        Raises:
            LoggerError: Nobody is logged in; W&B itself would ask on the terminal and wait.
        """
        wandb = importlib.import_module("wandb")
        mode = os.environ.get("WANDB_MODE", "online")
        if mode == "online" and not wandb.login(prompt=False):
            raise LoggerError("nobody is logged in: run `wandb login`, or set WANDB_MODE=offline")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "mnas"),
            name=training.name,
            id=training.key,
            resume="allow",
            dir=str(training.directory),
            config=dict(training.settings),
        )
        for row in training.rows:
            if row["epoch"] >= self._run.step:  # W&B counts on from what it has
                self.log(row)

    def log(self, row: Mapping[str, float]) -> None:
        """Send one epoch."""
        self._run.log(dict(_metrics(row)), step=int(row["epoch"]))

    def end(self, *, finished: bool) -> None:
        """Close the run; a continued training opens it again."""
        self._run.finish(exit_code=0 if finished else 1)


def _metrics(row: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in row.items() if name != "epoch"]


_LOGGERS: dict[str, tuple[Callable[[], MetricsLogger], str]] = {
    "tensorboard": (TensorBoard, "tensorboard"),
    "mlflow": (MLflow, "mlflow"),
    "wandb": (WeightsAndBiases, "wandb"),
}


def metrics_logger(name: str) -> MetricsLogger:
    """A logger by its name.

    Args:
        name: `tensorboard`, `mlflow` or `wandb`.

    Raises:
        LoggerError: There is no such logger, or its package is not installed.
    """
    if name not in _LOGGERS:
        known = ", ".join(_LOGGERS)
        raise LoggerError(
            f"there is no logger {name!r}{did_you_mean(name, _LOGGERS)}; known are {known}"
        )
    make, package = _LOGGERS[name]
    if importlib.util.find_spec(package) is None:
        raise LoggerError(
            f"the logger {name} needs the package {package}, which is not installed: "
            f"`pip install 'mnas[{name}]'`"
        )
    return make()
