"""Every fault of a file is told in one error: of the grammar, missing fields, shapes."""

import itertools
from typing import Any

import pytest

from mnas.space import InvalidSpaceError, space_from_yaml
from tests.space.documents import space_of_document

BASE = {
    "schema": "mnas.space/1",
    "name": "faulty",
    "input": {"channels": 3, "resolution": 64},
    "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
    "head": [{"op": "pool"}],
}
# Each line with a fault has one kind of it, and says what must be told.
FAULTY = """\
schema: mnas.space/1
name: ../faulty                 # beginning with a letter or digit
input: {channels: 3, resolution: 4}
width: 0                        # width: must be a number above 0
stem: {kernel: 4, stride: 2, out_channels: 8, activation: relu}  # stem.kernel: must be an odd
norm: {eps: 2}                  # norm.eps: must be a number above 0
stages:
  - {op: conv, kernel: 3, out_channels: 8, activation: relu, hue: 1}  # hue: unknown field
  - {op: conv, kernel: [3, 4], out_channels: 8, activation: relu}  # kernel.1: must be an odd
  - {op: conv, kernel: 3, out_channels: 8, activation: relu, depth: {each: [1, 2]}}  # depth.each
  - {op: conv, kernel: [3, 3], out_channels: 8, activation: relu}  # kernel.1: 3 stands here twice
  - {op: conv, kernal: 3, out_channels: 8, activation: relu}  # did you mean 'kernel'
  - {op: conw, kernel: 3, out_channels: 8, activation: relu}  # did you mean 'conv'
  - {op: conv, out_channels: 8, activation: relu}  # op 'conv' needs `kernel`
  - {kernel: 3, out_channels: 8, activation: relu}  # stages.7.op: this field is required
  - {op: inverted_residual, kernel: 3, out_channels: 8, activation: relu}  # needs `expansion` or
  - {op: conv, kernel: 3, activation: relu}  # stages.9.out_channels: this field is required
  - 3                           # stages.10: must be a mapping; got 3
  - {op: conv, kernel: 3, out_channels: 8, activation: relu, layer: 5}  # layer: must be
  - {op: conv, kernel: 3, out_channels: 8, activation: relu, first: 5}  # first: must be
  - {op: conv, kernel: 0, out_channels: 8, activation: relu}  # 0 is not for op 'conv'
  - {op: inverted_residual, kernel: 3, expansion: 2, out_channels: 8, activation: null}  # null is
  - op: universal_inverted_bottleneck
    start_kernel: 0
    expansion: 2
    activation: relu
    out_channels: 8
    kernel: 7                   # must be 0, 3 or 5 with op 'universal_inverted_bottleneck'
  - op: depthwise_separable
    kernel: 3
    activation: relu
    out_channels: 16
    se: {ratio: 0.25, channels: 8, activation: relu, gate: sigmoid}  # give one of `ratio`
  - op: fused_inverted_residual
    kernel: 3
    activation: relu
    out_channels: 16
    expansion: 2
    expanded_channels: 24       # states the same as `expansion`
  - {op: {each: [conv, identity]}, kernel: 3, out_channels: 24, activation: relu}  # cannot change
  - {op: conv, kernel: 3, out_channels: 24, activation: relu, stride: [1, 2]}
  - {op: conv, kernel: 3, out_channels: 24, activation: relu, stride: 2}  # the resolution vanishes
head: [{op: conv, out_channels: 32, activation: relu}]  # needs exactly one item with op 'pool'
hed: 3                          # hed: unknown field
"""


WIDTH = "width: 0                        # width: must be a number above 0\n"


def marked(text: str) -> dict[int, str]:
    lines = (line.partition("  # ") for line in text.splitlines())
    return {number: said for number, (_, _, said) in enumerate(lines, 1) if said}


def test_a_file_with_a_fault_of_every_kind_tells_them_all_in_one_error():
    text = FAULTY.replace(WIDTH, "")  # with the width in doubt no identity could be judged
    with pytest.raises(InvalidSpaceError, match="is not a search space") as caught:
        space_from_yaml(text, "faulty.yaml")
    told = {fault.line: str(fault) for fault in caught.value.faults}
    assert list(told) == list(marked(text))
    assert len(told) == len(caught.value.faults)
    for line, said in marked(text).items():
        assert said in told[line], (line, told[line])


def test_what_hangs_on_a_value_in_doubt_is_not_guessed():
    with pytest.raises(InvalidSpaceError, match="width: must be a number above 0") as caught:
        space_from_yaml(FAULTY, "faulty.yaml")
    assert "cannot change the shape" not in str(caught.value)
    assert "null is for op 'conv'" in str(caught.value)


GOOD = {"op": "conv", "kernel": 3, "out_channels": 8, "activation": "relu"}
BROKEN: list[Any] = [
    GOOD | {"hue": 1},
    GOOD | {"kernel": [3, 4]},
    GOOD | {"op": "conw"},
    GOOD | {"op": ["conv", "identity"], "kernel": "three"},
    GOOD | {"op": {"each": ["conv", "identity"]}, "out_channels": 16},
    GOOD | {"out_channels": 0},
    {key: value for key, value in GOOD.items() if key != "kernel"},
    {key: value for key, value in GOOD.items() if key != "out_channels"},
    {key: value for key, value in GOOD.items() if key != "op"},
    GOOD | {"op": "inverted_residual", "activation": None, "se": {"ratio": 9}},
    GOOD | {"first": {"op": "inverted_residual", "kernel": 5}},
    GOOD | {"layer": [{"kernel": 0}, None, 7]},
    GOOD | {"depth": -1, "kernel": {"each": 3}},
    GOOD | {"op": "universal_inverted_bottleneck", "kernel": 0, "start_kernel": 0, "stride": 2},
    "conv",
]


def told_of(broken: dict[int, Any]) -> set[tuple[str, str]]:
    stages = [broken.get(index, GOOD) for index in range(len(BROKEN))]
    with pytest.raises(InvalidSpaceError, match="is not a search space") as caught:
        space_of_document({**BASE, "stages": stages})
    return {(fault.place, fault.problem) for fault in caught.value.faults}


def test_two_broken_stages_tell_what_each_of_them_tells_alone():
    alone = [told_of({index: stage}) for index, stage in enumerate(BROKEN)]
    for one, other in itertools.combinations(range(len(BROKEN)), 2):
        both = alone[one] | alone[other]
        told = told_of({one: BROKEN[one], other: BROKEN[other]})
        assert told <= both, "a fault that is none"
        # Where the channels that come in are not known, no identity can be judged.
        assert all("cannot change the shape" in problem for _, problem in both - told)


def test_a_fault_in_one_network_hides_none_of_another():
    options = [
        {"name": "a", "stages": [GOOD | {"kernel": 4}]},
        {"name": "b", "stages": [GOOD | {"op": "inverted_residual"}]},
        {"name": "c", "stages": [GOOD | {"op": "identity", "out_channels": 16}]},
    ]
    with pytest.raises(InvalidSpaceError, match="is not a search space") as caught:
        space_of_document({**BASE, "network": options})
    assert [fault.place for fault in caught.value.faults] == [
        "network.0.stages.0.kernel",
        "network.1.stages.0.expansion",
        "network.2.stages.0.op",
    ]


def test_a_fault_in_the_head_of_a_network_option_makes_no_others():
    head = [{"op": "pol"}, {"op": "conv", "out_channels": 32, "activation": "relu"}]
    options = [{"name": name, "width": 1.0, "head": head} for name in ("x", "y")]
    stage = {"op": "conv", "kernel": 3, "out_channels": 8, "activation": "relu"}
    document = {**BASE, "network": options, "stages": [stage]}
    del document["head"]

    with pytest.raises(InvalidSpaceError, match="did you mean 'pool'") as raised:
        space_of_document(document)

    places = [fault.place for fault in raised.value.faults]
    assert places == ["network.0.head.0.op", "network.1.head.0.op"]
