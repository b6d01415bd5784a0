"""Warnings: what a file says in vain."""

from typing import Any

import pytest

from tests.space.documents import space_of_document


def space(stage: dict[str, Any], **top: Any) -> Any:
    stage = {
        "op": "inverted_residual",
        "kernel": 3,
        "expansion": 2,
        "out_channels": 16,
        "activation": "relu",
        **stage,
    }
    return space_of_document(
        {
            "schema": "mnas.space/1",
            "name": "linted",
            "input": {"channels": 3, "resolution": 16},
            "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
            "stages": [stage],
            "head": [{"op": "pool"}],
            **top,
        }
    )


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


def test_a_field_of_the_defaults_may_go_unused():
    assert told(space({}, defaults={"start_kernel": [3, 5]})) == []


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
