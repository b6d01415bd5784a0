"""What is measured and deployed as ONNX is the network that torch computes."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from strategies import architectures

from mnas.arch import MnasError, UnknownNameError, plan
from mnas.latency import (
    LatencyTable,
    Settings,
    Target,
    default_table_path,
    find_table,
    measure_table,
    runtime_for,
    time_networks,
    verify_table,
    write_onnx,
)
from mnas.nets import build

FEW = Settings(warm_ups=1, runs=3, passes=2, most_passes=2, group_ms=0.05)


def trained(arch):
    """A network whose normalisations have statistics, as after training."""
    torch.manual_seed(0)
    module = build(arch)
    for name, tensor in module.state_dict().items():
        if name.endswith(("running_mean", "norm.bias")):
            tensor.normal_(std=0.3)
        elif name.endswith(("running_var", "norm.weight")):
            tensor.uniform_(0.5, 1.5)
    return module.eval()


def answers(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input": images})[0]


def relative_difference(found, wanted):
    return np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-6)


@settings(max_examples=12, deadline=None)
@given(arch=architectures())
def test_a_deployed_file_answers_as_the_module_does_for_any_batch(tmp_path_factory, arch):
    module = trained(arch)
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    shape = (3, arch.input.channels, arch.input.resolution, arch.input.resolution)
    images = torch.randn(shape)

    write_onnx(module, arch, path)

    with torch.inference_mode():
        wanted = module(images).numpy()
    assert relative_difference(answers(path, images.numpy()), wanted) <= 1e-4
    assert relative_difference(answers(path, images[:1].numpy()), wanted[:1]) <= 1e-4


def test_a_deployed_file_has_named_ends_and_no_normalisation_left(space, tmp_path, capfd):
    arch = space.architecture(16, [(3, 2, True)] * 4)

    write_onnx(trained(arch), arch, tmp_path / "n.onnx")

    graph = onnx.load(tmp_path / "n.onnx").graph
    assert [entry.name for entry in graph.input] == ["input"]
    assert [entry.name for entry in graph.output] == ["logits"]
    batch = graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param == "batch"
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    assert "stem.conv.weight" in {tensor.name for tensor in graph.initializer}
    assert capfd.readouterr() == ("", "")


def test_a_module_of_another_architecture_is_refused(space, tmp_path):
    small = space.architecture(16, [(3, 2, False)] * 4)
    squeezed = space.architecture(16, [(3, 2, True)] * 4)

    with pytest.raises(MnasError, match=re.escape("it has no 'blocks.1.se.reduce.weight'")):
        write_onnx(trained(small), squeezed, tmp_path / "n.onnx")
    assert not (tmp_path / "n.onnx").exists()


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_runtime_prepares_the_empty_model_blocks_and_networks(space, name):
    target = Target(runtime=name, batch=2)
    runtime = runtime_for(target)
    blocks = plan(space.architecture(16, [(5, 2, True)] * 4)).blocks

    assert runtime.version
    for chain in ((), *((block,) for block in blocks), blocks):
        run = runtime.prepare(chain, target)
        assert callable(run)
        run()
        run()


def test_torch_has_the_threads_it_had_before(tiny_space, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        target = Target(runtime="torch", threads=1)
        one = Settings(warm_ups=1, runs=1, passes=1, most_passes=1, group_ms=0.01)
        measure_table(tiny_space, target, tmp_path / "t.csv", settings=one, most=1)
        after = torch.get_num_threads()
        with runtime_for(target).hold(target):
            held = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

    assert (held, after) == (1, 3)


def test_a_table_is_measured_verified_and_found_again(tiny_space, tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path))
    target = Target()
    out = default_table_path(tiny_space, target)
    assert find_table(tiny_space, target) is None

    table = measure_table(tiny_space, target, out, settings=FEW)
    verified = verify_table(table, tiny_space, 9, rounds=2, settings=FEW)

    assert find_table(tiny_space, target) == verified
    assert LatencyTable.load(out).verification is not None
    assert {row.block for row in table.rows} == set(tiny_space.reachable_blocks())
    assert all(row.ms is not None and row.ms > 0 for row in table.rows)
    assert table.empty_ms > 0


def test_another_target_space_or_companion_has_another_table(
    space, tiny_space, tmp_path, monkeypatch
):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path))
    arch = space.architecture(16, [(3, 2, False)] * 4)

    paths = {
        default_table_path(space, Target()),
        default_table_path(tiny_space, Target()),
        default_table_path(space, Target(threads=2)),
        default_table_path(space, Target(runtime="torch")),
        default_table_path(space, Target(), [arch]),
    }

    assert len(paths) == 5
    assert default_table_path(space, Target(name="x")) in paths
    assert all(path.parent == tmp_path / "tables" for path in paths)


def test_deployed_files_are_timed_interleaved(space, tmp_path):
    files = {}
    for name, squeeze in (("plain", False), ("squeezed", True)):
        arch = space.architecture(16, [(3, 2, squeeze)] * 4)
        files[name] = tmp_path / f"{name}.onnx"
        write_onnx(trained(arch), arch, files[name])

    times = time_networks(files, Target(), rounds=2, settings=FEW)

    assert list(times) == ["plain", "squeezed"]
    assert all(timing.ms > 0 and timing.wall_ms > 0 for timing in times.values())


def test_a_file_that_is_no_network_is_named(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no onnx")

    with pytest.raises(MnasError, match=r"cannot run .*broken\.onnx"):
        time_networks({"broken": path}, Target(), settings=FEW)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (
            Target(runtime="torch"),
            MnasError,
            "torch, which the target local asks for, runs no files",
        ),
        (Target(dtype="bf16"), UnknownNameError, "unknown dtype .* known: fp32, int8"),
    ],
)
def test_deployed_files_are_not_timed_with_what_cannot_run_them(target, error, message):
    with pytest.raises(error, match=message):
        time_networks({"any": Path("any.onnx")}, target)
