"""Exporting: every file is proven, or none is left."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch

import mnas.export.timing as timing_module
from mnas.arch import NoTimmTextError, UnknownNameError, read_timm_text
from mnas.export import (
    DEFAULT_FORMATS,
    EXPORTERS,
    ExportError,
    ExportMismatchError,
    Manifest,
    export_network,
)
from mnas.latency import Latency, LatencyTable, TableMismatchError, TableRow, Target, Timing
from mnas.space import load_published, scaled
from mnas.training import WeightsError

QUICK = ["architecture", "weights"]
FILES = {
    "architecture.json",
    "manifest.json",
    "model.onnx",
    "model.pt2",
    "model.py",
    "weights.safetensors",
}


def broken(monkeypatch, name, *, by):
    """Make a format's file answer with logits that are off by a constant."""
    exporter = EXPORTERS[name]

    def run(path, batches, subject):
        return tuple(logits + by for logits in exporter.run(path, batches, subject))

    monkeypatch.setitem(EXPORTERS, name, dataclasses.replace(exporter, run=run))


def timing_of(monkeypatch, ms):
    def time_networks(files, target):
        return {name: Timing(ms=ms, spread=0.01, wall_ms=ms) for name in files}

    monkeypatch.setattr(timing_module, "time_networks", time_networks)


def test_every_format_is_proven_and_listed(exported):
    manifest = Manifest.from_json((exported / "manifest.json").read_text())

    assert {path.name for path in exported.iterdir()} == FILES
    assert [entry.format for entry in manifest.formats] == list(DEFAULT_FORMATS)
    for entry in manifest.formats:
        assert 0 <= entry.max_difference <= entry.tolerance == 1e-4
        assert entry.batch_sizes == (1, 4)
        assert entry.bytes == (exported / entry.file).stat().st_size


def test_timm_s_notation_is_proven_with_the_weights(tmp_path):
    arch = scaled(load_published("mobilenet_v3_small"), width=0.5, resolution=48, num_classes=5)

    manifest = export_network(arch, None, "timm", tmp_path / "out")

    (entry,) = manifest.formats
    assert entry.max_difference < 1e-5
    assert read_timm_text((tmp_path / "out" / entry.file).read_text()).num_classes == 5


def test_a_network_that_timm_cannot_say_leaves_nothing(network, tmp_path):
    with pytest.raises(NoTimmTextError, match=r"tiny cannot be said in timm's notation: \w+\."):
        export_network(network, None, ["architecture", "timm"], tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_beside_the_export(exported, network, tmp_path):
    export_network(network, None, "architecture", tmp_path / "one")

    assert {path.name for path in tmp_path.iterdir()} == {"one", exported.name}


def test_a_file_that_differs_ends_the_export_and_leaves_nothing(monkeypatch, network, tmp_path):
    broken(monkeypatch, "weights", by=0.5)

    with pytest.raises(
        ExportMismatchError, match=r"weights: differs from the network by \d"
    ) as info:
        export_network(network, None, QUICK, tmp_path / "out")

    assert info.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_every_file_that_differs_is_named(monkeypatch, network, tmp_path):
    broken(monkeypatch, "weights", by=0.5)
    broken(monkeypatch, "architecture", by=float("nan"))

    with pytest.raises(ExportMismatchError, match=r"(?s)architecture: .* by inf.*weights: "):
        export_network(network, None, QUICK, tmp_path / "out")


def test_a_mismatch_leaves_an_earlier_export_as_it_was(monkeypatch, network, tmp_path):
    export_network(network, None, QUICK, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    broken(monkeypatch, "weights", by=0.5)

    with pytest.raises(ExportMismatchError, match="weights"):
        export_network(network, None, QUICK, tmp_path / "out")

    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_source_that_imports_mnas_is_no_export(monkeypatch, network, tmp_path):
    exporter = EXPORTERS["source"]

    def write(subject, path):
        exporter.write(subject, path)
        path.write_text(path.read_text() + "\n\nimport mnas.arch\n")

    monkeypatch.setitem(EXPORTERS, "source", dataclasses.replace(exporter, write=write))

    with pytest.raises(ExportMismatchError, match=r"source: does not run.*must stand alone"):
        export_network(network, None, "source", tmp_path / "out")


def test_unknown_format_lists_the_known_ones(network, tmp_path):
    with pytest.raises(UnknownNameError, match=r"'onx' \(did you mean 'onnx'\?\).*pt2.*weights"):
        export_network(network, None, ["onx"], tmp_path / "out")


def test_no_format_is_an_error(network, tmp_path):
    with pytest.raises(ExportError, match="no format was asked for; known: architecture"):
        export_network(network, None, [], tmp_path / "out")


def test_weights_of_another_network_are_refused(network, tiny, weights_of, tmp_path):
    with pytest.raises(WeightsError, match=r"blocks\.1"):
        export_network(network, weights_of(tiny()), QUICK, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_finite_are_refused_by_name(network, weights_of, tmp_path):
    weights = weights_of(network)
    weights["stem.conv.weight"][0, 0, 0, 0] = float("nan")

    with pytest.raises(ExportError, match=r"infinities or NaN in stem\.conv\.weight; the training"):
        export_network(network, weights, QUICK, tmp_path / "out")


def test_pickled_weights_are_refused(network, tmp_path):
    file = tmp_path / "weights.pt"
    file.write_bytes(pickle.dumps({"stem.conv.weight": [1.0]}))

    with pytest.raises(WeightsError, match=r"weights\.pt is not a safetensors file"):
        export_network(network, file, QUICK, tmp_path / "out")


def test_a_file_in_the_place_of_the_folder_is_an_error(network, tmp_path):
    (tmp_path / "out").write_text("mine")

    with pytest.raises(ExportError, match="out is a file; an export needs a folder"):
        export_network(network, None, QUICK, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_files_of_somebody_else_are_not_overwritten(network, tmp_path):
    (tmp_path / "weights.safetensors").write_text("mine")

    with pytest.raises(ExportError, match=r"holds weights\.safetensors, which no export"):
        export_network(network, None, QUICK, tmp_path)
    assert (tmp_path / "weights.safetensors").read_text() == "mine"


def test_formats_of_the_same_network_gather_in_one_folder(network, tmp_path):
    export_network(network, None, "architecture", tmp_path / "out")

    manifest = export_network(network, None, "weights", tmp_path / "out")

    assert sorted(entry.format for entry in manifest.formats) == ["architecture", "weights"]
    assert Manifest.from_json((tmp_path / "out" / "manifest.json").read_bytes()) == manifest


def test_another_network_does_not_enter_the_folder(network, tiny, tmp_path):
    export_network(network, None, QUICK, tmp_path / "out")

    with pytest.raises(ExportError, match=rf"holds the export of 'tiny' \({network.id}\)"):
        export_network(tiny(), None, QUICK, tmp_path / "out")


def test_other_weights_do_not_stand_beside_stale_files(network, weights_of, tmp_path):
    export_network(network, None, QUICK, tmp_path / "out")

    with pytest.raises(ExportError, match=r"holds architecture of the same .* other weights"):
        export_network(network, weights_of(network), "weights", tmp_path / "out")


def test_other_weights_replace_all_of_an_earlier_export(network, weights_of, tmp_path):
    first = export_network(network, None, QUICK, tmp_path / "out")

    second = export_network(network, weights_of(network), QUICK, tmp_path / "out")

    assert first.weights.trained is False
    assert second.weights.trained is True
    assert first.weights.sha256 != second.weights.sha256


def test_untrained_weights_are_said_in_the_manifest(network, tmp_path):
    manifest = export_network(network, None, "architecture", tmp_path / "out")

    assert manifest.weights.source == "untrained, initial weights of seed 0"
    assert "not trained" in manifest.notes[0]


def test_data_card_travels_to_the_manifest(exported, card):
    manifest = Manifest.from_json((exported / "manifest.json").read_text())

    assert manifest.class_names == tuple(card["class_names"])
    assert manifest.data_fingerprint == "0123456789ab"
    assert manifest.input.mean == (0.5, 0.4, 0.3)
    assert [(one.split, one.value, one.images) for one in manifest.accuracy] == [("val", 0.9, 100)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"class_names": ["a"]}, "class_names has 1 entries, the network needs 5"),
        ({"mean": [0.5]}, "mean has 1 entries, the network needs 3"),
        ({"std": None}, "only one of mean and std"),
        ({"std": [0.1, 0.0, 0.1]}, "std must be above 0"),
        ({"mean": "grey"}, "not a data card:\n  mean"),
        ({"mean": [0.1, float("nan"), 0.1]}, "not a data card:\n  mean.1"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(changed, message, card, network, tmp_path):
    with pytest.raises(ExportError, match=message):
        export_network(network, None, QUICK, tmp_path / "out", data_card=card | changed)


def test_real_samples_are_normalised_and_used(card, network, tmp_path):
    samples = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)

    manifest = export_network(
        network, None, QUICK, tmp_path / "out", data_card=card, samples=samples
    )

    assert {entry.inputs for entry in manifest.formats} == {"samples"}


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(2, 1, 32, 32), r"must be \(n, 3, 32, 32\).*got \(2, 1, 32, 32\)"),
        (torch.zeros(0, 3, 32, 32), "with n at least 1"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "need mean and std in the data card"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.float64), "uint8 or float32; got torch.float64"),
    ],
)
def test_samples_that_cannot_be_used_are_refused(samples, message, network, tmp_path):
    with pytest.raises(ExportError, match=message):
        export_network(network, None, QUICK, tmp_path / "out", samples=samples)


def table_for(**target):
    row = TableRow(block=BLOCK, ms=0.1, wall_ms=0.1, spread=0.0, runs=10, status="measured")
    return LatencyTable(
        target=Target(**target), device="elsewhere", runtime_version="1", rows=(row,)
    )


BLOCK = (
    '{"activation":"relu","in_channels":3,"kernel":3,"op":"stem","out_channels":8,'
    '"padding":"same","size":32,"stride":2}'
)


def test_the_onnx_file_is_timed_beside_the_prediction(monkeypatch, network, tmp_path):
    timing_of(monkeypatch, ms=2.5)

    manifest = export_network(
        network, None, "onnx", tmp_path / "out", Target(name="here"), table=table_for()
    )

    assert manifest.timing is not None
    assert manifest.timing.measured_ms == 2.5
    assert manifest.timing.target["name"] == "here"
    assert manifest.timing.predicted_ms is not None
    assert manifest.timing.within_margin is None
    assert "not verified" in manifest.timing.note
    assert "measured on elsewhere" in manifest.timing.note


OUTSIDE = "measured 1.5 ms, outside the predicted margin of 0.9 to 1.1 ms"


@pytest.mark.parametrize(
    ("measured", "within", "note"),
    [
        (1.0, True, ""),
        (1.5, False, "measured 1.5 ms, outside the predicted margin of 0.9 to 1.1 ms"),
    ],
)
def test_a_disagreement_beyond_the_margin_is_stated(measured, within, note):
    timing = timing_module.ExportTiming(
        file="model.onnx", target={}, device="here", measured_ms=measured, spread=0.0, wall_ms=1.0
    )
    latency = Latency(ms=1.0, low_ms=0.9, high_ms=1.1, predicted_share=0.0)

    found = timing_module.beside_prediction(timing, latency, "here")

    assert found.within_margin is within
    assert found.note == note


def test_a_table_that_is_not_trusted_says_so_beside_its_prediction():
    timing = timing_module.ExportTiming(
        file="model.onnx", target={}, device="here", measured_ms=1.0, spread=0.0, wall_ms=1.0
    )
    latency = Latency(ms=1.0, low_ms=0.9, high_ms=1.1, predicted_share=0.0)

    found = timing_module.beside_prediction(timing, latency, "here", "the table is inconclusive")

    assert found.note == "the table is inconclusive"


@pytest.mark.parametrize(
    ("formats", "target", "table", "error", "message"),
    [
        ("weights", Target(), False, ExportError, "add the format 'onnx'"),
        ("onnx", None, True, ExportError, "give a target"),
        ("onnx", Target(runtime="torch"), False, ExportError, "asks for torch in fp32"),
        ("onnx", Target(threads=2), True, TableMismatchError, "threads 1, but threads 2"),
    ],
)
def test_what_cannot_be_timed_is_refused(formats, target, table, error, message, network, tmp_path):
    with pytest.raises(error, match=message):
        export_network(
            network,
            None,
            formats,
            tmp_path / "out",
            target,
            table=table_for() if table else None,
        )
    assert list(tmp_path.iterdir()) == []


def test_architecture_file_reads_back_as_the_same_network(exported, network):
    document = json.loads((exported / "architecture.json").read_text())

    assert type(network).from_json(json.dumps(document)) == network


def test_progress_tells_each_file(network, tmp_path):
    told = []

    export_network(network, None, QUICK, tmp_path / "out", progress=lambda *step: told.append(step))

    assert told == [
        (0, 2, "writing and proving architecture.json"),
        (1, 2, "writing and proving weights.safetensors"),
    ]


def test_a_timing_stays_as_long_as_the_file_it_is_of(monkeypatch, network, tmp_path):
    timing_of(monkeypatch, ms=2.5)
    export_network(network, None, "onnx", tmp_path / "out", Target())

    with_other = export_network(network, None, "weights", tmp_path / "out")
    written_again = export_network(network, None, "onnx", tmp_path / "out")

    assert with_other.timing is not None
    assert written_again.timing is None
