"""The main job on real data, from a space file to an exported network that is the trained one."""

import json
import random
import shutil

import numpy as np
import onnxruntime
import pytest
import torch

import mnas
from mnas.export import export_run
from mnas.nets import build
from mnas.search import InvalidExperimentError, run_search, train_run
from mnas.training import load_weights

SPACE = """\
schema: mnas.space/1
name: little
input: {channels: 1, resolution: [16, 24]}
width: [0.5, 1.0]
stem: {kernel: 3, stride: 2, out_channels: 8, activation: relu}
stages:
  - op: inverted_residual
    depth: [1, 2]
    kernel: {each: [3, 5]}
    expansion: 2
    out_channels: 16
    stride: 2
    activation: [relu, hard_swish]
    se: [null, {ratio: 0.25, activation: relu, gate: hard_sigmoid}]
head:
  - {op: pool}
"""
EXPERIMENT = """\
schema: mnas.experiment/1
name: little
space: little.yaml
data: {source: digits}
proxy: {epochs: [1, 2]}
targets: [{name: this-cpu, budget_ms: 5}]
objectives: [accuracy, latency]
search: {trials: 4}
baselines: [baseline.json]
confirm: {top: 1, seeds: 1, epochs: 3}
train: {epochs: 3}
"""


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "little.yaml").write_text(SPACE)
    (tmp_path / "little-experiment.yaml").write_text(EXPERIMENT)
    published = mnas.load_space(tmp_path / "little.yaml").sample(random.Random(0))
    (tmp_path / "baseline.json").write_text(published.to_json())
    return tmp_path / "little-experiment.yaml"


@pytest.mark.ray
def test_search_train_export_ends_in_onnxruntime_agreeing_with_torch(experiment, tmp_path):
    run = run_search(experiment, out=tmp_path / "run")

    records = run.records()
    assert set(records["kind"]) == {"trial", "baseline", "confirm"}
    assert records[records["kind"] == "trial"]["id"].nunique() == 4
    assert run.verdict["winner"]["test_images"] == 360
    assert run.verdict["winner"]["measured_ms"] > 0
    assert run.verdict["gain"]["low"] < run.verdict["gain"]["high"]
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    assert len(run.front()) >= 1
    assert run.environment["tables"]["this-cpu"]["verification"]["verdict"]

    trained = train_run(tmp_path / "run")
    export_run(tmp_path / "run", ["architecture", "source", "weights", "pt2", "onnx"])

    winner = run.best()
    assert winner.id == run.verdict["winner"]["id"]
    exports = tmp_path / "run" / "exports" / winner.id
    manifest = json.loads((exports / "manifest.json").read_text())
    onnx_file = next(each["file"] for each in manifest["formats"] if each["format"] == "onnx")
    module = build(winner)
    load_weights(module, trained.weights)
    images = torch.rand(3, 1, winner.input.resolution, winner.input.resolution)
    with torch.inference_mode():
        expected = module.eval()(images).numpy()
    session = onnxruntime.InferenceSession(exports / onnx_file)
    got = session.run(None, {"input": images.numpy()})[0]
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
    assert manifest["timing"]["measured_ms"] > 0


def test_finished_run_is_moved_and_run_again_without_training_anything(experiment, tmp_path):
    from mnas.search import inline_worker

    run_search(experiment, out=tmp_path / "run", make_executor=inline_worker)
    before = (tmp_path / "run" / "records.csv").read_text()
    shutil.move(tmp_path / "run", tmp_path / "moved")

    again = run_search(tmp_path / "moved", make_executor=inline_worker)

    assert (tmp_path / "moved" / "records.csv").read_text() == before
    assert again.verdict["winner"]["id"] == again.best().id

    own = train_run(tmp_path / "moved", ["workers.count=1"])
    other = train_run(tmp_path / "moved", ["train.epochs=1"])
    assert own.directory.name == f"train-{again.best().id}"
    assert other.directory.name.startswith(f"train-{again.best().id}-")
    assert (other.directory / "training.html").is_file()
    with pytest.raises(InvalidExperimentError, match=r"data\.val of a run cannot be set otherwise"):
        train_run(tmp_path / "moved", ["data.val=3"])
