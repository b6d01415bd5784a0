"""What no network can be is refused with its place, whether it comes from a file or from Python."""

import dataclasses
import re
from typing import Any

import golden
import numpy as np
import pytest

from mnas.arch import (
    SE,
    Architecture,
    HeadConv,
    HeadLinear,
    HeadPool,
    InvalidArchitectureError,
    InvertedResidual,
    UniversalInvertedBottleneck,
    plan,
)

BASE = golden.architecture("tv_mobilenet_v3_large")
CONV = HeadConv(out_channels=8, norm=True, bias=False, activation=None)
LINEAR = HeadLinear(out_features=8, norm=False, bias=True, activation=None)


def refuse(place: str, problem: str) -> Any:
    return pytest.raises(
        InvalidArchitectureError, match=rf"(?m)^  {re.escape(place)}: .*{re.escape(problem)}"
    )


def with_block(index: int, **fields: Any) -> tuple[Any, ...]:
    blocks = list(BASE.blocks)
    blocks[index] = dataclasses.replace(blocks[index], **fields)
    return tuple(blocks)


def bottleneck(**fields: Any) -> UniversalInvertedBottleneck:
    """What may stand first in BASE: 16 channels come in."""
    usual = {"start_kernel": 3, "kernel": 3, "stride": 1, "expanded_channels": 32}
    return UniversalInvertedBottleneck(
        **{**usual, "out_channels": 16, "activation": "relu", "residual": True, **fields}
    )


@pytest.mark.parametrize("kernel", [-1, 0, 2, 4])
def test_a_kernel_that_is_not_odd(kernel: int) -> None:
    with refuse(
        "blocks.3.kernel", f"odd and positive, so that padding keeps the size; got {kernel}"
    ):
        dataclasses.replace(BASE, blocks=with_block(3, kernel=kernel))


def test_an_even_kernel_of_the_stem() -> None:
    with refuse("stem.kernel", "got 2"):
        dataclasses.replace(BASE, stem=dataclasses.replace(BASE.stem, kernel=2))


def test_a_residual_across_a_stride() -> None:
    with refuse("blocks.1.residual", "16 -> 24 channels, stride 2"):
        dataclasses.replace(BASE, blocks=with_block(1, residual=True))


def test_a_residual_across_a_change_of_channels() -> None:
    with refuse("blocks.10.residual", "80 -> 112 channels, stride 1"):
        dataclasses.replace(BASE, blocks=with_block(10, residual=True))


def test_a_resolution_that_vanishes() -> None:
    with refuse("blocks.12.stride", "the resolution has vanished"):
        dataclasses.replace(BASE, input=dataclasses.replace(BASE.input, resolution=16))


def test_the_smallest_resolution_that_does_not_vanish() -> None:
    arch = dataclasses.replace(BASE, input=dataclasses.replace(BASE.input, resolution=17))

    assert arch.input.resolution == 17


@pytest.mark.parametrize(
    ("head", "place", "problem"),
    [
        ((), "head", "exactly one item with op 'pool'; got 0"),
        ((CONV,), "head", "exactly one item with op 'pool'; got 0"),
        ((HeadPool(), CONV, HeadPool()), "head", "exactly one item with op 'pool'; got 2"),
        ((LINEAR, HeadPool()), "head.0.op", "must come after the 'pool'"),
        ((HeadPool(), LINEAR, CONV), "head.2.op", "cannot follow a 'linear'"),
        ((HeadPool(), dataclasses.replace(LINEAR, out_features=0)), "head.1.out_features", "got 0"),
        ((dataclasses.replace(CONV, out_channels=-8), HeadPool()), "head.0.out_channels", "got -8"),
    ],
)
def test_a_head_in_the_wrong_order(head: tuple[Any, ...], place: str, problem: str) -> None:
    with refuse(place, problem):
        dataclasses.replace(BASE, head=head)


def test_an_inverted_residual_without_its_expanding_convolution() -> None:
    with refuse("blocks.1.expand", "written as op 'depthwise_separable'"):
        dataclasses.replace(BASE, blocks=with_block(1, expand=False))


@pytest.mark.parametrize(
    ("fields", "place", "problem"),
    [
        (
            {"start_kernel": 0, "kernel": 0, "stride": 2, "residual": False},
            "blocks.0.stride",
            "no depthwise convolution is there to have it; got 2",
        ),
        ({"kernel": 1}, "blocks.0.kernel", "must be 0, 3 or 5"),
        ({"start_kernel": 7}, "blocks.0.start_kernel", "must be 0, 3 or 5"),
        ({"expanded_channels": 0}, "blocks.0.expanded_channels", "at least 1; got 0"),
    ],
)
def test_an_impossible_universal_bottleneck(
    fields: dict[str, Any], place: str, problem: str
) -> None:
    with refuse(place, problem):
        dataclasses.replace(BASE, blocks=(bottleneck(**fields), *BASE.blocks))


@pytest.mark.parametrize(
    "fields",
    [
        {"start_kernel": 0, "kernel": 0},
        {"start_kernel": 5, "kernel": 0},
        {"start_kernel": 0, "kernel": 5},
    ],
)
def test_a_universal_bottleneck_may_lack_its_depthwise_convolutions(fields: dict[str, int]) -> None:
    arch = dataclasses.replace(BASE, blocks=(bottleneck(**fields), *BASE.blocks))

    assert len(arch.blocks) == len(BASE.blocks) + 1


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"input": dataclasses.replace(BASE.input, channels=0)}, "input.channels"),
        ({"input": dataclasses.replace(BASE.input, resolution=0)}, "input.resolution"),
        ({"norm": dataclasses.replace(BASE.norm, eps=0.0)}, "norm.eps"),
        ({"norm": dataclasses.replace(BASE.norm, momentum=0.0)}, "norm.momentum"),
        ({"blocks": with_block(0, out_channels=0, residual=False)}, "blocks.0.out_channels"),
        ({"blocks": with_block(0, stride=0, residual=False)}, "blocks.0.stride"),
        ({"blocks": with_block(2, expanded_channels=0)}, "blocks.2.expanded_channels"),
    ],
)
def test_a_number_out_of_its_range(fields: dict[str, Any], place: str) -> None:
    with refuse(place, "must be"):
        dataclasses.replace(BASE, **fields)


def test_a_squeezed_vector_without_channels() -> None:
    block = BASE.blocks[3]
    assert isinstance(block, InvertedResidual)
    assert block.se is not None
    with refuse("blocks.3.se.channels", "at least 1; got 0"):
        dataclasses.replace(
            BASE, blocks=with_block(3, se=dataclasses.replace(block.se, channels=0))
        )


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"padding": "valid"}, "padding"),
        ({"stem": dataclasses.replace(BASE.stem, activation="swish")}, "stem.activation"),
        ({"blocks": with_block(0, activation="swish")}, "blocks.0.activation"),
        ({"blocks": with_block(0, pointwise_activation="swish")}, "blocks.0.pointwise_activation"),
        ({"blocks": with_block(1, activation=None)}, "blocks.1.activation"),
        (
            {"blocks": with_block(3, se=SE(channels=4, activation="swish", gate="sigmoid"))},
            "blocks.3.se.activation",
        ),
        (
            {"blocks": with_block(3, se=SE(channels=4, activation="relu", gate="tanh"))},
            "blocks.3.se.gate",
        ),
        (
            {"head": (HeadPool(), dataclasses.replace(CONV, activation="swish"))},
            "head.1.activation",
        ),
        (
            {"head": (HeadPool(), dataclasses.replace(LINEAR, activation="swish"))},
            "head.1.activation",
        ),
    ],
)
def test_a_name_that_is_not_known(fields: dict[str, Any], place: str) -> None:
    with refuse(place, "must be one of"):
        dataclasses.replace(BASE, **fields)


def test_everything_impossible_is_told_at_once() -> None:
    document = BASE.to_json().replace('"kernel": 5', '"kernel": 4').replace("0.2", "1.5")

    with pytest.raises(InvalidArchitectureError, match="'tv_mobilenet_v3_large' cannot") as caught:
        Architecture.from_json(document)

    even = [f"blocks.{index}.kernel" for index in (3, 4, 5, 12, 13, 14)]
    assert [fault.place for fault in caught.value.faults] == ["dropout", *even]


STEM = BASE.stem
SQUEEZE = SE(channels=8, activation="relu", gate="sigmoid")


@pytest.mark.parametrize(
    ("fields", "place", "problem"),
    [
        ({"num_classes": 10.0}, "num_classes", "an integer; got 10.0 (float)"),
        ({"num_classes": True}, "num_classes", "an integer; got True (bool)"),
        ({"num_classes": "10"}, "num_classes", "an integer; got '10' (str)"),
        ({"num_classes": np.int64(10)}, "num_classes", "(numpy.int64)"),
        ({"name": 5}, "name", "must be text; got 5 (int)"),
        ({"name": ""}, "name", "must not be empty"),
        ({"schema": "mnas.architecture/2"}, "schema", "must be 'mnas.architecture/1'"),
        ({"dropout": "0.2"}, "dropout", "must be a number; got '0.2'"),
        ({"dropout": True}, "dropout", "must be a number; got True"),
        ({"padding": ["same"]}, "padding", "must be one of"),
        ({"norm": dataclasses.replace(BASE.norm, eps="1e-5")}, "norm.eps", "must be a number"),
        ({"norm": {"eps": 1e-5}}, "norm", "must be mnas.arch.BatchNorm"),
        ({"input": (3, 32)}, "input", "must be mnas.arch.Input; got (3, 32) (tuple)"),
        (
            {"input": dataclasses.replace(BASE.input, resolution=32.0)},
            "input.resolution",
            "an integer",
        ),
        ({"stem": None}, "stem", "must be mnas.arch.Stem; got None"),
        ({"stem": dataclasses.replace(STEM, kernel=3.0)}, "stem.kernel", "an integer; got 3.0"),
        ({"stem": dataclasses.replace(STEM, stride="2")}, "stem.stride", "an integer; got '2'"),
        ({"stem": dataclasses.replace(STEM, activation=None)}, "stem.activation", "must be one of"),
        ({"blocks": None}, "blocks", "must be a tuple or a list; got None"),
        ({"blocks": (*BASE.blocks, {"op": "conv"})}, "blocks.15", "must be mnas.arch.ConvBlock or"),
        ({"blocks": with_block(2, kernel=[3])}, "blocks.2.kernel", "an integer; got [3] (list)"),
        ({"blocks": with_block(2, stride=np.int64(1))}, "blocks.2.stride", "(numpy.int64)"),
        ({"blocks": with_block(2, residual=1)}, "blocks.2.residual", "true or false; got 1 (int)"),
        ({"blocks": with_block(2, op="conv")}, "blocks.2.op", "must be 'inverted_residual'"),
        ({"blocks": with_block(3, se={"channels": 8})}, "blocks.3.se", "mnas.arch.SE or null"),
        (
            {"blocks": with_block(3, se=dataclasses.replace(SQUEEZE, channels=8.0))},
            "blocks.3.se.channels",
            "an integer; got 8.0",
        ),
        ({"head": (LINEAR, "pool")}, "head.1", "must be mnas.arch.HeadConv or"),
        ({"head": (HeadPool(), dataclasses.replace(CONV, norm=1))}, "head.1.norm", "true or false"),
        ({"head": (HeadPool(op="conv"),)}, "head.0.op", "must be 'pool' in a HeadPool"),
    ],
)
def test_a_value_of_another_type(fields: dict[str, Any], place: str, problem: str) -> None:
    with refuse(place, problem):
        dataclasses.replace(BASE, **fields)


def test_an_equal_number_of_another_type_is_told_though_the_right_one_was_met_before() -> None:
    plan(BASE)

    with refuse("blocks.2.expanded_channels", "an integer; got 72.0"):
        dataclasses.replace(BASE, blocks=with_block(2, expanded_channels=72.0))

    assert plan(dataclasses.replace(BASE)) == plan(BASE)


def test_numbers_of_another_type_are_all_told_at_once() -> None:
    with pytest.raises(InvalidArchitectureError, match="cannot be built") as caught:
        dataclasses.replace(BASE, num_classes="10", blocks=with_block(4, kernel=5.0, stride=True))

    told = [fault.place for fault in caught.value.faults]
    assert told == ["num_classes", "blocks.4.kernel", "blocks.4.stride"]


def test_a_list_of_blocks_becomes_a_tuple() -> None:
    assert dataclasses.replace(BASE, blocks=list(BASE.blocks)) == BASE


def test_another_body_is_what_replacing_it_gives() -> None:
    blocks, head = BASE.blocks[:9], (HeadPool(), LINEAR)
    for _ in range(2):  # the second time from memory
        other = BASE.with_body(blocks, head)
        assert other == dataclasses.replace(BASE, blocks=blocks, head=head)
        assert (other.id, plan(other)) == (Architecture.from_json(other.to_json()).id, plan(other))


def test_a_block_that_was_accepted_elsewhere_is_refused_where_it_cannot_be() -> None:
    assert BASE.with_body(BASE.blocks, BASE.head) == BASE

    with refuse("blocks.0.residual", "160 channels"):
        BASE.with_body(BASE.blocks[-1:], BASE.head)
    with refuse("blocks.2.expanded_channels", "an integer; got 72.0"):
        BASE.with_body(with_block(2, expanded_channels=72.0), BASE.head)
    with refuse("head", "exactly one item with op 'pool'"):
        BASE.with_body(BASE.blocks, ())


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("num_classes", {"num_classes": 10**21}),
        ("input.resolution", {"input": dataclasses.replace(BASE.input, resolution=1_000_000)}),
        (
            "head.0.out_channels",
            {"head": (dataclasses.replace(CONV, out_channels=10**10), HeadPool())},
        ),
        ("blocks.0.kernel", {"blocks": with_block(0, kernel=99_999)}),
    ],
)
def test_sizes_that_nothing_could_hold_are_refused(place, change):
    with refuse(place, "must be at most"):
        dataclasses.replace(BASE, **change)


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ({"out_channels": 0}, ["blocks.2.out_channels"]),
        ({"out_channels": -7}, ["blocks.2.out_channels"]),
        ({"stride": -7}, ["blocks.2.stride"]),
    ],
)
def test_a_value_out_of_range_makes_no_fault_of_the_residuals_about_it(
    fields: dict[str, int], places: list[str]
) -> None:
    with pytest.raises(InvalidArchitectureError, match=r"blocks\.2\.") as raised:
        dataclasses.replace(BASE, blocks=with_block(2, **fields))

    assert [fault.place for fault in raised.value.faults] == places
