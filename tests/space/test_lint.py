"""Warnings: what a file says in vain."""

import copy
import functools
import itertools
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.space import space_from_yaml
from tests.space.documents import space_of_document
from tests.strategies import space_documents

BASE = {
    "schema": "mnas.space/1",
    "name": "linted",
    "input": {"channels": 3, "resolution": 16},
    "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
    "head": [{"op": "pool"}],
}


def space(stage: dict[str, Any], **top: Any) -> Any:
    stage = {
        "op": "inverted_residual",
        "kernel": 3,
        "expansion": 2,
        "out_channels": 16,
        "activation": "relu",
        **stage,
    }
    return space_of_document({**BASE, "stages": [stage], **top})


def told(linted: Any) -> list[tuple[str, str]]:
    faults = linted.warnings()
    assert all(fault.line is not None for fault in faults)
    return [(fault.place, fault.problem) for fault in faults]


def test_a_sound_space_has_none():
    assert told(space({"kernel": [3, 5], "depth": [1, 2]}, width=[1.0, 2.0])) == []


def test_a_choice_that_never_matters_is_dead():
    (fault,) = told(space({"residual": [True, False]}))  # the only layer changes the shape
    assert fault == ("stages.0.residual", "never matters: every option gives the same networks")


def test_a_choice_that_matters_somewhere_is_not_dead():
    assert told(space({"residual": [True, False], "depth": 2})) == []


def test_options_that_round_to_the_same_are_duplicates():
    (fault,) = told(space({"expansion": [2, 2.1, 3]}))
    assert fault == ("stages.0.expansion.1", "the same networks as option 2, in every context")


def test_widths_that_round_to_the_same_are_duplicates():
    (fault,) = told(space({}, width=[1.0, 1.01, 2.0]))
    assert fault == ("width.1", "the same networks as option 1.0, in every context")


def test_a_field_that_no_operator_uses_is_told():
    (fault,) = told(space({"op": "conv"}))
    assert fault == ("stages.0.expansion", "never used: conv has no such field")


def test_a_field_of_the_defaults_that_no_stage_uses_is_told():
    (fault,) = told(space({}, defaults={"start_kernel": [3, 5]}))
    said = "never used: inverted_residual has no such field"
    assert fault == ("defaults.start_kernel", said)


def test_a_field_of_the_defaults_that_one_stage_uses_is_not():
    plain = {key: value for key, value in FIELDS.items() if key != "expansion"}
    stages = [{**plain, "op": op, "out_channels": 16} for op in ("conv", "inverted_residual")]
    assert told(space({}, stages=stages, defaults={"expansion": 3})) == []


FIELDS = {"op": "inverted_residual", "kernel": 3, "expansion": 2, "activation": "relu"}
# From far to near; the stage has one layer, so that its `first` is nearest for all of it.
LEVELS = ("defaults", "defaults.first", "stages.0", "stages.0.first", "stages.0.layer.each.0")
OVERRIDES = [
    (key, far, near)
    for far, near in itertools.combinations(LEVELS, 2)
    for key in ("op", "kernel", "expansion", "activation", "se", "residual", "expand")
] + [(key, "defaults", "stages.0") for key in ("depth", "stride", "out_channels", "scale")]
VALUES = {"se": None, "residual": False, "expand": True, "depth": 1, "stride": 2, "scale": False}


@pytest.mark.parametrize(("key", "far", "near"), OVERRIDES)
def test_a_value_that_a_nearer_one_always_replaces_is_told_and_nothing_else(key, far, near):
    value = {**VALUES, **FIELDS, "out_channels": 16}[key]
    fields = {**FIELDS, "out_channels": 16}
    fields.pop(key, None)
    parts: dict[str, dict[str, Any]] = {level: {} for level in LEVELS}
    parts["stages.0"] |= fields
    parts[far][key] = parts[near][key] = value
    stage: dict[str, Any] = parts["stages.0"]
    if "first" in near or "first" in far:
        stage["first"] = parts["stages.0.first"]
    if "layer" in near:
        stage["layer"] = {"each": [parts["stages.0.layer.each.0"]]}
    defaults = {**parts["defaults"], "first": parts["defaults.first"]}
    faults = told(space_of_document({**BASE, "defaults": defaults, "stages": [stage]}))
    nearer = "expansion` or `expanded_channels" if key == "expansion" else key
    where = "stage" if key in ("depth", "stride", "out_channels", "scale") else "layer"
    problem = f"never used: every {where} that is built has a nearer `{nearer}`"
    assert faults == [(f"{far}.{key}", problem)]


def test_a_replaced_value_stands_at_its_own_line_and_column():
    text = """\
schema: mnas.space/1
name: replaced
input: {channels: 3, resolution: 16}
stem: {kernel: 3, stride: 2, out_channels: 8, activation: relu}
defaults:
  op: inverted_residual
  kernel: [3, 5]
  expansion: 2
stages:
  - {kernel: 3, out_channels: 16, activation: relu, layer: [{expanded_channels: 8}]}
head: [{op: pool}]
"""
    faults = space_from_yaml(text).warnings()
    assert [(fault.place, fault.line, fault.column) for fault in faults] == [
        ("defaults.kernel", 7, 11),
        ("defaults.expansion", 8, 14),
    ]


def test_a_value_that_one_stage_or_layer_still_takes_is_not_told():
    stage = {**FIELDS, "out_channels": 16}
    bare = {key: value for key, value in stage.items() if key != "kernel"}
    top = {**BASE, "defaults": {"kernel": [3, 5]}}
    assert told(space_of_document({**top, "stages": [stage, bare]})) == []
    deep = {**stage, "kernel": 5, "depth": [1, 2], "first": {"kernel": 3}}
    assert told(space_of_document({**BASE, "stages": [deep]})) == []


def test_keys_that_every_network_replaces_are_told():
    stages = [{**FIELDS, "out_channels": 16}]
    options = [
        {"name": name, "stages": stages, "width": width, "defaults": {"kernel": 5, "se": None}}
        for name, width in (("a", 1.0), ("b", 2.0))
    ]
    options[1].pop("defaults")
    document = {**BASE, "stages": stages, "defaults": {"kernel": 3}, "network": options}
    assert [place for place, _ in told(space_of_document(document))] == [
        "stages",
        "defaults.kernel",
        "network.0.defaults.kernel",
    ]


def test_a_network_that_says_the_same_as_another_is_a_duplicate():
    options = [{"name": "a", "width": 0.5}, {"name": "b", "width": 1.0}, {"name": "c"}]
    document = {**BASE, "stages": [{**FIELDS, "out_channels": 16}], "network": options}
    (fault,) = told(space_of_document(document))
    assert fault == ("network.2", "the same networks as option 'b', in every context")


def test_a_depth_that_adds_only_identities_is_dead():
    layers = {"op": "identity", "first": {**FIELDS, "op": "conv"}, "out_channels": 16}
    del layers["first"]["expansion"]
    (fault,) = told(space({}, stages=[{**layers, "depth": [1, 2, 3]}]))
    assert fault == ("stages.0.depth", "never matters: every option gives the same networks")


@settings(max_examples=10, deadline=None)
@given(space_documents(max_stages=1), st.data())
def test_without_what_is_never_used_the_networks_are_the_same(document, data):
    """Fields are written once more where something nearer may replace them."""
    stage = data.draw(st.sampled_from(document["stages"]))
    key = data.draw(st.sampled_from(sorted({"kernel", "activation", "residual"} & set(stage))))
    document = {**document, "defaults": {**document.get("defaults", {}), key: stage[key]}}
    linted = space_of_document(document)
    for fault in linted.warnings():
        if fault.problem.startswith("never used"):
            *outer, name = [int(s) if s.isdigit() else s for s in fault.place.split(".")]
            less = copy.deepcopy(document)
            del functools.reduce(operator.getitem, outer, less)[name]
            assert set(space_of_document(less).enumerate()) == set(linted.enumerate())


def test_a_stage_that_is_never_built_is_told():
    assert ("stages.0", "never built: its depth is always 0") in told(space({"depth": 0}))


ITEM = {"op": "conv", "activation": "relu"}
STEM = {"kernel": 3, "stride": 2, "activation": "relu"}


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"stem": {**STEM, "out_channels": [16, 17, 32]}}, "stem.out_channels.1"),
        (
            {"stem": [{"name": "a", **STEM, "out_channels": 8}, {**STEM, "out_channels": 9}]},
            "stem",
        ),
        (
            {"head": [{**ITEM, "out_channels": [32, 33, 64]}, {"op": "pool"}]},
            "head.0.out_channels.1",
        ),
        (
            {
                "head": [
                    {"op": "pool"},
                    [
                        {**ITEM, "name": "a", "out_channels": 32},
                        None,
                        {**ITEM, "name": "b", "out_channels": 33},
                    ],
                ]
            },
            "head.1.2",
        ),
    ],
)
def test_stems_and_heads_that_round_to_the_same_are_duplicates(changed, place):
    stage = {"out_channels": 64}  # what comes in may make no difference to the stage
    assert [fault[0] for fault in told(space(stage, width=0.5, **changed))] == [place]
    assert told(space(stage, width=2.0, **changed, rounding={"divisor": 1})) == []


def test_out_channels_that_round_to_the_same_are_duplicates():
    changed = {"out_channels": [24, 25, 48]}
    (fault,) = told(space(changed, width=0.5))
    assert fault == ("stages.0.out_channels.1", "the same networks as option 24, in every context")
    assert told(space(changed, width=[0.5, 1.0])) == []


def test_out_channels_that_all_round_to_the_same_are_dead():
    (fault,) = told(space({"out_channels": [24, 25]}, width=0.5))
    assert fault == ("stages.0.out_channels", "never matters: every option gives the same networks")
