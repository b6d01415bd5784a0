"""Loggers beside metrics.csv: MLflow and W&B are stand-ins, TensorBoard is the real one."""

import logging
import sys
import threading
import types

import pytest

from mnas.training import FullRecipe, LoggerError, metrics_logger, train_network
from mnas.training import loggers as module
from mnas.training.loggers import LoggedTraining, MLflow, TensorBoard, WeightsAndBiases, logging_to

RECIPE = FullRecipe(epochs=2, batch_size=32)
ROWS = [{"epoch": epoch, "val_accuracy": epoch / 10} for epoch in (1, 2, 3)]


@pytest.fixture
def training(tmp_path):
    return LoggedTraining(
        name="tiny", key="abc", settings={"seed": 0}, directory=tmp_path, rows=ROWS[:2]
    )


class Recording:
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def begin(self, training):
        self.told.append(("begin", training.name, len(training.rows)))

    def log(self, row):
        self.told.append(("log", row["epoch"], row["val_accuracy"]))

    def end(self, *, finished):
        self.told.append(("end", finished))


@pytest.mark.parametrize("at", ["begin", "log", "end"])
def test_logger_that_fails_is_one_warning_and_the_training_goes_on(
    at, tiny, digits, tmp_path, caplog
):
    broken, sound = Recording(), Recording()

    def fail(*_, **__):
        raise ConnectionError("no route to\nhost")

    setattr(broken, at, fail)
    trained = train_network(
        tiny, data=digits, recipe=RECIPE, seed=0, directory=tmp_path, loggers=[broken, sound]
    )
    assert trained.weights.is_file()
    assert [each[0] for each in sound.told] == ["begin", "log", "log", "end"]
    (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "Recording gets no more metrics (ConnectionError: no route to host)" in warning.message


def test_logger_that_hangs_is_not_waited_for(training, monkeypatch, caplog):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    forever = threading.Event()
    hanging = Recording()
    hanging.log = lambda row: forever.wait()
    with logging_to([hanging], training) as log:
        for row in ROWS:
            log(row)
    assert "Recording did not take all metrics within 0 s" in caplog.text
    forever.set()


def test_continued_training_tells_what_is_done_already(tiny, digits, tmp_path):
    first, second = Recording(), Recording()
    for logger in (first, second):
        train_network(
            tiny, data=digits, recipe=RECIPE, seed=0, directory=tmp_path, loggers=[logger]
        )
    assert first.told[0] == ("begin", "tiny", 0)
    assert second.told == [("begin", "tiny", 2), ("end", True)]


def test_unknown_logger_lists_the_known():
    with pytest.raises(LoggerError, match=r"did you mean 'tensorboard'\?\); known are .*wandb"):
        metrics_logger("tensorbord")


def test_logger_without_its_package_says_which_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LoggerError, match=r"pip install 'mnas\[mlflow\]'"):
        metrics_logger("mlflow")


class Client:
    """The part of mlflow.MlflowClient that is used, over one store."""

    experiments, runs = {}, {}

    def get_experiment_by_name(self, name):
        found = self.experiments.get(name)
        return found and types.SimpleNamespace(experiment_id=found)

    def create_experiment(self, name):
        self.experiments[name] = "7"
        return "7"

    def search_runs(self, experiment_ids, filter_string):
        assert experiment_ids == ["7"]
        return [
            types.SimpleNamespace(info=types.SimpleNamespace(run_id=run))
            for run, kept in self.runs.items()
            if filter_string == f"tags.`mnas.training` = '{kept['tags']['mnas.training']}'"
        ]

    def create_run(self, experiment_id, tags, run_name):
        self.runs["r1"] = {"tags": tags, "name": run_name, "params": {}, "metrics": []}
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

    def log_param(self, run_id, key, value):
        self.runs[run_id]["params"][key] = value

    def get_metric_history(self, run_id, key):
        return [
            types.SimpleNamespace(step=step)
            for name, _, step in self.runs[run_id]["metrics"]
            if name == key
        ]

    def log_metric(self, run_id, key, value, step):
        self.runs[run_id]["metrics"].append((key, value, step))

    def update_run(self, run_id, status):
        self.runs[run_id]["status"] = status

    def set_terminated(self, run_id, status):
        self.runs[run_id]["status"] = status


def test_mlflow_takes_up_the_run_of_a_training(training, monkeypatch):
    monkeypatch.setattr(Client, "experiments", {})
    monkeypatch.setattr(Client, "runs", {})
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=Client))
    for _ in range(2):  # the second is a continuation
        logger = MLflow()
        logger.begin(training)
        logger.end(finished=True)
    (run,) = Client.runs.values()
    assert run["status"] == "FINISHED"
    logger.begin(training)
    assert run["status"] == "RUNNING"
    logger.log(ROWS[2])
    logger.end(finished=False)
    assert run["name"] == "tiny"
    assert run["params"] == {"seed": 0}
    assert run["metrics"] == [("val_accuracy", row["epoch"] / 10, row["epoch"]) for row in ROWS]
    assert run["status"] == "KILLED"


class Run:
    """The part of a W&B run that is used."""

    def __init__(self, **settings):
        self.settings, self.rows, self.step, self.ended = settings, [], 2, False

    def log(self, values, step):
        self.rows.append((values, step))

    def finish(self, exit_code):
        self.ended = exit_code


def test_wandb_counts_on_from_what_it_has(training, monkeypatch):
    wandb = types.SimpleNamespace(init=Run, login=lambda prompt: not prompt)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    logger = WeightsAndBiases()
    logger.begin(training)
    logger.log(ROWS[2])
    logger.end(finished=True)
    run = logger._run
    assert run.settings["id"] == "abc"
    assert run.settings["project"] == "mine"
    assert run.settings["resume"] == "allow"
    assert run.rows == [({"val_accuracy": 0.2}, 2), ({"val_accuracy": 0.3}, 3)]
    assert run.ended == 0


def test_wandb_is_not_let_ask_on_the_terminal(training, monkeypatch):
    wandb = types.SimpleNamespace(login=lambda prompt: prompt)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(LoggerError, match="run `wandb login`, or set WANDB_MODE=offline"):
        WeightsAndBiases().begin(training)


@pytest.mark.external
def test_tensorboard_shows_every_epoch_once(training):
    pytest.importorskip("tensorboard", exc_type=ImportError)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # the second is a continuation
        logger = TensorBoard()
        logger.begin(training)
        logger.log(ROWS[2])
        logger.end(finished=True)
    shown = EventAccumulator(str(training.directory / "tensorboard"))
    shown.Reload()
    scalars = [(event.step, round(event.value, 6)) for event in shown.Scalars("val_accuracy")]
    assert scalars == [(1, 0.1), (2, 0.2), (3, 0.3)]


@pytest.mark.external
@pytest.mark.filterwarnings("default")
def test_real_mlflow_has_every_epoch_once(training, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for _ in range(2):  # the second is a continuation
        logger = MLflow()
        logger.begin(training)
        logger.end(finished=True)
    sent = mlflow.MlflowClient().get_metric_history(logger._run, "val_accuracy")
    assert [(each.step, each.value) for each in sent] == [(1, 0.1), (2, 0.2)]


@pytest.mark.external
@pytest.mark.filterwarnings("default")
def test_real_wandb_writes_a_run_without_an_account(training, monkeypatch):
    pytest.importorskip("wandb", exc_type=ImportError)
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = WeightsAndBiases()
    logger.begin(training)
    logger.log(ROWS[2])
    assert logger._run.step == 3
    logger.end(finished=True)
    assert list(training.directory.glob("wandb/offline-run-*-abc/*.wandb"))
