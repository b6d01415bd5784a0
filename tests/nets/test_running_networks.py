"""Built networks run, train and are exported, whatever the size of what they look at."""

import dataclasses
from pathlib import Path

import golden
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import architectures

from mnas.arch import Architecture, ConvBlock, count, plan_block
from mnas.nets import build, build_block, thop_counts
from mnas.space import load_published, published, scaled

SIZES = [(32, 32), (47, 33), (1, 9)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", golden.NAMES)
def test_any_size_of_image_gives_logits(name: str, size: tuple[int, int]) -> None:
    arch = golden.architecture(name)
    module = build(arch).eval()

    with torch.no_grad():
        logits = module(torch.randn(2, 3, *size))

    assert logits.shape == (2, arch.num_classes)
    assert bool(torch.isfinite(logits).all())


@given(arch=architectures())
@settings(max_examples=15, deadline=None)
def test_training_reaches_every_weight(arch: Architecture) -> None:
    module = build(arch)
    x = torch.randn(4, arch.input.channels, arch.input.resolution, arch.input.resolution + 3)

    module(x).square().sum().backward()

    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


@pytest.mark.slow
@pytest.mark.parametrize("name", published())
def test_every_shipped_network_trains_on_other_data_and_sizes(name: str) -> None:
    arch = scaled(load_published(name), resolution=64, num_classes=7, channels=1)
    module = build(arch)

    module(torch.randn(3, 1, 47, 70)).square().sum().backward()

    witnessed, counted = thop_counts(arch), count(arch)
    assert (witnessed.macs, witnessed.params) == (counted.macs, counted.params)
    for place, parameter in module.named_parameters():
        assert parameter.grad is not None, place
        assert bool(torch.isfinite(parameter.grad).all()), place


def test_training_moves_the_statistics_and_evaluating_does_not() -> None:
    arch = golden.architecture("tv_mobilenet_v2")
    module = build(arch)
    mean = module.get_submodule("stem.norm").get_buffer("running_mean")
    x = torch.randn(2, 3, 32, 32) + 1

    with torch.no_grad():
        module.eval()(x)
        untouched = bool((mean == 0).all())
        module.train()(x)

    assert untouched
    assert bool((mean != 0).any())


def test_dropout_works_in_training_only() -> None:
    module = build(golden.architecture("tv_mobilenet_v2")).classifier
    x = torch.ones(2, 1280, 1, 1)

    with torch.no_grad():
        assert not torch.equal(module.train()(x), module(x))
        assert torch.equal(module.eval()(x), module(x))


@given(
    kernel=st.sampled_from((1, 3, 5, 7)),
    stride=st.integers(1, 4),
    height=st.integers(1, 17),
    width=st.integers(1, 17),
)
@settings(max_examples=60, deadline=None)
def test_same_padding_looks_where_tensorflow_looks(
    kernel: int, stride: int, height: int, width: int
) -> None:
    """Output i of TensorFlow starts at pixel i * stride - before, `before` being half the lack."""
    block = ConvBlock(kernel=kernel, stride=stride, out_channels=1, activation=None, residual=False)
    planned = plan_block(block, 1, max(height, 2), "same")
    norm = golden.architecture("tf_efficientnetv2_b0").norm
    module = build_block(planned, norm).eval()
    weight = module.state_dict()["conv.weight"][0, 0].tolist()
    x = torch.randn(1, 1, height, width)
    pixels = x[0, 0].tolist()

    with torch.no_grad():
        y = module(x)[0, 0] * (1 + norm.eps) ** 0.5

    def starts(size: int) -> list[int]:
        outputs = -(-size // stride)
        lack = max((outputs - 1) * stride + kernel - size, 0)
        return [output * stride - lack // 2 for output in range(outputs)]

    def looked_at(top: int, left: int) -> float:
        return sum(
            weight[row - top][column - left] * pixels[row][column]
            for row in range(max(top, 0), min(top + kernel, height))
            for column in range(max(left, 0), min(left + kernel, width))
        )

    expected = [[looked_at(top, left) for left in starts(width)] for top in starts(height)]
    torch.testing.assert_close(y, torch.tensor(expected, dtype=torch.float32), rtol=1e-4, atol=1e-5)


def test_both_paddings_give_the_planned_size_at_every_stride() -> None:
    for padding in ("symmetric", "same"):
        for stride, size in ((1, 9), (2, 9), (3, 10), (4, 10), (5, 7)):
            block = ConvBlock(
                kernel=3, stride=stride, out_channels=2, activation=None, residual=False
            )
            planned = plan_block(block, 1, size, padding)
            module = build_block(planned, golden.architecture("tv_mobilenet_v2").norm).eval()
            assert module(torch.randn(1, 1, size, size)).shape[-1] == planned.out_size


def test_residual_adds_the_input_to_the_output() -> None:
    block = ConvBlock(kernel=3, stride=1, out_channels=4, activation="relu", residual=True)
    norm = golden.architecture("tv_mobilenet_v2").norm
    with_input = build_block(plan_block(block, 4, 8, "symmetric"), norm).eval()
    plain = build_block(
        plan_block(dataclasses.replace(block, residual=False), 4, 8, "symmetric"), norm
    ).eval()
    plain.load_state_dict(with_input.state_dict())
    x = torch.randn(1, 4, 8, 8)

    with torch.no_grad():
        torch.testing.assert_close(with_input(x), x + plain(x))


def small(name: str) -> Architecture:
    """The first blocks of a published network with its head: quick to export."""
    arch = golden.architecture(name)
    return dataclasses.replace(arch, blocks=arch.blocks[:4], num_classes=10)


EXPORTED = ("tv_mobilenet_v3_large", "tf_efficientnetv2_b0", "mobilenetv4_conv_small")


@pytest.mark.parametrize("name", EXPORTED)
def test_torch_export_takes_any_batch(name: str) -> None:
    module = build(small(name)).eval()

    program = torch.export.export(
        module, (torch.randn(2, 3, 33, 48),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )

    x = torch.randn(5, 3, 33, 48)
    torch.testing.assert_close(program.module()(x), module(x))


# torch's exporter calls its own deprecated pytree names; nothing of ours can avoid it
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("name", EXPORTED[1:2])
def test_onnx_export_takes_any_batch_and_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    module = build(small(name)).eval()
    path = tmp_path / "network.onnx"

    torch.onnx.export(
        module,
        (torch.randn(2, 3, 33, 48),),
        path,
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )

    session = onnxruntime.InferenceSession(path)
    x = torch.randn(5, 3, 33, 48)
    (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(logits, module(x).detach().numpy(), rtol=1e-4, atol=1e-6)


# torch deprecates TorchScript itself; it is the quickest way to write thousands of small files
@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("name", EXPORTED)
def test_a_traced_network_takes_other_sizes_than_it_was_traced_with(name: str) -> None:
    module = build(small(name)).eval()

    traced = torch.jit.trace(module, torch.randn(2, 3, 32, 32))

    x = torch.randn(3, 3, 47, 33)
    torch.testing.assert_close(traced(x), module(x))
