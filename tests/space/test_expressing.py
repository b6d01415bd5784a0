"""What the grammar can say: every architecture, and so every published one."""

import random
from typing import Any

import pytest
from hypothesis import given, settings

from mnas.arch import SE, Architecture, BatchNorm, HeadConv, HeadPool, Input, InvertedResidual
from mnas.arch.blocks import DepthwiseSeparable
from mnas.arch.canonical import to_fields
from mnas.arch.pieces import Stem
from mnas.space import load_published, load_space, published
from tests.space.documents import space_of_document
from tests.strategies import architectures


def document_of(arch: Architecture) -> dict[str, Any]:
    """A space that holds one architecture: every block a stage of depth 1, every number stated."""
    fields = to_fields(arch)
    pointless = {"name", "input", "blocks", "head", "schema"}
    stages = [{"depth": 1, **block} for block in fields["blocks"]]
    return {
        **{key: value for key, value in fields.items() if key not in pointless},
        "schema": "mnas.space/1",
        "name": "one",
        "input": fields["input"],
        "stages": stages,
        "head": fields["head"],
    }


@settings(max_examples=60, deadline=None)
@given(architectures().filter(lambda arch: arch.blocks))
def test_every_architecture_is_the_one_point_of_some_space(arch):
    space = space_of_document(document_of(arch))
    assert space.size().encodings == 1
    assert space.sample(random.Random(0)).id == arch.id
    assert space.encode(arch) == {}
    assert space.decode({}).id == arch.id


@pytest.mark.parametrize("name", published())
def test_every_published_network_is_expressed_in_the_grammar(name):
    arch = load_published(name)
    space = space_of_document(document_of(arch))
    assert space.decode(space.encode(arch)).id == arch.id


def ofa_network(kernels, expansions, depths, resolution, width) -> Architecture:
    """A sub-network of Once-for-All as its own configuration says it (ks, e, d), by hand.

    Cai et al. 2020, arXiv:1908.09791; sizes as the authors' `make_divisible(channels, 8)`.
    """

    def divisible(value: float) -> int:
        rounded = max(8, int(value + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * value else rounded

    def scaled(number: int) -> int:
        return divisible(number * width)

    channels = scaled(16)
    blocks: list[Any] = [
        DepthwiseSeparable(
            kernel=3,
            stride=1,
            out_channels=channels,
            activation="relu",
            pointwise_activation=None,
            se=None,
            residual=True,
        )
    ]
    position = 0
    for stage, (out, stride, has_se, activation) in enumerate(
        (
            (24, 2, False, "relu"),
            (40, 2, True, "relu"),
            (80, 2, False, "hard_swish"),
            (112, 1, True, "hard_swish"),
            (160, 2, True, "hard_swish"),
        )
    ):
        for layer in range(depths[stage]):
            expanded = divisible(channels * expansions[position + layer])
            blocks.append(
                InvertedResidual(
                    kernel=kernels[position + layer],
                    stride=stride if layer == 0 else 1,
                    expanded_channels=expanded,
                    out_channels=scaled(out),
                    activation=activation,
                    expand=True,
                    se=SE(channels=divisible(expanded / 4), activation="relu", gate="hard_sigmoid")
                    if has_se
                    else None,
                    residual=layer > 0,
                )
            )
            channels = scaled(out)
        position += 4
    return Architecture(
        name="ofa",
        input=Input(channels=3, resolution=resolution),
        num_classes=1000,
        padding="symmetric",
        norm=BatchNorm(eps=1e-5, momentum=0.1),
        dropout=0.0,
        stem=Stem(kernel=3, stride=2, out_channels=scaled(16), activation="hard_swish"),
        blocks=tuple(blocks),
        head=(
            HeadConv(out_channels=scaled(960), norm=True, bias=False, activation="hard_swish"),
            HeadPool(),
            HeadConv(out_channels=scaled(1280), norm=False, bias=False, activation="hard_swish"),
        ),
    )


def test_every_configuration_of_once_for_all_is_a_point_of_its_space():
    """The released networks are configurations of this kind; 34 of them name a device."""
    space, rng = load_space("ofa_mobilenet_v3"), random.Random(0)
    for _ in range(34):
        arch = ofa_network(
            [rng.choice((3, 5, 7)) for _ in range(20)],
            [rng.choice((3, 4, 6)) for _ in range(20)],
            [rng.choice((2, 3, 4)) for _ in range(5)],
            rng.choice(range(128, 225, 4)),
            rng.choice((1.0, 1.2)),
        )
        assert space.why_not(arch) == ""
        assert space.decode(space.encode(arch)).id == arch.id
