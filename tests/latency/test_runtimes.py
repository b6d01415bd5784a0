"""Runtimes keep their contract; the names they are asked for by; what an extra's lack says."""

import importlib.util
import sys

import numpy as np
import pytest
from plug_ins import on_the_path, write_package

from mnas.arch import UnknownNameError, plan
from mnas.latency import (
    InvalidRuntimeError,
    LatencyTable,
    MeasuringError,
    MissingRuntimeError,
    Settings,
    Target,
    measure_table,
    runtime_for,
    runtime_names,
)
from mnas.latency.onnx_graph import INPUT, graph_of, input_shape
from mnas.latency.runtime import EXTRAS, RUNTIMES, runtime_problems
from mnas.latency.runtime_contract import RuntimeContract, example

QUICK = Settings(warm_ups=1, runs=2, passes=1, most_passes=1, group_ms=0.001)
MODULES = {"openvino": "openvino", "ncnn": "ncnn"}


class TestOnnxRuntime(RuntimeContract):
    name = "onnxruntime"


class TestTorch(RuntimeContract):
    name = "torch"


@pytest.mark.external
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="no openvino")
class TestOpenVino(RuntimeContract):
    name = "openvino"

    def test_it_says_itself_that_it_computes_in_fp32(self):
        import openvino

        from mnas.latency import agent
        from mnas.latency.onnx_graph import graph_of

        core = openvino.Core()
        model = core.read_model(graph_of(()).SerializeToString())
        compiled = core.compile_model(model, "CPU", agent.pinned_openvino(1))

        assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
        assert compiled.get_property("NUM_STREAMS") == 1

    def test_a_precision_that_is_not_fp32_is_refused(self, monkeypatch):
        import openvino

        class SlippedIntoBf16(openvino.CompiledModel):
            def get_property(self, name):
                return openvino.Type.bf16

        compile_model = openvino.Core.compile_model
        monkeypatch.setattr(
            openvino.Core, "compile_model", lambda *given: SlippedIntoBf16(compile_model(*given))
        )
        with pytest.raises(RuntimeError, match="told to compute in f32 and says it uses"):
            self.runtime.prepare((), self.target)


@pytest.mark.external
@pytest.mark.skipif(importlib.util.find_spec("ncnn") is None, reason="no ncnn")
class TestNcnn(RuntimeContract):
    name = "ncnn"

    @pytest.mark.parametrize("padding", ["symmetric", "same"])
    def test_it_computes_what_onnx_runtime_computes(self, padding):
        import ncnn
        import onnxruntime

        from mnas.latency.ncnn_cpu import logits_of, net_of
        from mnas.latency.ncnn_graph import ncnn_of

        blocks = plan(example(padding)).blocks
        graph = graph_of(blocks)
        image = np.random.default_rng(1).standard_normal(input_shape(blocks, 1), dtype=np.float32)
        session = onnxruntime.InferenceSession(graph.SerializeToString())
        (wanted,) = session.run(None, {INPUT: image})

        net = net_of(*ncnn_of(graph), self.runtime.pinned(self.target))
        found = np.array(logits_of(net, ncnn.Mat(image[0]).clone()))

        assert np.abs(found - wanted.ravel()).max() <= 1e-4 * np.abs(wanted).max()

    def test_several_images_at_a_time_are_refused(self):
        with pytest.raises(MeasuringError, match="one image at a time; got batch 2"):
            self.runtime.pinned(Target(runtime="ncnn", batch=2))


@pytest.mark.parametrize(
    "runtime",
    ["torch", "onnxruntime", *(pytest.param(e, marks=pytest.mark.external) for e in EXTRAS)],
)
def test_a_table_says_what_was_pinned(runtime, tiny_space, tmp_path):
    target = Target(runtime=runtime)
    pytest.importorskip(MODULES.get(runtime, runtime))

    measure_table(tiny_space, target, tmp_path / "t.csv", settings=QUICK)

    table = LatencyTable.load(tmp_path / "t.csv")
    assert table.pinned == runtime_for(target).pinned(target)
    assert table.empty_ms > 0
    assert all(row.ms is not None for row in table.rows)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_runtime_that_is_not_installed_names_its_extra(name, monkeypatch):
    module = RUNTIMES[name]
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, MODULES[name], None)
    with pytest.raises(MissingRuntimeError, match=rf"pip install 'mnas\[{name}\]'"):
        runtime_for(Target(runtime=name))


def test_an_unknown_runtime_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"did you mean 'openvino'.*known: .*onnxruntime"):
        runtime_for(Target(runtime="openvin0"))


def test_a_runtime_of_an_installed_package_measures_a_table(tiny_space, tmp_path):
    source = "from mnas.latency.eager import EagerTorch\nRUNTIME = EagerTorch()\n"
    write_package(tmp_path, {"mine": "plugin:RUNTIME"}, source, "mnas.runtimes")
    with on_the_path(tmp_path):
        assert "mine" in runtime_names()
        target = Target(runtime="mine")
        table = measure_table(tiny_space, target, tmp_path / "t.csv", settings=QUICK)
    assert table.target.runtime == "mine"


@pytest.mark.parametrize(
    ("entries", "source", "message"),
    [
        ({"mine": "plugin:RUNTIME"}, "RUNTIME = 3", r"plugin:RUNTIME.*needs a method `pinned`"),
        ({"mine": "plugin:RUNTIME"}, "1/0", r"cannot be loaded: ZeroDivisionError"),
        ({"torch": "plugin:RUNTIME"}, "", r"there is a runtime of that name already"),
    ],
)
def test_an_added_runtime_that_is_none_is_refused(entries, source, message, tmp_path):
    write_package(tmp_path, entries, source, "mnas.runtimes")
    with on_the_path(tmp_path), pytest.raises(InvalidRuntimeError, match=f"(?s){message}"):
        runtime_for(Target(runtime="mine"))


def test_what_a_runtime_lacks_is_listed():
    assert runtime_problems(object())[0] == "needs a method `pinned`"
    assert "needs a `version`" in runtime_problems(object())
