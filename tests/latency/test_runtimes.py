"""Runtimes keep their contract; the names they are asked for by; what an extra's lack says."""

import importlib.util
import random
import sys

import numpy as np
import pytest
from plug_ins import on_the_path, write_package

from mnas.arch import MnasError, UnknownNameError, plan
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
from mnas.space import load_space, shipped_spaces

LAYER_KINDS = ("kernel", "stride", "activation", "gate", "bias")
QUICK = Settings(warm_ups=1, runs=2, passes=1, most_passes=1, group_ms=0.001)
MODULES = {"litert": "ai_edge_litert"}


class TestOnnxRuntime(RuntimeContract):
    name = "onnxruntime"


class TestTorch(RuntimeContract):
    name = "torch"

    def test_it_computes_in_full_fp32_whatever_the_process_is_set_to(self):
        from torch.backends import mkldnn

        parts = (mkldnn.matmul, mkldnn.conv)
        before = [part.fp32_precision for part in parts]
        try:
            for part in parts:
                part.fp32_precision = "bf16"
            with self.runtime.hold(self.target):
                assert [part.fp32_precision for part in parts] == ["ieee", "ieee"]
            assert [part.fp32_precision for part in parts] == ["bf16", "bf16"]
        finally:
            for part, precision in zip(parts, before, strict=True):
                part.fp32_precision = precision

    def test_fast_math_in_the_environment_is_refused(self, monkeypatch):
        monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
        with (
            pytest.raises(MeasuringError, match="ONEDNN_DEFAULT_FPMATH_MODE=BF16 lets PyTorch"),
            self.runtime.hold(self.target),
        ):
            pass


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

        from mnas.latency.ncnn_cpu import logits_of, net_of
        from mnas.latency.ncnn_graph import ncnn_of

        blocks = plan(example(padding)).blocks
        graph = graph_of(blocks)
        image = np.random.default_rng(1).standard_normal(input_shape(blocks, 1), dtype=np.float32)
        wanted = onnx_logits(graph, image)

        net = net_of(*ncnn_of(graph), self.runtime.pinned(self.target))
        found = np.array(logits_of(net, ncnn.Mat(image[0]).clone()))

        assert np.abs(found - wanted.ravel()).max() <= 1e-4 * np.abs(wanted).max()

    def test_several_images_at_a_time_are_refused(self):
        with pytest.raises(MeasuringError, match="one image at a time; got batch 2"):
            self.runtime.pinned(Target(runtime="ncnn", batch=2))


@pytest.mark.external
@pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="no ai-edge-litert")
class TestLiteRt(RuntimeContract):
    name = "litert"

    @pytest.mark.parametrize("padding", ["symmetric", "same"])
    @pytest.mark.parametrize("resolution", [16, 17])
    @pytest.mark.parametrize("batch", [1, 3])
    def test_it_computes_what_onnx_runtime_computes(self, padding, resolution, batch):
        from mnas.latency.litert_graph import tflite_of

        blocks = plan(example(padding, resolution)).blocks
        graph = graph_of(blocks)
        shape = input_shape(blocks, batch)
        images = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)

        found = litert_logits(tflite_of(graph, batch), images)

        wanted = onnx_logits(graph, images)
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()

    def test_every_block_of_the_shipped_spaces_computes_what_onnx_runtime_computes(self):
        from mnas.latency.litert_graph import tflite_of

        for block in one_block_of_each_kind():
            graph = graph_of((block,))
            shape = input_shape((block,), 1)
            images = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
            wanted = onnx_logits(graph, images)

            found = litert_logits(tflite_of(graph, 1), images)

            if found.ndim == 4:
                found = found.transpose(0, 3, 1, 2)
            assert found.shape == wanted.shape, block.key
            assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max(), block.key

    def test_a_model_that_xnnpack_runs_only_in_part_is_refused(self, monkeypatch):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        made = Interpreter.__init__
        without = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        monkeypatch.setattr(
            Interpreter,
            "__init__",
            lambda self, **given: made(self, **given, experimental_op_resolver_type=without),
        )
        with pytest.raises(RuntimeError, match="XNNPACK does not run the whole model"):
            self.runtime.prepare(plan(example("same")).blocks, self.target)

    def test_a_file_that_is_none_is_refused(self, tmp_path):
        (tmp_path / "m.tflite").write_bytes(b"garbage")
        with pytest.raises(MnasError, match=r"LiteRT cannot run .*m\.tflite"):
            self.runtime.prepare_file(tmp_path / "m.tflite", self.target)


def litert_logits(model, images):
    """What LiteRT computes from images (n, channels, height, width) or vectors."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (entry,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    laid = images.transpose(0, 2, 3, 1) if images.ndim == 4 else images
    interpreter.set_tensor(entry["index"], np.ascontiguousarray(laid))
    interpreter.invoke()
    return interpreter.get_tensor(output["index"])


def onnx_logits(graph, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return session.run(None, {INPUT: images})[0]


def one_block_of_each_kind():
    """Of the blocks of the shipped spaces, one for each series of layers with their kernels."""
    found = {}
    for name in shipped_spaces():
        space = load_space(name)
        rng = random.Random(0)
        for _ in range(20):
            for block in plan(space.sample(rng)).blocks:
                layers = tuple(
                    (type(layer).__name__, *(getattr(layer, n, None) for n in LAYER_KINDS))
                    for layer in block.layers
                )
                found.setdefault((block.padding, block.residual, layers), block)
    return found.values()


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
    monkeypatch.setitem(sys.modules, MODULES.get(name, name), None)
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
