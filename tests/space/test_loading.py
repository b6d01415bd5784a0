"""What a search space file may say, and how a wrong one is told."""

import re
import textwrap
from pathlib import Path

import pytest

from mnas.arch import DepthwiseSeparable, InvertedResidual, UnknownNameError
from mnas.space import (
    InvalidChoicesError,
    InvalidSpaceError,
    SearchSpace,
    load_published,
    load_space,
    space_from_yaml,
)

GOOD = """\
schema: mnas.space/1
name: tiny
input: {channels: 3, resolution: 32}
stem: {kernel: 3, stride: 2, out_channels: 8, activation: relu}
stages:
  - {op: inverted_residual, depth: 2, out_channels: 16, kernel: 3, expansion: 3, activation: relu,
     stride: 2}
  - {op: conv, kernel: 3, out_channels: 24, activation: relu}
head: [{op: conv, out_channels: 32, activation: relu}, {op: pool}]
"""


def space_with(old: str, new: str) -> SearchSpace:
    assert old in GOOD
    return space_from_yaml(GOOD.replace(old, new), "tiny.yaml")


def blocks_of(space: SearchSpace) -> list[object]:
    (arch,) = space.enumerate()
    return list(arch.blocks)


def faults_of(text: str) -> list[tuple[str, int | None, int | None]]:
    with pytest.raises(InvalidSpaceError, match="is not a search space") as caught:
        space_from_yaml(text, "tiny.yaml")
    return [(fault.place, fault.line, fault.column) for fault in caught.value.faults]


def test_all_faults_are_told_at_once_with_line_and_column():
    text = GOOD.replace("kernel: 3, expansion: 3", "kernel: [3, 4], expansion: -1, kernal: 3")
    text += "hed: 3\n"
    assert faults_of(text) == [
        ("stages.0.kernel.1", 6, 69),
        ("stages.0.expansion", 6, 84),
        ("stages.0.kernal", 6, 88),
        ("hed", 10, 1),
    ]


def test_a_misspelt_key_names_the_one_it_may_mean():
    with pytest.raises(
        InvalidSpaceError, match=r"kernal: unknown field \(did you mean 'kernel'\?\)"
    ):
        space_with("expansion: 3", "expansion: 3, kernal: 3")


def test_a_misspelt_value_names_the_one_it_may_mean():
    with pytest.raises(InvalidSpaceError, match=r"got 'rleu' \(did you mean 'relu'\?\)"):
        space_with("expansion: 3, activation: relu", "expansion: 3, activation: rleu")


def test_a_merged_key_is_located_at_its_alias():
    text = GOOD.replace("  - {op: conv,", "  - &one {op: conv, kernel: 4,").replace(
        "kernel: 3, out", "out"
    )
    text = text.replace("head:", "  - {<<: *one, stride: 1}\nhead:")
    assert faults_of(text) == [("stages.1.kernel", 8, 29), ("stages.2.kernel", 9, 10)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kernel: 3, expansion", "kernel: {each: 3}, expansion", "must be a list of options"),
        ("depth: 2", "depth: {each: [1, 2]}", "`each` cannot stand here"),
        ("depth: 2", "depth: []", "at least one option"),
        ("depth: 2", "depth: [2, 2]", "stands here twice"),
        ("depth: 2", "depth: [[1], 2]", "a list cannot be an option"),
        ("depth: 2", "depth: true", "an integer from 0 to 100; got true"),
        (
            "resolution: 32",
            "resolution: 32, side: 3",
            "unknown field; allowed: channels, resolution",
        ),
        ("name: tiny", "name: ../tiny", "beginning with a letter or digit; got '../tiny'"),
        ("expansion: 3", "expansion: 3, expanded_channels: 8", "give one of the two"),
        (
            "expansion: 3",
            "expansion: 3, se: {activation: relu, gate: sigmoid}",
            "give one of `ratio`",
        ),
        (" out_channels: 24,", "", "stages.1.out_channels: this field is required"),
        ("expansion: 3,", "", "op 'inverted_residual' needs `expansion` or `expanded_channels`"),
        ("{op: pool}", "{op: linear, out_features: 4}", "exactly one item with op 'pool'"),
        ("{op: pool}", "{op: pool, out_channels: 4}", "head.1.out_channels: unknown field"),
        ("schema: mnas.space/1", "schema: mnas.space/2", "must be one of mnas.space/1"),
        ("mnas.space/1\nname: tiny", "mnas.space/1", "name: this field is required"),
        ("resolution: 32", "resolution: [1, 32]", "resolution of 1 cannot be reduced"),
        ("resolution: 32", "resolution: 2", "the resolution vanishes"),
        ("activation: relu}\nstages", "activation: relu, scale: down}\nstages", "true, false, up"),
        ("activation: relu}\nhead", "activation: relu, op: conv}\nhead", "this key is given twice"),
        ("op: conv, kernel: 3", "op: conv, kernel: 0", "kernels must be odd"),
        (
            "expansion: 3, activation: relu",
            "expansion: 3, activation: null",
            "null is for op 'conv'",
        ),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str):
    with pytest.raises(InvalidSpaceError, match=re.escape(said)) as caught:
        space_with(old, new)
    assert all(fault.line is not None for fault in caught.value.faults)


def test_an_identity_where_the_shape_changes_is_an_error_that_names_first():
    with pytest.raises(InvalidSpaceError, match=r"16 -> 24 channels, stride 1; .* `first:`"):
        space_with("op: conv, kernel", "op: {each: [conv, identity]}, depth: 2, kernel")


def test_a_first_layer_of_its_own_mends_it():
    space = space_with(
        "op: conv, kernel", "op: {each: [conv, identity]}, depth: 2, first: {op: conv}, kernel"
    )
    assert list(space.choices) == ["stages.1.layers.1.op"]
    assert sorted(len(arch.blocks) for arch in space.enumerate()) == [3, 4]


def test_a_combination_that_no_layer_can_be_is_an_error_that_names_layer():
    with pytest.raises(InvalidSpaceError, match=r"start_kernel and kernel are both 0.*`layer:`"):
        space_with(
            "op: conv, kernel: 3",
            "op: universal_inverted_bottleneck, expansion: 2, stride: 2, "
            "start_kernel: [0, 3], kernel: [0, 3]",
        )


def test_nearest_wins():
    text = GOOD.replace(
        "stages:",
        "defaults: {kernel: 3, activation: silu, first: {kernel: 5, expansion: 4}}\nstages:",
    ).replace(
        ", kernel: 3, expansion: 3, activation: relu,", ", expansion: 3, first: {activation: relu},"
    )
    first, second, _ = blocks_of(space_from_yaml(text))
    assert isinstance(first, InvertedResidual)
    assert isinstance(second, InvertedResidual)
    # defaults < defaults.first < stage < stage's first
    assert (first.kernel, first.expanded_channels, first.activation) == (5, 24, "relu")
    assert (second.kernel, second.expanded_channels, second.activation) == (3, 48, "silu")


def test_the_chosen_layer_wins_over_everything():
    space = space_with(
        "kernel: 3, expansion: 3, activation: relu",
        "kernel: 3, expansion: 3, activation: relu, first: {kernel: 7}, "
        "layer: [{name: a, kernel: 5, expanded_channels: 40}, {name: b}]",
    )
    assert space.choices == {"stages.0.layer": ("a", "b")}
    kernels = [[block.kernel for block in arch.blocks[:2]] for arch in space.enumerate()]
    assert kernels == [[5, 5], [7, 3]]
    widths = [arch.blocks[0].expanded_channels for arch in space.enumerate()]
    assert widths == [40, 24]


def test_a_nearer_expansion_replaces_expanded_channels_of_the_defaults():
    text = GOOD.replace("stages:", "defaults: {expanded_channels: 64}\nstages:")
    assert blocks_of(space_from_yaml(text))[0].expanded_channels == 24


def test_stride_belongs_to_the_first_layer():
    assert [block.stride for block in blocks_of(space_from_yaml(GOOD))] == [2, 1, 1]


def test_expansion_one_has_no_expanding_convolution_unless_asked_for():
    without = blocks_of(space_with("expansion: 3", "expansion: 1"))
    assert isinstance(without[0], DepthwiseSeparable)
    assert without[0].pointwise_activation is None
    with_it = blocks_of(space_with("expansion: 3", "expansion: 1, expand: true"))
    assert isinstance(with_it[0], InvertedResidual)
    assert with_it[0].expanded_channels == 8


@pytest.mark.parametrize(
    "stated", ["expansion: 1.05", "expansion: 0.9", "expanded_channels: 8", "expansion: 1.1"]
)
def test_a_width_that_only_comes_to_the_input_s_keeps_its_expanding_convolution(stated):
    first = blocks_of(space_with("expansion: 3", stated))[0]
    assert isinstance(first, InvertedResidual)
    assert first.expanded_channels == 8  # as many as come in


def test_width_does_not_decide_whether_there_is_an_expanding_convolution():
    text = GOOD.replace("expansion: 3", "expanded_channels: 12") + "width: [0.5, 1.0, 2.0]\n"
    first = [arch.blocks[0] for arch in space_from_yaml(text).enumerate()]
    assert [type(block) for block in first] == [InvertedResidual] * 3
    assert [block.expanded_channels for block in first] == [8, 12, 24]


def test_residual_is_where_shapes_allow_unless_false():
    assert [block.residual for block in blocks_of(space_from_yaml(GOOD))] == [False, True, False]
    never = blocks_of(space_with("expansion: 3", "expansion: 3, residual: false"))
    assert [block.residual for block in never] == [False, False, False]


def test_width_multiplies_numbers_and_rounds_and_scale_holds_them():
    text = (
        GOOD.replace("stem: {", "width: [0.5, 1.0, 2.0]\nstem: {scale: false, ")
        .replace("expansion: 3", "expanded_channels: 20")
        .replace("head: [{op: conv", "head: [{scale: up, op: conv")
    )
    half, one, two = space_from_yaml(text).enumerate()
    assert [arch.stem.out_channels for arch in (half, one, two)] == [8, 8, 8]
    assert [arch.blocks[0].expanded_channels for arch in (half, one, two)] == [16, 20, 40]
    assert [arch.blocks[2].out_channels for arch in (half, one, two)] == [16, 24, 48]
    assert [arch.head[0].out_channels for arch in (half, one, two)] == [32, 32, 64]


def test_squeeze_and_excite_rounds_with_its_own_rule():
    se = "{ratio: 0.25, of: %s, activation: relu, gate: sigmoid%s}"
    plain = space_with("expansion: 3", "expansion: 3, se: " + se % ("expanded", ""))
    assert blocks_of(plain)[1].se.channels == 16  # 12 rounded to 8 would lose too much
    own = ", rounding: {divisor: 1}"
    exact = space_with("expansion: 3", "expansion: 3, se: " + se % ("input", own))
    assert [block.se.channels for block in blocks_of(exact)[:2]] == [2, 4]


def test_depth_zero_leaves_the_stage_out():
    space = space_with("depth: 2", "depth: [0, 1]")
    assert [len(arch.blocks) for arch in space.enumerate()] == [1, 2]


def test_a_list_in_place_of_a_head_item_is_a_choice_and_null_leaves_it_out():
    space = space_with(
        "{op: pool}]", "{op: pool}, [null, {name: big, op: linear, out_features: 64}]]"
    )
    assert space.choices == {"head.2": (None, "big")}
    assert [len(arch.head) for arch in space.enumerate()] == [2, 3]


def test_choices_are_named_by_place_and_stage_name():
    text = textwrap.dedent("""\
        schema: mnas.space/1
        name: named
        input: {channels: 3, resolution: [32, 48]}
        width: [1.0, 1.5]
        stem: {kernel: [3, 5], stride: 2, out_channels: 8, activation: relu}
        stages:
          - {name: body, op: inverted_residual, depth: [1, 2], stride: 2, out_channels: [8, 16],
             kernel: {each: [3, 5]}, expansion: [2, 3], activation: relu,
             se: [null, {ratio: [0.25, 0.5], activation: relu, gate: sigmoid}]}
        head: [{op: conv, out_channels: [16, 32], activation: relu}, {op: pool}]
        """)
    se = '{"ratio": [0.25, 0.5], "activation": "relu", "gate": "sigmoid"}'
    assert space_from_yaml(text).choices == {
        "width": (1.0, 1.5),
        "resolution": (32, 48),
        "stem.kernel": (3, 5),
        "stages.body.depth": (1, 2),
        "stages.body.out_channels": (8, 16),
        "stages.body.expansion": (2, 3),
        "stages.body.se": (None, se),
        "stages.body.se.1.ratio": (0.25, 0.5),
        "stages.body.layers.0.kernel": (3, 5),
        "stages.body.layers.1.kernel": (3, 5),
        "head.0.out_channels": (16, 32),
    }


def test_a_network_option_replaces_whole_keys_and_leads_their_names():
    text = GOOD.replace("depth: 2", "depth: [1, 2]") + textwrap.dedent("""\
        width: [1.0, 2.0]
        network:
          - {name: plain}
          - name: other
            stages: [{op: conv, kernel: [1, 3], out_channels: 8, activation: relu}]
        """)
    space = space_from_yaml(text)
    assert space.choices == {
        "network": ("plain", "other"),
        "width": (1.0, 2.0),
        "stages.0.depth": (1, 2),
        "other.stages.0.kernel": (1, 3),
    }
    assert sorted(len(arch.blocks) for arch in space.enumerate()) == [1, 1, 1, 1, 2, 2, 3, 3]


def test_an_unknown_bare_name_lists_the_shipped_ones():
    with pytest.raises(UnknownNameError, match="did you mean 'mobilenet_v2'"):
        load_space("mobilenet_v22")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InvalidSpaceError, match=r"none\.yaml cannot be read:\n.*No such file"):
        load_space(tmp_path / "none.yaml")


def test_a_file_that_is_not_yaml_is_told_with_its_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("schema: mnas.space/1\nname: [", encoding="utf-8")
    with pytest.raises(InvalidSpaceError, match=r"broken\.yaml is not YAML:\n  2:8:"):
        load_space(path)


def test_for_data_replaces_what_the_data_decides():
    space = space_from_yaml(GOOD)
    grey = space.for_data(num_classes=7, channels=1)
    (arch,) = grey.enumerate()
    assert (arch.num_classes, arch.input.channels) == (7, 1)
    assert grey.digest != space.digest
    assert grey.choices == space.choices
    assert space.for_data(7, 1) == grey


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((10**12, 3), "num_classes must be .* from 1 to 1000000"),
        ((10, 10**6), "channels must be .* from 1 to 4096"),
    ],
)
def test_for_data_refuses_what_no_file_may_say(numbers, said):
    with pytest.raises(InvalidChoicesError, match=said):
        space_from_yaml(GOOD).for_data(*numbers)


@pytest.mark.parametrize("given", [3, None])
def test_what_is_no_path_is_told(given):
    with pytest.raises(TypeError, match="load_space takes a path or the name of a shipped space"):
        load_space(given)


def test_what_is_no_random_generator_is_told():
    with pytest.raises(TypeError, match=r"sample takes a random\.Random, .*; got 0"):
        space_from_yaml(GOOD).sample(0)


@pytest.mark.parametrize("numbers", [(0, 3), (10, -1), (10.0, 3), (True, 3), ("10", 3)])
def test_for_data_refuses_what_no_data_has(numbers):
    with pytest.raises(InvalidChoicesError, match=r"integers of at least 1; got num_classes="):
        space_from_yaml(GOOD).for_data(*numbers)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.yaml", b"", r"got an empty file"),
        ("comment.yaml", b"# nothing else\n", r"got an empty file"),
        ("archive.yaml", b"PK\x03\x04", r"not text: character 2 has the code 0x03"),
        ("image.yaml", b"\x89PNG", r"not UTF-8 text \(invalid start byte at byte 0\)"),
        ("list.yaml", b"[1, 2]", r"1:1: document: must be a mapping.*got \[1, 2\]"),
    ],
)
def test_a_file_that_is_something_else_is_told_as_what_it_is(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidSpaceError, match=f"{re.escape(name)} .*:\n.*{said}"):
        load_space(tmp_path / name)


def test_a_folder_is_no_space(tmp_path, monkeypatch):
    (tmp_path / "spaces").mkdir()
    monkeypatch.chdir(tmp_path)
    for given in (tmp_path / "spaces", "spaces"):
        with pytest.raises(InvalidSpaceError, match="it is a folder; name a file in it"):
            load_space(given)


def test_a_folder_does_not_hide_the_space_that_ships(tmp_path, monkeypatch):
    (tmp_path / "small_28").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_space("small_28").name == "small_28"


@pytest.mark.parametrize("given", ["small_28.yaml", "search_spaces/small_28", Path("small_28")])
def test_a_missing_file_named_like_a_shipped_space_tells_its_name(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSpaceError, match=r"No such file(.|\n)*no folder: 'small_28'"):
        load_space(given)


@pytest.mark.parametrize("given", ["MobileNet-V2", "mobilenetv2", "MOBILENET_V2"])
def test_another_spelling_of_a_shipped_name_is_understood(given):
    with pytest.raises(UnknownNameError, match=r"search space.*did you mean 'mobilenet_v2'"):
        load_space(given)
    with pytest.raises(UnknownNameError, match=r"published network.*did you mean 'mobilenet_v2'"):
        load_published(given)


def test_the_digest_does_not_see_comments_and_flow():
    spread = GOOD.replace(
        "input: {channels: 3, resolution: 32}", "input: # here\n  channels: 3\n  resolution: 32"
    )
    assert space_from_yaml(spread).digest == space_from_yaml(GOOD).digest
    assert space_with("depth: 2", "depth: 3").digest != space_from_yaml(GOOD).digest


def test_the_names_of_networks_are_not_the_name_of_the_space():
    text = GOOD.replace("name: tiny\n", "network: [{name: a}, {name: b, width: 2.0}]\n")
    assert ("name", 1, 1) in faults_of(text)
