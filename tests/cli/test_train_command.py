"""`mnas train` of an architecture document: what may be set, what is refused, what it leaves."""

import csv
import json
import random

import pytest

from mnas.arch import Architecture
from mnas.results import TrainingFilesError, write_training_page
from mnas.search import train_architecture
from mnas.space import load_space
from mnas.training import DataSpec, FullRecipe

QUICK = ("train.epochs=1", "data.val=200", "data.test=1000", "--data", "digits")


@pytest.fixture
def document(tmp_path, space_file):
    arch = load_space(space_file).sample(random.Random(0))
    path = tmp_path / "arch.json"
    path.write_text(arch.to_json())
    return path


def test_keys_of_recipe_data_and_seed_are_set_on_the_command_line(mnas, document, tmp_path):
    ended = mnas("train", document, "train.flip=true", "seed=3", *QUICK, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    found = json.loads((tmp_path / "out" / "training.json").read_text())
    recipe = FullRecipe(epochs=1, flip=True)
    assert found["recipe"]["digest"] == recipe.digest
    assert found["seed"] == 3
    assert found["data"]["images"] == {"train": 597, "val": 200, "test": 1000}
    assert "training.html" in ended.out
    page = (tmp_path / "out" / "training.html").read_text()
    assert "of 1,000 test images, which chose nothing" in page
    assert "Chosen was epoch 1" in page

    longer = mnas("train", document, "seed=3", *QUICK, "-o", tmp_path / "out")
    assert longer.code == 2
    assert f"recipe '{recipe.digest}' there" in longer.err


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("train.epoch=3", "train.epoch: unknown field (did you mean 'epochs'?) (set on the"),
        ("train.epochs=0", "train: epochs must be at least 1; got 0"),
        ("train=3", "train: must be an object; got 3"),
        ("seed=-1", "seed: must be greater than or equal to 0; got -1"),
        ("data.vall=3", "data.vall: unknown field (did you mean 'val'?)"),
        ("search.trials=3", "search: unknown field"),
        ("train.epochs", "an override is written key=value"),
        ("train.epochs=[", "is not YAML"),
        ("data.source=synthetic", "data.source of an architecture document is said by --data"),
        ("threads=0", "threads: must be greater than or equal to 1; got 0"),
        ("device=tpu", "device: must be "),
        ("device=cuda", "no GPU number 1 for training"),
        ("data.val=3000", "3000"),
    ],
)
def test_key_that_cannot_be_is_named_and_nothing_is_written(mnas, document, tmp_path, key, told):
    ended = mnas("train", document, key, "--data", "digits", "-o", tmp_path / "out")
    assert ended.code == 2
    assert told in ended.err
    assert not (tmp_path / "out").exists()


def test_the_whole_data_specification_counts_in_python(document, tmp_path):
    arch = Architecture.from_json(document.read_text())
    data = DataSpec(source="digits", val=200, test=1000, seed=4)
    trained = train_architecture(
        arch, ["train.epochs=1", "threads=1"], data=data, directory=tmp_path / "out"
    )
    assert trained.card["images"] == {"train": 597, "val": 200, "test": 1000}
    assert json.loads((tmp_path / "out" / "training.json").read_text())["threads"] == 1


def test_page_that_cannot_be_drawn_hides_nothing(mnas, document, tmp_path, monkeypatch, caplog):
    def fail(directory):
        raise TrainingFilesError("not today")

    monkeypatch.setattr("mnas.search.training_runs.write_training_page", fail)
    ended = mnas("train", document, *QUICK, "-o", tmp_path / "out")
    assert ended.code == 0
    assert "the page of the training was not drawn: not today" in caplog.text


def test_unknown_logger_is_refused_before_anything_is_read(mnas, document, tmp_path):
    ended = mnas(
        "train", document, "--data", "digits", "-o", tmp_path / "out", "--log", "tensorbord"
    )
    assert ended.code == 2
    assert "there is no logger 'tensorbord' (did you mean 'tensorboard'?)" in ended.err


def write_metrics(folder, rows):
    with (folder / "metrics.csv").open("w", newline="") as file:
        names = ("epoch", "learning_rate", "train_loss", "val_accuracy", "seconds")
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)


def test_page_of_an_unfinished_training_says_so(tmp_path):
    write_metrics(tmp_path, [(1, 0.1, 2.0, 0.5, 3.0), (2, 0.1, 1.0, 0.7, 3.0), (3, 0, 1, 0.7, 3)])
    page = write_training_page(tmp_path).read_text()
    assert "Not finished; best so far: epoch 3 with 70.00\u00a0% of validation." in page


@pytest.mark.parametrize("text", ["", "epoch,seconds\n1,2\n", "epoch\n", "\x00\x01"])
def test_page_of_a_table_that_is_no_training_is_refused(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(TrainingFilesError, match=r"metrics\.csv"):
        write_training_page(tmp_path)


@pytest.mark.parametrize(
    "text", ['{"schema": "mnas.training/1"}', '{"schema": "mnas.training/1", "architecture": 3}']
)
def test_page_of_half_a_document_is_refused(tmp_path, text):
    write_metrics(tmp_path, [(1, 0.1, 2.0, 0.5, 3.0)])
    (tmp_path / "training.json").write_text(text)
    with pytest.raises(TrainingFilesError, match="is not what a training writes"):
        write_training_page(tmp_path)


def test_page_of_metrics_that_are_words_is_refused(tmp_path):
    write_metrics(tmp_path, [(1, 0.1, 2.0, "good", 3.0)])
    with pytest.raises(TrainingFilesError, match="is not what a training writes"):
        write_training_page(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{", '{"schema": "mnas.training/2"}'])
def test_page_of_a_foreign_document_is_refused(tmp_path, text):
    write_metrics(tmp_path, [(1, 0.1, 2.0, 0.5, 3.0)])
    (tmp_path / "training.json").write_text(text)
    with pytest.raises(TrainingFilesError, match=r"training\.json is not what a training writes"):
        write_training_page(tmp_path)
