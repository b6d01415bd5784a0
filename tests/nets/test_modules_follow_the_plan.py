"""A built network is the plan, layer by layer, under the names that weights are saved with."""

import dataclasses
import subprocess
import sys

import golden
import pytest
import torch
from hypothesis import given, settings
from strategies import architectures
from torch import nn

import mnas.nets
from mnas.arch import Architecture, BatchNorm, plan, planned_from_key
from mnas.arch.layers import output_of
from mnas.nets import build, build_block

PLAIN = (nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.Linear)


def shape(channels: int, size: int | None) -> tuple[int, ...]:
    return (channels,) if size is None else (channels, size, size)


def image(arch: Architecture, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, arch.input.channels, arch.input.resolution, arch.input.resolution)


def record_shapes(module: nn.Module, seen: dict[str, tuple[int, ...]]) -> None:
    for name, part in module.named_modules():

        def remember(_: nn.Module, __: object, out: torch.Tensor, name: str = name) -> None:
            seen[name] = tuple(out.shape[1:])

        part.register_forward_hook(remember)


@given(arch=architectures())
@settings(max_examples=40, deadline=None)
def test_every_layer_of_the_module_gives_the_planned_shape(arch: Architecture) -> None:
    planned = plan(arch)
    module = build(arch).eval()
    seen: dict[str, tuple[int, ...]] = {}
    record_shapes(module, seen)

    with torch.no_grad():
        module(image(arch))

    for place, block in zip(planned.places, planned.blocks, strict=True):
        assert seen[place] == shape(block.out_channels, block.out_size), place
        for layer in block.layers:
            assert seen[f"{place}.{layer.name}"] == shape(*output_of(layer)), (place, layer)


@given(arch=architectures())
@settings(max_examples=25, deadline=None)
def test_a_block_named_by_its_key_is_the_block_of_the_network(arch: Architecture) -> None:
    planned = plan(arch)
    whole = build(arch).eval()
    x = image(arch, batch=2)

    with torch.no_grad():
        logits = whole(x)
        for place, block in zip(planned.places, planned.blocks, strict=True):
            alone = build_block(planned_from_key(block.key), arch.norm).eval()
            alone.load_state_dict(whole.get_submodule(place).state_dict())
            x = alone(x)

    torch.testing.assert_close(x, logits)


@given(arch=architectures())
@settings(max_examples=20, deadline=None)
def test_leaves_with_weights_are_the_plain_classes_that_exporters_know(arch: Architecture) -> None:
    for module in build(arch).modules():
        if list(module.parameters(recurse=False)):
            assert type(module) in PLAIN


def test_weights_are_named_by_place_and_layer() -> None:
    names = set(build(golden.architecture("tv_mobilenet_v3_large")).state_dict())

    assert names >= {
        "stem.conv.weight",
        "stem.norm.running_mean",
        "blocks.3.expand_conv.weight",
        "blocks.3.se.reduce.weight",
        "blocks.3.se.expand.bias",
        "head.0.conv.weight",
        "head.2.linear.bias",
        "classifier.linear.weight",
    }


def test_normalisation_has_the_constants_of_the_architecture() -> None:
    arch = golden.architecture("tv_mobilenet_v3_large")

    norms = [part for part in build(arch).modules() if isinstance(part, nn.BatchNorm2d)]

    assert len(norms) > 40
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.001, 0.01)}


def test_normalisation_after_a_linear_layer_is_of_vectors() -> None:
    arch = golden.architecture("tv_mobilenet_v3_large")
    *before, linear = arch.head
    arch = dataclasses.replace(arch, head=(*before, dataclasses.replace(linear, norm=True)))

    norm = build(arch).get_submodule("head.2.norm")

    assert type(norm) is nn.BatchNorm1d


@pytest.mark.parametrize(("rate", "expected"), [(0.0, []), (0.25, [0.25])])
def test_dropout_stands_before_the_classifier_if_its_rate_is_not_zero(
    rate: float, expected: list[float]
) -> None:
    arch = dataclasses.replace(golden.architecture("tv_mobilenet_v2"), dropout=rate)

    found = [part.p for part in build(arch).modules() if isinstance(part, nn.Dropout)]

    assert found == expected


def test_one_seed_gives_one_set_of_weights() -> None:
    arch = golden.architecture("ofa_pixel1_20ms")

    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(arch).state_dict()["blocks.2.expand_conv.weight"])

    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_weights_start_as_the_reference_code_draws_them() -> None:
    torch.manual_seed(0)
    module = build(golden.architecture("tv_mobilenet_v3_large"))
    state = module.state_dict()

    def spread(name: str) -> float:
        return float(state[name].std())

    depthwise = state["blocks.14.depthwise_conv.weight"]  # (960, 1, 5, 5)
    assert depthwise.shape == (960, 1, 5, 5)
    assert float(depthwise.std()) == pytest.approx((2 / 25) ** 0.5, rel=0.05)
    assert spread("head.0.conv.weight") == pytest.approx((2 / 960) ** 0.5, rel=0.05)
    assert spread("classifier.linear.weight") == pytest.approx(0.01, rel=0.05)
    for name, value in state.items():
        if name.endswith(".bias"):
            assert not value.any(), name
        if name.endswith("norm.weight"):
            assert bool((value == 1).all()), name


def test_planned_block_without_norm_of_a_network_takes_the_given_constants() -> None:
    block = plan(golden.architecture("tv_mobilenet_v2")).blocks[3]

    module = build_block(block, BatchNorm(eps=0.25, momentum=0.5))

    assert module.get_submodule("expand_norm").eps == 0.25


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, mnas.nets; sys.exit('torch' in sys.modules or 'thop' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", mnas.nets.__all__)
def test_every_public_name_can_be_used(name: str) -> None:
    assert getattr(mnas.nets, name).__name__ == name


def test_unknown_name_of_the_room_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'biuld'"):
        _ = mnas.nets.biuld
