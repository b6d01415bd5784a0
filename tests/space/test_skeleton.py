"""What `mnas space show` draws of a space."""

import pytest

from mnas.space import load_space, shipped_spaces
from tests.space.documents import space_of_document


def test_each_part_says_what_it_may_be():
    parts = {part.place: part for part in load_space("ofa_mobilenet_v3").skeleton()}
    stage = parts["stages.2"]
    assert (stage.ops, stage.layers, stage.strides) == (("inverted_residual",), (2, 4), (2,))
    assert (stage.out_channels, stage.size) == ((40,), 28)
    assert dict(stage.options) == {"kernel": (3, 5, 7), "expansion": (3, 4, 6), "se": (0.25,)}
    assert list(parts) == [
        "input",
        "stem",
        *(f"stages.{index}" for index in range(6)),
        *(f"head.{index}" for index in range(3)),
        "classifier",
    ]
    assert parts["head.1"].size == 1
    assert parts["classifier"].out_channels == (1000,)


def test_each_network_has_a_skeleton_of_its_own():
    parts = load_space("mobilenet_v3").skeleton()
    assert list(dict.fromkeys(part.network for part in parts)) == [
        "large",
        "small",
        "large_minimal",
        "small_minimal",
    ]
    assert {part.place for part in parts if part.network == "small"} >= {"stem", "stages.4"}


def test_a_stage_that_may_be_absent_and_a_head_item_that_may_be_left_out_say_so():
    stage = {"op": "conv", "kernel": 3, "depth": [0, 2], "out_channels": [8, 16], "stride": [1, 2]}
    space = space_of_document(
        {
            "schema": "mnas.space/1",
            "name": "maybe",
            "input": {"channels": 3, "resolution": 32},
            "width": [0.5, 2.0],
            "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
            "stages": [{**stage, "activation": "relu"}],
            "head": [{"op": "pool"}, [None, {"name": "wide", "op": "linear", "out_features": 32}]],
        }
    )
    parts = {part.place: part for part in space.skeleton()}
    assert (parts["stages.0"].layers, parts["stages.0"].strides) == ((0, 2), (1, 2))
    assert parts["stages.0"].out_channels == (16, 32)  # at the greatest width
    assert (parts["head.1"].layers, parts["head.1"].size) == ((0, 1), None)


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_shipped_space_has_a_skeleton(name):
    parts = load_space(name).skeleton()
    assert parts[0].place == "input"
    assert parts[-1].place == "classifier"
