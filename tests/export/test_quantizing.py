"""int8 files: calibrated and judged on real images, or not written."""

import dataclasses
import hashlib
import json
import shutil

import pytest
import torch

import mnas.export.timing as timing_module
from mnas.export import (
    EXPORTERS,
    ExportError,
    ExportMismatchError,
    Manifest,
    check_export,
    export_network,
    export_run,
)
from mnas.export.card import DataCard
from mnas.export.manifest import Quantization, Share
from mnas.export.quantizing import doubts_of
from mnas.export.subject import subject_of
from mnas.latency import LatencyTable, TableMismatchError, TableRow, Target, Timing
from mnas.nets import build
from mnas.results import Record, RecordStore
from mnas.training import (
    DataSpec,
    FullRecipe,
    MisfitError,
    accuracy_of,
    load_data,
    load_weights,
    train_network,
)

DIGITS = DataSpec(source="digits")
INT8 = "onnx-int8"
STEM = (
    '{"activation":"relu","in_channels":1,"kernel":3,"op":"stem","out_channels":8,'
    '"padding":"symmetric","size":16,"stride":2}'
)


@pytest.fixture(scope="module")
def digits():
    return load_data(DIGITS, 16)


@pytest.fixture(scope="module")
def arch(tiny):
    squeezed = {"channels": 8, "activation": "relu", "gate": "hard_sigmoid"}
    block = {
        "op": "inverted_residual", "kernel": 3, "stride": 1, "expanded_channels": 48,
        "out_channels": 24, "activation": "hard_swish", "expand": True, "se": squeezed,
        "residual": False,
    }  # fmt: skip
    return tiny(
        blocks=("depthwise_separable", block),
        input={"channels": 1, "resolution": 16},
        num_classes=10,
        dropout=0.0,
    )


@pytest.fixture(scope="module")
def training(arch, digits, tmp_path_factory):
    """A really trained network, with squeeze-and-excite and h-swish."""
    folder = tmp_path_factory.mktemp("training")
    recipe = FullRecipe(epochs=6, warmup_epochs=0.5, average_decay=0.95, shift=0.0)
    train_network(arch, data=digits, recipe=recipe, seed=0, directory=folder)
    return folder


@pytest.fixture(scope="module")
def weights(training):
    return training / "weights.safetensors"


@pytest.fixture(scope="module")
def folder(arch, weights, digits, tmp_path_factory):
    """An export that a test only reads."""
    folder = tmp_path_factory.mktemp("int8") / "out"
    export_network(arch, weights, ["architecture", "weights", INT8], folder, data=digits)
    return folder


def entry_of(folder):
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    return next(each for each in manifest.formats if each.format == INT8)


def answering(monkeypatch, change):
    """Make the int8 file answer otherwise."""
    exporter = EXPORTERS[INT8]

    def run(path, batches, subject):
        return tuple(change(logits) for logits in exporter.run(path, batches, subject))

    monkeypatch.setitem(EXPORTERS, INT8, dataclasses.replace(exporter, run=run))


def timing_of(monkeypatch, int8_ms, fp32_ms):
    def time_networks(files, target):
        ms = int8_ms if target.dtype == "int8" else fp32_ms
        return {name: Timing(ms=ms, spread=0.01, wall_ms=ms) for name in files}

    monkeypatch.setattr(timing_module, "time_networks", time_networks)


def table_of(dtype):
    row = TableRow(block=STEM, ms=0.1, wall_ms=0.1, spread=0.0, runs=10, status="measured")
    target = Target(dtype=dtype)
    return LatencyTable(target=target, device="a machine", runtime_version="1", rows=(row,))


def test_an_int8_file_is_judged_by_its_answers_on_validation_images(folder, arch, weights, digits):
    entry = entry_of(folder)

    found = entry.quantization
    own = accuracy_of(arch, weights, digits.val, digits)
    assert (found.images, found.data_fingerprint) == (len(digits.val), digits.fingerprint)
    assert found.calibration_images == 512
    assert found.network_accuracy == Share(value=own.value, low=own.low, high=own.high)
    assert own.value > 0.8
    assert found.drop.value == pytest.approx(own.value - found.accuracy.value)
    assert found.drop.value <= found.most_drop == 0.01
    assert found.agreement.value >= 0.95
    assert found.agreement.low < found.agreement.value <= found.agreement.high
    assert (entry.tolerance, entry.inputs) == (None, "noise")


def test_the_file_s_normalisation_and_classes_come_from_the_data(folder, digits):
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())

    assert (manifest.input.mean, manifest.input.std) == (digits.mean, digits.std)
    assert manifest.class_names == digits.class_names
    assert manifest.data_fingerprint is None  # nobody said what it was trained on


def test_data_serves_the_proof_of_other_files_too(arch, weights, tmp_path):
    manifest = export_network(arch, weights, "onnx", tmp_path / "out", data=DIGITS)

    (entry,) = manifest.formats
    assert (entry.inputs, entry.quantization, entry.tolerance) == ("samples", None, 1e-4)


def test_without_images_the_error_says_how_to_give_them(arch, weights, tmp_path):
    with pytest.raises(ExportError, match=r"say where they are with --data SOURCE\[:PATH\]"):
        export_network(arch, weights, ["onnx", INT8], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_initial_weights_are_not_quantised(arch, tmp_path):
    with pytest.raises(ExportError, match="initial weights have none: give trained ones with"):
        export_network(arch, None, INT8, tmp_path / "out", data=DIGITS)


def test_data_divided_otherwise_than_for_the_training_is_refused(arch, weights, digits, tmp_path):
    other = dataclasses.replace(DIGITS, seed=1)
    with pytest.raises(ExportError, match=f"with the fingerprint {digits.fingerprint}"):
        export_network(arch, weights, INT8, tmp_path / "out", data=other, data_card=digits.card())


def test_images_normalised_otherwise_are_refused(arch, weights, tmp_path):
    card = {"mean": [0.5], "std": [0.5]}
    with pytest.raises(ExportError, match=r"trained on data with the mean \(0.5,\)"):
        export_network(arch, weights, INT8, tmp_path / "out", data=DIGITS, data_card=card)


def test_data_of_other_channels_is_refused(tiny, weights_of, tmp_path):
    with pytest.raises(MisfitError, match=r"input\.channels: the network has 3, the data 1"):
        export_network(tiny(), weights_of(tiny()), INT8, tmp_path / "out", data=DIGITS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda logits: logits.roll(1, dims=1), r"allowed is 1% less; puts .*needed is 90%"),
        (lambda logits: logits * float("nan"), "does not give finite logits on validation images"),
    ],
)
def test_a_file_that_answers_otherwise_is_not_left(
    change, message, monkeypatch, arch, weights, digits, tmp_path
):
    answering(monkeypatch, change)

    with pytest.raises(ExportMismatchError, match=f"onnx-int8: .*{message}") as info:
        export_network(arch, weights, ["weights", INT8], tmp_path / "out", data=digits)

    assert info.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_few_images_are_said_to_prove_little():
    share = Share(value=0.9, low=0.8, high=0.95)
    found = Quantization(
        method="any", calibration_images=9, data_fingerprint="0", images=40,
        network_accuracy=share, accuracy=share, drop=Share(value=0.0, low=-0.05, high=0.051),
        agreement=share, most_drop=0.01, least_agreement=0.9,
    )  # fmt: skip
    sure = dataclasses.replace(found, drop=Share(value=0.0, low=-0.01, high=0.01))

    doubts = doubts_of([("a", found), ("b", sure), ("c", None)])

    assert len(doubts) == 1
    assert "a: 40 validation images do not rule out that it is up to 5.1% less" in doubts[0]


def test_a_sound_folder_passes_with_the_data_and_without(folder, digits):
    with_data, without = check_export(folder, data=digits), check_export(folder)

    assert {each.state for each in with_data + without} == {"passed"}
    assert "both put the same class first on" in with_data[-1].detail
    assert without[-1].detail.endswith("on noise, as at the export")


def test_a_processor_that_computes_otherwise_is_found_without_data(monkeypatch, folder):
    answering(monkeypatch, lambda logits: logits.roll(1, dims=1))

    found = check_export(folder)[-1]

    assert found.state == "failed"
    assert "of its largest logit on noise; at the export it was" in found.detail


def test_a_check_with_other_images_is_refused(folder):
    with pytest.raises(ExportError, match=r"were judged on data with the fingerprint .* has "):
        check_export(folder, data=dataclasses.replace(DIGITS, seed=1))


def test_a_check_of_exact_files_takes_no_data(arch, weights, tmp_path):
    export_network(arch, weights, "weights", tmp_path / "out")
    with pytest.raises(ExportError, match=r"nothing in .* is judged on data: check it without"):
        check_export(tmp_path / "out", data=DIGITS)


def test_an_int8_file_of_other_weights_fails_whatever_its_checksum_says(
    folder, arch, weights, digits, tmp_path
):
    load_weights(module := build(arch), weights)
    others = {
        name: value.flip(0) if value.ndim else value for name, value in module.state_dict().items()
    }
    copy = shutil.copytree(folder, tmp_path / "copy")
    EXPORTERS[INT8].write(subject_of(arch, others, DataCard(), digits), copy / "model.int8.onnx")
    document = json.loads((copy / "manifest.json").read_text())
    digest = hashlib.sha256((copy / "model.int8.onnx").read_bytes()).hexdigest()
    document["formats"][-1]["sha256"] = digest
    (copy / "manifest.json").write_text(json.dumps(document))

    assert check_export(copy, data=digits)[-1].state == "failed"


def test_the_int8_file_is_timed_beside_the_fp32_one(monkeypatch, arch, weights, digits, tmp_path):
    timing_of(monkeypatch, int8_ms=1.0, fp32_ms=3.0)

    manifest = export_network(
        arch, weights, INT8, tmp_path / "out", Target(dtype="int8"), data=digits,
        table=table_of("int8"),
    )  # fmt: skip

    timing = manifest.timing
    assert (timing.file, timing.target["dtype"]) == ("model.int8.onnx", "int8")
    assert (timing.measured_ms, timing.fp32_ms) == (1.0, 3.0)
    assert timing.predicted_ms is not None
    assert "not faster" not in timing.note


def test_int8_that_is_not_faster_is_said(monkeypatch, arch, weights, digits, tmp_path):
    timing_of(monkeypatch, int8_ms=3.0, fp32_ms=1.0)

    manifest = export_network(
        arch, weights, INT8, tmp_path / "out", Target(dtype="int8"), data=digits
    )

    assert manifest.timing.note == "int8 is not faster here: the fp32 file takes 1 ms"


def test_a_table_of_fp32_does_not_predict_an_int8_file(arch, weights, digits, tmp_path):
    with pytest.raises(TableMismatchError, match=r"dtype fp32, but dtype int8 is asked"):
        export_network(
            arch, weights, INT8, tmp_path / "out", Target(dtype="int8"), data=digits,
            table=table_of("fp32"),
        )  # fmt: skip


@pytest.fixture
def run(arch, training, monkeypatch, tmp_path):
    """A run whose best network is the trained one, searched on digits with an fp32 target."""
    folder = tmp_path / "run"
    shutil.copytree(training, folder / "checkpoints" / f"train-{arch.id}")
    target = {"name": "here", "runtime": "onnxruntime", "threads": 1, "dtype": "fp32"}
    write_experiment(folder, data={"source": "digits"}, targets=[target])
    (folder / "environment.json").write_text("{}")
    with RecordStore(folder / "records.db") as store:
        store.add(
            Record(
                number=0, id=arch.id, kind="trial", rung=0, epochs=1, seed=1, state="complete",
                reason=None, accuracy=0.9, latency_ms={"here": 1.0}, measured_ms={}, params=1,
                macs=1, peak_activation_bytes=1, seconds=1.0,
                started="2026-01-01T00:00:00+00:00", choices={},
            ),
            arch,
        )  # fmt: skip
    timing_of(monkeypatch, int8_ms=1.0, fp32_ms=2.0)
    return folder


def write_experiment(folder, **sections):
    experiment = {"name": "digits", "objectives": ["accuracy", "latency"], **sections}
    (folder / "experiment.yaml").write_text(json.dumps(experiment))


def test_a_run_s_own_data_serves_and_its_fp32_table_does_not(run, digits):
    table_of("fp32").save(run / "tables" / "here.csv")

    manifest = export_run(run, INT8)

    assert manifest.formats[0].quantization.data_fingerprint == digits.fingerprint
    assert manifest.timing.target["dtype"] == "int8"
    assert manifest.timing.predicted_ms is None
    assert any("dtype fp32, but dtype int8 is asked for" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({}, "names no data: give the data with --data"),
        ({"data": {"source": "python:evil:load"}}, "an export imports nothing that a run names"),
        ({"data": {"path": "x"}}, r"cannot be read \(source: .*give the data with --data"),
    ],
)
def test_a_run_whose_data_is_not_read_says_how_to_give_it(sections, message, run):
    write_experiment(run, **sections)
    with pytest.raises(ExportError, match=message):
        export_run(run, INT8)


def test_the_test_images_are_not_read(arch, weights, digits, tmp_path):
    manifest = export_network(arch, weights, INT8, tmp_path / "out", data=digits.without_test())
    assert manifest.formats[0].quantization.images == len(digits.val)


def test_the_same_network_gives_the_same_bytes(folder, arch, weights, digits, tmp_path):
    torch.manual_seed(1)
    manifest = export_network(arch, weights, INT8, tmp_path / "out", data=digits)
    assert manifest.formats[0].sha256 == entry_of(folder).sha256
