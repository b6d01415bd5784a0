"""The built module costs what the plan and the papers say."""

import sys

import golden
import pytest
import torch
from hypothesis import given, settings
from strategies import architectures

from mnas.arch import Architecture, count
from mnas.nets import build, thop_counts

EXPECTED = {(name, quantity): value for name, quantity, value in golden.counts()}


def num_params(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", golden.NAMES)
def test_published_networks_have_the_published_size_and_work(name: str) -> None:
    arch = golden.architecture(name)

    witnessed = thop_counts(arch)

    assert witnessed.params == EXPECTED[name, "params"]
    assert witnessed.macs == EXPECTED[name, "macs"]


@pytest.mark.parametrize("name", golden.NAMES)
def test_published_networks_without_classifier_have_the_published_size(name: str) -> None:
    module = build(golden.architecture(name))

    body = num_params(module) - num_params(module.classifier)

    assert body == EXPECTED[name, "params_without_classifier"]


@given(arch=architectures())
@settings(max_examples=25, deadline=None)
def test_thop_confirms_what_the_plan_counts(arch: Architecture) -> None:
    counted, witnessed = count(arch), thop_counts(arch)

    assert (witnessed.macs, witnessed.params) == (counted.macs, counted.params)
    assert witnessed.block_macs == tuple(block.macs for block in counted.blocks)
    assert witnessed.macs_by_own_rules > witnessed.macs


def test_by_its_own_rules_thop_says_more() -> None:
    """The figure of thop 0.1.1 for torchvision's module, which pools by a function thop misses."""
    pooling = 1280 * (7 * 7 + 1)
    own = thop_counts(golden.architecture("tv_mobilenet_v2")).macs_by_own_rules
    assert own == 327_486_720 + pooling


def test_witnessing_draws_none_of_the_callers_random_numbers() -> None:
    arch = golden.architecture("ofa_pixel1_20ms")
    torch.manual_seed(0)
    undisturbed = torch.rand(3)

    torch.manual_seed(0)
    thop_counts(arch)

    assert torch.equal(torch.rand(3), undisturbed)


def test_witnessing_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    thop_counts(golden.architecture("ofa_pixel1_20ms"))

    assert capsys.readouterr() == ("", "")
    assert "thop" in sys.modules
