"""Exporting from a run directory: the pick, its training, its target and its table."""

import json
from pathlib import Path

import pytest

import mnas.export.timing as timing_module
from mnas.arch import count
from mnas.export import ExportError, data_card_beside, export_run
from mnas.latency import LatencyTable, TableRow, Target, Timing
from mnas.nets import build
from mnas.results import Record, RecordStore, RunError
from mnas.training import save_weights

STEM = (
    '{"activation":"relu","in_channels":3,"kernel":3,"op":"stem","out_channels":8,'
    '"padding":"symmetric","size":32,"stride":2}'
)


def record_of(arch, number, accuracy):
    counts = count(arch)
    return Record(
        number=number, id=arch.id, kind="trial", rung=0, epochs=1, seed=1, state="complete",
        reason=None, accuracy=accuracy, latency_ms={"here": 1.0}, measured_ms={},
        params=counts.params, macs=counts.macs,
        peak_activation_bytes=counts.peak_activation_bytes, seconds=1.0,
        started="2026-01-01T00:00:00+00:00", choices={},
    )  # fmt: skip


@pytest.fixture
def best(tiny):
    return tiny(name="best")


@pytest.fixture
def other(tiny):
    return tiny(blocks=("conv", "conv"), name="other")


@pytest.fixture
def run(best, other, tmp_path, monkeypatch):
    """A finished run of two networks, neither of them trained yet; timing takes no time."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_experiment(folder)
    (folder / "environment.json").write_text("{}")
    with RecordStore(folder / "records.db") as store:
        store.add(record_of(best, 0, 0.9), best)
        store.add(record_of(other, 1, 0.5), other)

    def time_networks(files, target):
        return {name: Timing(ms=2.0, spread=0.0, wall_ms=2.0) for name in files}

    monkeypatch.setattr(timing_module, "time_networks", time_networks)
    return folder


def write_experiment(folder, **target):
    section = {"name": "here", "runtime": "onnxruntime", "threads": 1, "dtype": "fp32",
               "table": "auto", "budget_ms": 5.0}  # fmt: skip
    experiment = {"name": "small", "objectives": ["accuracy", "latency"]}
    experiment |= {"targets": [section | target]}
    (folder / "experiment.yaml").write_text(json.dumps(experiment))


def write_training(folder, arch, card, **changes):
    training = folder / "checkpoints" / f"train-{arch.id}"
    save_weights(build(arch), training / "weights.safetensors")
    data = {name: value for name, value in card.items() if name not in ("val", "test")}
    document = {
        "schema": "mnas.training/1", "architecture": {"id": arch.id, "name": arch.name},
        "data": data, "val": card["val"], "test": card["test"], **changes,
    }  # fmt: skip
    (training / "training.json").write_text(json.dumps(document))
    return training / "weights.safetensors"


def write_table(path, **target):
    row = TableRow(block=STEM, ms=0.1, wall_ms=0.1, spread=0.0, runs=10, status="measured")
    LatencyTable(
        target=Target(**target), device="a machine", runtime_version="1", rows=(row,)
    ).save(path)


def test_the_best_network_is_exported_into_the_run_with_its_data_and_accuracy(run, best, card):
    write_training(run, best, card)

    manifest = export_run(run, ["architecture", "weights"])

    assert manifest.architecture.id == best.id
    assert (run / "exports" / best.id / "manifest.json").is_file()
    assert manifest.data_fingerprint == card["fingerprint"]
    assert manifest.accuracy[0].value == 0.9
    assert manifest.weights.trained
    assert manifest.timing is None


def test_another_network_is_picked_by_its_id(run, other, card, tmp_path):
    write_training(run, other, card)

    manifest = export_run(run, "architecture", pick=other.id, out=tmp_path / "out")

    assert manifest.architecture.name == "other"
    assert (tmp_path / "out" / "architecture.json").is_file()


@pytest.mark.parametrize("pick", ["../../x", "000000000000", ""])
def test_an_unknown_pick_is_an_error(pick, run):
    with pytest.raises(RunError, match="has no architecture"):
        export_run(run, "architecture", pick=pick)


def test_without_training_the_error_says_what_to_run(run):
    with pytest.raises(ExportError, match=rf"run `mnas train {run} --pick best` first"):
        export_run(run, "weights")


def test_an_unfinished_training_is_not_exported(run, best, card):
    write_training(run, best, card).with_name("training.json").unlink()

    with pytest.raises(ExportError, match=r"is not finished: continue it with `mnas train"):
        export_run(run, "weights")


def test_given_weights_bring_no_data_that_is_not_theirs(run, best, card, tmp_path):
    write_training(run, best, card)
    save_weights(build(best), tmp_path / "mine.safetensors")

    manifest = export_run(run, "weights", weights=tmp_path / "mine.safetensors")

    assert manifest.accuracy == ()
    assert manifest.data_fingerprint is None
    assert "nothing is known of the data" in manifest.notes[0]


def test_training_of_another_network_is_refused(run, best, other, card):
    write_training(run, best, card, architecture={"id": other.id})

    with pytest.raises(ExportError, match=rf"the training of {other.id}, not of {best.id}"):
        export_run(run, "weights")


def test_a_damaged_training_document_is_told(run, best, card):
    weights = write_training(run, best, card)
    weights.with_name("training.json").write_text("{")

    with pytest.raises(ExportError, match=r"training\.json is not what `mnas train` writes"):
        data_card_beside(weights, best)


def test_the_onnx_file_is_timed_beside_the_run_s_own_table(run, best, card):
    write_training(run, best, card)
    write_table(run / "tables" / "here.csv")

    manifest = export_run(run, "onnx")

    assert manifest.timing is not None
    assert manifest.timing.target["name"] == "here"
    assert manifest.timing.predicted_ms is not None
    assert manifest.notes == ()


def test_a_stated_table_is_used_where_the_run_kept_none(run, best, card, tmp_path):
    write_training(run, best, card)
    write_table(tmp_path / "table.csv")
    write_experiment(run, table=str(tmp_path / "table.csv"))

    assert export_run(run, "onnx").timing.predicted_ms is not None


def test_a_table_that_is_gone_is_said_and_the_file_is_timed_all_the_same(run, best, card):
    write_training(run, best, card)

    manifest = export_run(run, "onnx")

    assert manifest.timing is not None
    assert manifest.timing.measured_ms == 2.0
    assert manifest.timing.predicted_ms is None
    assert manifest.notes[0].startswith("no prediction: there is no latency table any more at")


def test_a_table_of_another_target_gives_no_prediction(run, best, card):
    write_training(run, best, card)
    write_table(run / "tables" / "here.csv", threads=2)

    manifest = export_run(run, "onnx")

    assert "was measured with threads 2, but threads 1 is asked for" in manifest.notes[0]


def test_a_target_no_file_can_be_timed_on_is_said(run, best, card):
    write_training(run, best, card)
    write_experiment(run, runtime="torch")

    manifest = export_run(run, "onnx")

    assert manifest.timing is None
    assert manifest.notes[0].endswith("asks for torch in fp32, which runs no files")


def test_a_run_s_command_is_not_run_by_an_export_and_the_manifest_says_so(
    run, best, card, tmp_path
):
    write_training(run, best, card)
    write_experiment(run, address=f"cmd:touch {tmp_path}/PWNED {{model}}")

    manifest = export_run(run, "onnx")

    assert manifest.timing is None
    assert manifest.notes[0].endswith("and export times on this machine")
    assert not (tmp_path / "PWNED").exists()


def test_a_target_s_name_cannot_lead_to_a_table_outside(run, best, card):
    write_training(run, best, card)
    (run / "tables").mkdir()
    write_table(run.parent / "evil.csv")
    write_experiment(run, name="../../evil")

    manifest = export_run(run, "onnx")

    assert manifest.notes == ("no prediction: there is no latency table any more",)


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(RunError, match="is no run directory"):
        export_run(Path(tmp_path), "onnx")
