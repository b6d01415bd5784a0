import csv
import dataclasses
import hashlib
import json

import pytest

from mnas.arch import Architecture, MnasError
from mnas.nets import build
from mnas.training import (
    MisfitError,
    OtherTrainingError,
    RecipeError,
    TrainingHeldError,
    accuracy_of,
    load_weights,
    train_network,
)
from mnas.training.course import held
from mnas.training.loop import DivergedError, Training


class Killed(BaseException):
    """Ends a training as a signal would: nothing catches it."""


@pytest.fixture(scope="module")
def undisturbed(tiny, digits, tmp_path_factory):
    from mnas.training import FullRecipe

    recipe = FullRecipe(epochs=3, batch_size=32, warmup_epochs=1.0)
    directory = tmp_path_factory.mktemp("undisturbed")
    return train_network(tiny, data=digits, recipe=recipe, seed=0, directory=directory)


def without_seconds(directory):
    with (directory / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_training_leaves_its_weights_metrics_and_data_card(undisturbed, tiny, digits, full):
    directory = undisturbed.directory
    document = json.loads((directory / "training.json").read_text())
    assert Architecture.from_json((directory / "architecture.json").read_text()) == tiny
    assert document["recipe"] == {**dataclasses.asdict(full), "digest": full.digest}
    assert document["data"]["fingerprint"] == digits.fingerprint
    assert document["data"]["class_names"] == list("0123456789")
    assert document["data"]["mean"] == list(digits.mean)
    assert document["data"]["resolution"] == 16
    assert document["seed"] == 0
    assert document["test"]["total"] == 1200
    assert document["test"]["low"] < document["test"]["value"] < document["test"]["high"]
    rows = without_seconds(directory)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    best = max(rows, key=lambda row: (float(row["val_accuracy"]), int(row["epoch"])))
    assert int(best["epoch"]) == document["best_epoch"] == undisturbed.best_epoch
    assert float(best["val_accuracy"]) == document["val"]["value"]


def test_weights_are_those_that_were_judged(undisturbed, tiny, digits):
    load_weights(build(tiny), undisturbed.weights)
    accuracy = accuracy_of(tiny, undisturbed.weights, digits.val, digits)
    assert accuracy == undisturbed.val


@pytest.mark.parametrize(("epoch", "step"), [(0, 4), (1, 0), (2, 5)])
def test_training_killed_at_any_step_continues_to_the_same_weights(
    undisturbed, tiny, digits, full, tmp_path, monkeypatch, epoch, step
):
    take_step = Training._step

    def killed(self, chosen, at_epoch, at_step):
        if (at_epoch, at_step) == (epoch, step):
            raise Killed("in the middle")
        return take_step(self, chosen, at_epoch, at_step)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", killed)
        with pytest.raises(Killed, match="in the middle"):
            train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path)
    seen = []
    trained = train_network(
        tiny,
        data=digits,
        recipe=full,
        seed=0,
        directory=tmp_path,
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert seen == [(done, 3) for done in range(epoch + 1, 4)]
    assert trained.weights.read_bytes() == undisturbed.weights.read_bytes()
    assert without_seconds(tmp_path) == without_seconds(undisturbed.directory)
    assert trained.test == undisturbed.test


def test_training_killed_between_two_files_continues_to_the_same_weights(
    undisturbed, tiny, digits, full, tmp_path, monkeypatch
):
    def killed(path, content):
        raise Killed("after the checkpoint")

    with monkeypatch.context() as patch:
        patch.setattr("mnas.training.weights.write_atomically", killed)
        with pytest.raises(Killed, match="after the checkpoint"):
            train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path)
    assert (tmp_path / "last.safetensors").exists()
    trained = train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path)
    assert trained.weights.read_bytes() == undisturbed.weights.read_bytes()


def test_damaged_last_checkpoint_is_trained_again(
    undisturbed, tiny, digits, full, tmp_path, caplog
):
    (tmp_path / "last.safetensors").write_bytes(b"half of some")
    trained = train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path)
    assert trained.weights.read_bytes() == undisturbed.weights.read_bytes()
    assert "is damaged and will not be used" in caplog.text


@pytest.mark.parametrize("lost", ["weights.safetensors", "metrics.csv", "training.json"])
def test_training_killed_before_its_last_files_writes_them(
    undisturbed, tiny, digits, full, tmp_path, lost
):
    for path in undisturbed.directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / lost).read_bytes()
    (tmp_path / lost).unlink()
    train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path)
    assert (tmp_path / lost).read_bytes() == whole


def test_directory_of_another_training_is_refused(undisturbed, tiny, digits, full):
    with pytest.raises(OtherTrainingError, match=r"holds another training \(seed 0 there, 1 here"):
        train_network(tiny, data=digits, recipe=full, seed=1, directory=undisturbed.directory)


def test_new_weights_have_no_document_of_older_ones(undisturbed, tiny, digits, full, tmp_path):
    for path in undisturbed.directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    document = json.loads((tmp_path / "training.json").read_text())
    weights = hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()
    assert document["weights_sha256"] == weights
    (tmp_path / "last.safetensors").unlink()

    def stop(done, total, what):
        raise Killed("after the first epoch")

    with pytest.raises(Killed, match="first epoch"):
        train_network(tiny, data=digits, recipe=full, seed=7, directory=tmp_path, progress=stop)
    assert not (tmp_path / "training.json").exists()


def test_two_trainings_in_one_directory_are_refused(tiny, digits, full, tmp_path):
    with held(tmp_path), pytest.raises(TrainingHeldError, match="another process trains in"):
        train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path)


def test_metrics_of_somebody_else_are_not_written_over(tiny, digits, full, tmp_path):
    (tmp_path / "metrics.csv").write_text("mine\n1\n")
    with pytest.raises(OtherTrainingError, match=r"metrics\.csv was not written by a training"):
        train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == "mine\n1\n"


def test_checkpoint_that_the_disk_does_not_give_is_not_trained_over(
    tiny, digits, full, tmp_path, monkeypatch
):
    (tmp_path / "last.safetensors").write_bytes(b"hours of work")

    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("safetensors.safe_open", fail)
    with pytest.raises(MnasError, match=r"cannot read the checkpoint .*Input/output error"):
        train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path)
    assert (tmp_path / "last.safetensors").read_bytes() == b"hours of work"


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_fewer_than_one_is_refused(tiny, digits, full, tmp_path, name):
    with pytest.raises(RecipeError, match=f"{name} must be at least 1; got 0"):
        train_network(tiny, data=digits, recipe=full, seed=0, directory=tmp_path, **{name: 0})


def test_progress_tells_the_time_left(tiny, digits, full, tmp_path):
    told = []
    train_network(
        tiny,
        data=digits,
        recipe=dataclasses.replace(full, epochs=2),
        seed=0,
        directory=tmp_path,
        progress=lambda done, total, what: told.append((done, total, what)),
    )
    assert [line[:2] for line in told] == [(1, 2), (2, 2)]
    assert told[-1][2].startswith("validation ")
    assert told[-1][2].endswith("%, 0 s left")


def test_training_without_test_images_has_no_test_accuracy(tiny, digits, full, tmp_path):
    recipe = dataclasses.replace(full, epochs=1)
    trained = train_network(
        tiny, data=digits.without_test(), recipe=recipe, seed=0, directory=tmp_path
    )
    assert trained.test is None
    assert json.loads((tmp_path / "training.json").read_text())["test"] is None


def test_loss_that_is_no_number_ends_a_whole_training(tiny, digits, full, tmp_path):
    recipe = dataclasses.replace(full, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"the loss became .* at learning rate"):
        train_network(tiny, data=digits, recipe=recipe, seed=0, directory=tmp_path)


def test_network_for_other_data_is_refused(tiny, digits, full, tmp_path):
    arch = dataclasses.replace(tiny, input=dataclasses.replace(tiny.input, channels=3))
    with pytest.raises(MisfitError, match=r"input\.channels: the network has 3, the data 1"):
        train_network(arch, data=digits, recipe=full, seed=0, directory=tmp_path)
