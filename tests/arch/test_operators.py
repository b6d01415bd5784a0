"""Which packages may add a block operator, and what is said of the others."""

import dataclasses
from pathlib import Path

import pytest
from plug_ins import on_the_path, write_package

from mnas.arch import (
    BLOCKS,
    Architecture,
    BatchNorm,
    HeadPool,
    Input,
    InvalidArchitectureError,
    InvalidBlockOperatorError,
    Stem,
    block_operator,
    block_operators,
    operator_fields,
    plan_block,
)
from mnas.space import InvalidSpaceError, space_from_yaml

GOOD = """
from dataclasses import dataclass
from typing import Literal

from mnas.arch import Activation, Layer, block_problems, conv_norm


@dataclass(frozen=True, slots=True, kw_only=True)
class Twice:
    op: Literal["twice"] = "twice"
    stride: int
    out_channels: int
    middle_channels: int
    activation: Activation | None
    residual: bool

    def plan(self, in_channels, size):
        middle = self.middle_channels
        return (
            *conv_norm("one", in_channels, size, middle, activation=self.activation),
            *conv_norm("two", middle, size, self.out_channels, activation=None, kernel=3,
                       stride=self.stride),
        )

    def problems(self, in_channels, size):
        return block_problems(self, in_channels, size)
"""


def refused(folder: Path, source: str, problem: str, name: str = "twice") -> None:
    write_package(folder, {name: "plugin:Twice"}, source)
    with (
        on_the_path(folder),
        pytest.raises(InvalidBlockOperatorError, match=problem) as caught,
    ):
        block_operators()
    assert f"{name!r} of the package plugin (plugin:Twice)" in str(caught.value)


def test_built_in_operators_are_known_without_looking_for_packages(tmp_path):
    write_package(tmp_path, {"broken": "nowhere:Nothing"})
    with on_the_path(tmp_path):
        assert all(block_operator(op) is kind for op, kind in BLOCKS.items())


def test_the_fields_of_an_operator_are_its_schema():
    found = {field.name: field for field in operator_fields(BLOCKS["depthwise_separable"])}
    assert list(found) == [
        "kernel", "stride", "out_channels", "activation", "pointwise_activation", "se", "residual",
    ]  # fmt: skip
    assert (found["se"].kind, found["residual"].kind) == ("se", "truth")
    assert found["pointwise_activation"].nullable
    assert [name for name, field in found.items() if field.is_channels] == ["out_channels"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("import conv_norm", "import conv_norm\nimport nothing_of_that_name", "cannot be loaded"),
        ("frozen=True, ", "", "must be a frozen dataclass: @dataclass"),
        ("class Twice", "class Thrice", "cannot be loaded: AttributeError"),
        ("def plan(", "def layers(", "needs a method `plan"),
        ("    stride: int\n", "", "needs a field `stride`"),
        ('= "twice"', '= "thrice"', "the default of `op` must be 'twice'; got 'thrice'"),
        ('op: Literal["twice"]', "op: str", r"`op` must be declared as Literal\['twice'\]"),
        ("middle_channels: int", "middle_channels: int = 8", "`middle_channels` has a default"),
        ("middle_channels: int", "depth: int", "`depth` has another meaning"),
        ("middle_channels: int", "ratio: float", "`ratio` must be declared as int, bool"),
        ("middle_channels: int", "kernel: bool", "`kernel` must be a number, as in other"),
    ],
)
def test_an_entry_point_that_is_no_block_operator_is_refused(tmp_path, old, new, problem):
    source = GOOD.replace("import Activation, Layer, block_problems, conv_norm", "import conv_norm")
    source = "from mnas.arch import Activation, block_problems\n" + source
    assert old in source
    refused(tmp_path, source.replace(old, new), problem)


@pytest.mark.parametrize("name", ["conv", "identity"])
def test_a_name_that_is_taken_is_refused(tmp_path, name):
    refused(tmp_path, GOOD, "there is an operator of that name already", name)


def test_two_packages_that_declare_a_field_otherwise_are_refused(tmp_path):
    both = GOOD + GOOD.replace("Twice", "Thrice").replace('"twice"', '"zthrice"').replace(
        "middle_channels: int", 'middle_channels: Literal["a", "b"]'
    )
    write_package(tmp_path, {"twice": "plugin:Twice", "zthrice": "plugin:Thrice"}, both)
    with (
        on_the_path(tmp_path),
        pytest.raises(InvalidBlockOperatorError, match="otherwise by the block operator 'twice'"),
    ):
        block_operators()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"two", middle, size', '"two", middle + 1, size', "'two_conv' takes .9, 8., but .8, 8. "),
        ('"two"', '"one"', "two layers are called 'one_conv'"),
        ("stride=self.stride", "stride=1", r"ends in \(16, 8\), not in \(16, 4\)"),
        ("        return (\n", "        return ()\n        return (\n", "without any layer"),
    ],
)
def test_a_plan_that_does_not_follow_the_fields_is_refused(tmp_path, old, new, problem):
    assert old in GOOD
    write_package(tmp_path, {"twice": "plugin:Twice"}, GOOD.replace(old, new))
    with on_the_path(tmp_path), pytest.raises(InvalidBlockOperatorError, match=problem):
        plan_block(twice(), 8, 8, "symmetric")


def twice(**changes):
    kind = block_operator("twice")
    fields = {"stride": 2, "out_channels": 16, "middle_channels": 8, "activation": "relu"}
    return kind(**{**fields, "residual": False, **changes})


def network(*blocks) -> Architecture:
    return Architecture(
        name="tiny",
        input=Input(channels=3, resolution=16),
        num_classes=4,
        padding="symmetric",
        norm=BatchNorm(eps=1e-5, momentum=0.1),
        dropout=0.0,
        stem=Stem(kernel=3, stride=2, out_channels=8, activation="relu"),
        blocks=blocks,
        head=(HeadPool(),),
    )


def test_faults_of_an_added_block_name_place_and_field(tmp_path):
    write_package(tmp_path, {"twice": "plugin:Twice"}, GOOD)
    with on_the_path(tmp_path):
        text = network(twice()).to_json()
        for old, new, fault in (
            ('"middle_channels": 8', '"middle_channels": "8"', "blocks.0.middle_channels"),
            ('"middle_channels": 8', '"middle_channels": 0', "blocks.0.middle_channels"),
            ('"activation": "relu",\n   "residual"', '"activation": "re",\n   "residual"', "activ"),
            ('"op": "twice"', '"op": "twise"', "blocks.0.op: must be one of .*did you mean 'twice"),
        ):
            assert old in text
            with pytest.raises(InvalidArchitectureError, match=fault):
                Architecture.from_json(text.replace(old, new))
        with pytest.raises(InvalidArchitectureError, match=r"blocks\.0\.middle_channels: must be"):
            network(dataclasses.replace(twice(), middle_channels=8.0))


def test_a_class_that_no_package_registers_is_refused(tmp_path):
    write_package(tmp_path, {"twice": "plugin:Twice"}, GOOD)
    with on_the_path(tmp_path):
        block = twice()
    with pytest.raises(InvalidArchitectureError, match=r"blocks\.0: must be mnas\.arch\."):
        network(block)


SPACE = """
schema: mnas.space/1
name: own
input: {channels: 3, resolution: 32}
stem: {kernel: 3, stride: 2, out_channels: 8, activation: relu}
stages:
  - {op: twice, MORE, out_channels: 16, activation: null, depth: 2}
head: [{op: pool}]
"""


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("kernel: 3", "7:.*middle_channels: op 'twice' needs `middle_channels`"),
        ("middle_channels: wide", "7:.*must be an integer from 0 to 65536; got 'wide'"),
        ("middle_channels: {each: [4, 0]}", "7:.*middle_channels: in stages.0: must be at least 1"),
        ("midle_channels: 4", "unknown field .did you mean 'middle_channels'"),
    ],
)
def test_faults_of_a_space_with_an_added_operator_name_the_line(tmp_path, more, fault):
    write_package(tmp_path, {"twice": "plugin:Twice"}, GOOD)
    with on_the_path(tmp_path), pytest.raises(InvalidSpaceError, match=fault):
        space_from_yaml(SPACE.replace("MORE", more))


def test_an_operator_that_nobody_knows_lists_the_known_ones():
    with pytest.raises(InvalidSpaceError, match=r"must be one of conv, .*; got 'twice'"):
        space_from_yaml(SPACE.replace("MORE", "kernel: 3"))
