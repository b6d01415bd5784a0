"""An int8 block is quantised as a deployed int8 network is, and is not timed as an fp32 one."""

import collections

import numpy as np
import onnx
import onnxruntime
import pytest

from mnas.arch import MnasError, plan
from mnas.latency import (
    Settings,
    Target,
    measure_table,
    runtime_for,
    time_networks,
    verify_table,
    write_int8_onnx,
)
from mnas.latency.onnx_graph import graph_of
from mnas.latency.onnx_int8 import quantized
from mnas.latency.ort import session_options
from mnas.latency.runtime_contract import example
from mnas.nets import build

FEW = Settings(warm_ups=1, runs=3, passes=2, most_passes=2, group_ms=0.05)


@pytest.fixture
def blocks(space):
    return plan(space.architecture(16, [(5, 2, True), (3, 2, False)] * 2)).blocks


def kernels(model, folder):
    """What ONNX Runtime makes of a model, by operator."""
    options = session_options(Target(dtype="int8"))
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    nodes = onnx.load(folder / "optimized.onnx").graph.node
    return collections.Counter(node.op_type for node in nodes)


def test_a_network_runs_all_its_convolutions_and_sums_in_int8(blocks, tmp_path):
    model = quantized(graph_of(blocks), enters=True, leaves=True)
    onnx.checker.check_model(model, full_check=True)
    convolutions = sum(node.op_type == "Conv" for node in graph_of(blocks).graph.node)

    found = kernels(model, tmp_path)

    assert found["QLinearConv"] == convolutions
    assert found["QLinearAdd"] == sum(block.residual for block in blocks)
    assert not {"Conv", "Gemm", "Relu", "Add"} & set(found)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_a_deployed_file_runs_in_the_kernels_that_a_table_s_blocks_run_in(padding, tmp_path):
    arch = example(padding, 32)
    images = np.random.default_rng(0).standard_normal((8, 3, 32, 32), dtype=np.float32)

    write_int8_onnx(build(arch).eval(), arch, [images], tmp_path / "deployed.onnx")

    deployed = kernels(onnx.load(tmp_path / "deployed.onnx"), tmp_path)
    measured = quantized(graph_of(plan(arch).blocks), enters=True, leaves=True)
    assert deployed == kernels(measured, tmp_path)
    assert deployed["QLinearConv"] > 10


def test_no_processor_saturates_on_a_deployed_file(tmp_path):
    arch = example("same", 16)
    images = np.random.default_rng(0).standard_normal((8, 3, 16, 16), dtype=np.float32)

    write_int8_onnx(build(arch).eval(), arch, [images], tmp_path / "deployed.onnx")

    tensors = onnx.load(tmp_path / "deployed.onnx").graph.initializer
    weights = [
        onnx.numpy_helper.to_array(each)
        for each in tensors
        if each.data_type == onnx.TensorProto.INT8 and len(each.dims) > 1
    ]
    assert weights
    # Two products of a byte and a weight must fit into 16 bits.
    assert 2 * 255 * max(int(np.abs(each.astype(int)).max()) for each in weights) < 2**15


def test_blocks_hand_over_what_is_quantised_already(blocks):
    runtime, target = runtime_for(Target(dtype="int8")), Target(dtype="int8", batch=2)

    for block in blocks:
        model = quantized(
            graph_of([block]), enters=block.kind == "stem", leaves=block.kind == "classifier"
        )
        entry, exit_ = model.graph.input[0], model.graph.output[0]
        is_float = [
            value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for value in (entry, exit_)
        ]
        assert is_float == [block.kind == "stem", block.kind == "classifier"]
        runtime.prepare([block], target)()


def test_a_quantised_convolution_answers_nearly_as_the_fp32_one(space):
    stem = plan(space.architecture(16, [(3, 2, False)] * 4)).blocks[:1]
    image = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)

    def answer(model):
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return session.run(None, {"input": image})[0]

    wanted = answer(graph_of(stem))
    found = answer(quantized(graph_of(stem), enters=True, leaves=True))

    # A step of the made-up range is 0.05; some processors saturate where many products add up.
    assert np.quantile(np.abs(found - wanted), 0.95) < 0.15
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.99


def test_an_int8_table_is_measured_and_verified(tiny_space, tmp_path):
    target = Target(dtype="int8")

    table = measure_table(tiny_space, target, tmp_path / "t.csv", settings=FEW)
    verified = verify_table(table, tiny_space, 5, rounds=2, settings=FEW)

    assert verified.target.dtype == "int8"
    assert all(row.ms is not None for row in verified.rows)


def test_a_file_of_another_dtype_is_not_timed(blocks, tmp_path):
    onnx.save(graph_of(blocks), tmp_path / "fp32.onnx")

    with pytest.raises(MnasError, match=r"fp32\.onnx computes with fp32, but int8 is asked for"):
        time_networks({"a": tmp_path / "fp32.onnx"}, Target(dtype="int8"), settings=FEW)


def test_an_int8_file_is_timed_with_an_int8_target(blocks, tmp_path):
    onnx.save(quantized(graph_of(blocks), enters=True, leaves=True), tmp_path / "int8.onnx")

    times = time_networks(
        {"a": tmp_path / "int8.onnx"}, Target(dtype="int8"), rounds=2, settings=FEW
    )

    assert times["a"].ms > 0
