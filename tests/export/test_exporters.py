"""Exporters keep their contract; formats of extras and of installed packages."""

import importlib.util
import json
import sys

import pytest
from plug_ins import on_the_path, write_package

from mnas.arch import UnknownNameError
from mnas.export import (
    ExportError,
    Manifest,
    check_export,
    export_network,
    exporter_for,
    format_names,
    target_for,
)
from mnas.export.exporter_contract import ExporterContract
from mnas.export.exporters import exporter_problems
from mnas.export.finding import OPTIONAL_EXPORTERS
from mnas.latency import Target
from mnas.latency.runtime_contract import example

MODULES = {"litert": "ai_edge_litert"}
LAYOUTS = {"litert": "NHWC", "openvino": "NCHW", "ncnn": "CHW"}
ADDED = """
import dataclasses
from mnas.export import EXPORTERS
EXPORTER = dataclasses.replace(EXPORTERS["onnx"], file="model.mine"{more})
"""
each_extra = pytest.mark.parametrize("name", OPTIONAL_EXPORTERS)


def needs(name):
    module = MODULES.get(name, name)
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"no {module}")


@pytest.mark.slow
class TestArchitecture(ExporterContract):
    name = "architecture"


class TestOnnx(ExporterContract):
    name = "onnx"


@pytest.mark.slow
class TestSource(ExporterContract):
    name = "source"


@pytest.mark.slow
class TestPt2(ExporterContract):
    name = "pt2"


@pytest.mark.external
@needs("litert")
class TestLiteRt(ExporterContract):
    name = "litert"


@pytest.mark.external
@needs("openvino")
class TestOpenVino(ExporterContract):
    name = "openvino"


@pytest.mark.external
@needs("ncnn")
class TestNcnn(ExporterContract):
    name = "ncnn"


@pytest.mark.external
@each_extra
def test_a_file_of_an_extra_is_proven_timed_and_checked(name, tmp_path):
    pytest.importorskip(MODULES.get(name, name))
    formats = ["architecture", "weights", name]

    export_network(example("same"), None, formats, tmp_path / "out", target_for([name]))

    manifest = Manifest.from_json((tmp_path / "out" / "manifest.json").read_bytes())
    entry = manifest.formats[-1]
    assert (entry.format, entry.layout) == (name, LAYOUTS[name])
    assert entry.max_difference <= entry.tolerance
    assert manifest.timing is not None
    assert (manifest.timing.file, manifest.timing.target["runtime"]) == (entry.file, name)
    assert manifest.timing.measured_ms > 0
    assert [one.state for one in check_export(tmp_path / "out")] == ["passed", "passed", "not run"]
    trusted = check_export(tmp_path / "out", trust=True)
    assert [one.state for one in trusted] == ["passed"] * 3


@pytest.mark.external
@pytest.mark.parametrize("name", ["litert", "ncnn"])
def test_a_file_of_an_extra_is_the_same_bytes_each_time(name, tmp_path):
    pytest.importorskip(MODULES.get(name, name))
    for folder in ("one", "two"):
        export_network(example("same"), None, name, tmp_path / folder)
    entries = [
        json.loads((tmp_path / folder / "manifest.json").read_text())["formats"][0]
        for folder in ("one", "two")
    ]
    assert entries[0]["sha256"] == entries[1]["sha256"]


@each_extra
def test_a_format_whose_package_is_not_installed_names_its_extra(name, monkeypatch, tmp_path):
    for module in (OPTIONAL_EXPORTERS[name], f"mnas.latency.{name}_cpu"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, MODULES.get(name, name), None)
    with pytest.raises(ExportError, match=rf"pip install 'mnas\[{name}\]'"):
        export_network(example("same"), None, name, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_format_that_is_not_installed_is_not_run(monkeypatch, tmp_path):
    export_network(example("same"), None, "onnx", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "manifest.json").read_text())
    entry = document["formats"][0]
    entry["format"], entry["file"] = "ncnn", "model.ncnn.zip"
    (tmp_path / "out" / "model.onnx").rename(tmp_path / "out" / "model.ncnn.zip")
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(document))
    for module in ("mnas.export.ncnn_file", "mnas.latency.ncnn_cpu"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "ncnn", None)

    (check,) = check_export(tmp_path / "out", trust=True)

    assert check.state == "not run"
    assert "checksum right; what the format ncnn needs is not installed" in check.detail


def test_a_manifest_without_a_layout_is_of_files_that_take_nchw(tmp_path):
    export_network(example("same"), None, "onnx", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "manifest.json").read_text())
    del document["formats"][0]["layout"]

    assert Manifest.from_json(json.dumps(document)).formats[0].layout == "NCHW"


def test_what_is_timed_is_the_first_file_that_a_runtime_runs():
    assert target_for(["weights", "onnx", "ncnn"]) == Target()
    assert target_for(["ncnn", "litert"]) == Target(runtime="litert")
    assert target_for(["weights", "pt2"]) is None


def test_a_format_of_an_installed_package_is_proven_like_any_other(tmp_path):
    write_package(tmp_path, {"mine": "plugin:EXPORTER"}, ADDED.format(more=""), "mnas.exporters")
    with on_the_path(tmp_path):
        assert format_names()[-1] == "mine"
        manifest = export_network(example("same"), None, "mine", tmp_path / "out")
    assert (manifest.formats[0].format, manifest.formats[0].file) == ("mine", "model.mine")
    assert (tmp_path / "out" / "model.mine").is_file()


@pytest.mark.parametrize(
    ("entries", "source", "message"),
    [
        ({"mine": "plugin:EXPORTER"}, "EXPORTER = 3", r"must be a mnas.export.Exporter; got int"),
        ({"mine": "plugin:EXPORTER"}, "1/0", r"cannot be loaded: ZeroDivisionError"),
        ({"onnx": "plugin:EXPORTER"}, "", r"there is a format of that name already"),
        ({"litert": "plugin:EXPORTER"}, "", r"there is a format of that name already"),
    ],
)
def test_an_added_format_that_is_none_is_refused(entries, source, message, tmp_path):
    write_package(tmp_path, entries, source, "mnas.exporters")
    with on_the_path(tmp_path), pytest.raises(ExportError, match=f"(?s){message}"):
        exporter_for("mine")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (", run=None", "`run` must be callable"),
        (', libraries=("no-such-package",)', "names 'no-such-package'"),
    ],
)
def test_what_an_exporter_lacks_is_listed(more, problem):
    found: dict[str, object] = {}
    exec(ADDED.format(more=more), found)
    assert any(problem in each for each in exporter_problems(found["EXPORTER"]))


@pytest.mark.parametrize("file", ["../model.x", "manifest.json", ""])
def test_an_exporters_file_stays_in_its_folder(file):
    found: dict[str, object] = {}
    exec(ADDED.replace("model.mine", file).format(more=""), found)
    (problem,) = exporter_problems(found["EXPORTER"])
    assert "`file` must be a plain file name" in problem


def test_two_formats_of_one_file_are_refused(tmp_path):
    source = ADDED.format(more="").replace("model.mine", "model.onnx")
    write_package(tmp_path, {"mine": "plugin:EXPORTER"}, source, "mnas.exporters")
    with on_the_path(tmp_path), pytest.raises(ExportError, match=r"'onnx' and 'mine' write the"):
        export_network(example("same"), None, ["onnx", "mine"], tmp_path / "out")


def test_an_unknown_format_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"did you mean 'litert'.*known: .*ncnn.*onnx"):
        exporter_for("litrt")
