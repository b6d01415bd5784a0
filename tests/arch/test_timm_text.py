"""Networks in timm's notation, held against timm's rules written a second time in the tests."""

import dataclasses
import json
from typing import Any

import golden
import pytest
from hypothesis import given, settings
from strategies import architectures
from timm_rules import blocks_of, executed

from mnas.arch import (
    SE,
    Architecture,
    InvalidTimmTextError,
    NoTimmTextError,
    count,
    read_timm_text,
    timm_text,
)
from mnas.arch.canonical import to_fields
from mnas.arch.heads import HeadConv, HeadLinear, HeadPool
from mnas.space import load_published, published

NETWORKS = {
    **{name: golden.architecture(name) for name in golden.NAMES},
    **{name: load_published(name) for name in published()},
}
BASE = golden.architecture("tv_mobilenet_v3_large")


def assert_timm_would_build(arch: Architecture) -> None:
    told = executed(timm_text(arch))
    found, wanted = blocks_of(told), to_fields(arch.blocks)
    assert found[: len(wanted)] == wanted
    convs = [
        {"op": "conv", "kernel": 1, "stride": 1, "out_channels": item.out_channels,
         "activation": item.activation, "residual": False}
        for item in arch.head
        if isinstance(item, HeadConv) and arch.head.index(item) < arch.head.index(HeadPool())
    ]  # fmt: skip
    given = told.given
    if told.model == "EfficientNet" and given["num_features"]:
        last = {**convs.pop(), "out_channels": given["num_features"]}
        assert last["activation"] == given["act_layer"]
        assert arch.head[-2].out_channels == given["num_features"]
    assert found[len(wanted) :] == convs
    after = arch.head[arch.head.index(HeadPool()) + 1 :]
    assert (told.model == "MobileNetV3") == bool(after)
    for item in after:
        size = item.out_features if isinstance(item, HeadLinear) else item.out_channels
        assert (size, item.activation) == (given["num_features"], given["act_layer"])
        assert (item.norm, item.bias) == (given.get("head_norm", False), given["head_bias"])
    assert given["act_layer"] == arch.stem.activation
    assert (given["num_classes"], given["in_chans"]) == (arch.num_classes, arch.input.channels)
    assert given["stem_size"] == arch.stem.out_channels
    assert given.get("stem_kernel_size", 3) == arch.stem.kernel
    assert given["pad_type"] == ("same" if arch.padding == "same" else "")
    assert given["norm_layer"].keywords == to_fields(arch.norm)
    assert given["drop_rate"] == arch.dropout


@pytest.mark.parametrize("name", NETWORKS)
def test_timm_would_build_every_published_network(name):
    assert_timm_would_build(NETWORKS[name])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_text_reads_back_as_the_same_network(name):
    arch = NETWORKS[name]
    again = read_timm_text(timm_text(arch), arch.name)
    assert again.blocks[: len(arch.blocks)] == arch.blocks
    assert (count(again).params, count(again).macs) == (count(arch).params, count(arch).macs)
    assert timm_text(again).splitlines()[1:] == timm_text(arch).splitlines()[1:]


def refused(arch: Architecture) -> str:
    try:
        timm_text(arch)
    except NoTimmTextError as error:
        return str(error)
    return ""


@settings(max_examples=60)
@given(arch=architectures(max_blocks=4))
def test_any_network_is_said_exactly_or_refused_with_a_place(arch):
    refusal = refused(arch)
    if refusal:
        assert refusal.startswith(f"{arch.name} cannot be said in timm's notation: ")
        assert refusal.split(": ")[1].startswith(("stem.", "blocks.", "head."))
        return
    assert_timm_would_build(arch)
    again = read_timm_text(timm_text(arch))
    assert (count(again).params, count(again).macs) == (count(arch).params, count(arch).macs)


@pytest.mark.parametrize(
    ("name", "strings"),
    [
        ("mobilenet_v3_large", ["ir_r3_k5_s2_e3_c40_nre_se0.25"]),
        ("mnasnet_a1", ["ir_r3_k5_s2_e3_c40_se0.25"]),
        ("efficientnet_v2_b0", ["er_r2_k3_s2_e4_c32"]),
        ("mobilenet_v1", ["dsa_r6_k3_s2_c512"]),
        (
            "mobilenet_v4_conv_small",
            ["uir_r1_a5_k5_s2_e3_c96", "uir_r4_a0_k3_s1_e2_c96", "uir_r1_a3_k0_s1_e4_c96"],
        ),
        ("single_path_nas", ["ir_r1_k3_s1_e6_c320"]),
        ("efficientnet_v2_s", ["cn_r2_k3_s1_c24_skip"]),
    ],
)
def test_the_strings_are_those_that_timm_has_for_its_own_models(name, strings):
    assert strings in executed(timm_text(load_published(name))).arch_def


def changed(index: int, **fields: Any) -> Architecture:
    blocks = list(BASE.blocks)
    blocks[index] = dataclasses.replace(blocks[index], **fields)
    return dataclasses.replace(BASE, blocks=tuple(blocks))


HARD = SE(channels=24, activation="relu", gate="hard_sigmoid")


@pytest.mark.parametrize(
    ("arch", "problem"),
    [
        (dataclasses.replace(BASE, stem=dataclasses.replace(BASE.stem, stride=1)), "stem.stride"),
        (dataclasses.replace(BASE, stem=dataclasses.replace(BASE.stem, kernel=5)), "stem.kernel"),
        (changed(1, expanded_channels=60), "blocks.1.expanded_channels must be a multiple of 8"),
        (changed(14, out_channels=150, residual=False), "blocks.14.out_channels must be a mult"),
        (changed(1, stride=3), "blocks.1.stride is 1 or 2 in timm; got 3"),
        (changed(2, stride=2, residual=False), "blocks.12.stride makes 64 in all; timm dilates"),
        (changed(1, activation="gelu"), "blocks.1.activation gelu has no letters in timm"),
        (changed(0, pointwise_activation="silu"), "blocks.0.pointwise_activation must be relu"),
        (changed(0, pointwise_activation="relu"), "blocks.0.residual is never there with a point"),
        (
            changed(3, se=dataclasses.replace(HARD, gate="sigmoid")),
            "blocks.4.se.gate must be that of blocks.3.se, timm has one",
        ),
        (
            changed(4, se=dataclasses.replace(HARD, activation="silu")),
            "blocks.4.se.activation must be its block's or one for the network",
        ),
        (
            dataclasses.replace(BASE, head=(*BASE.head, BASE.head[-1])),
            "head.3 is one layer too many",
        ),
        (
            dataclasses.replace(
                BASE, head=(*BASE.head[:2], dataclasses.replace(BASE.head[2], activation="relu"))
            ),
            "head.2.activation must be the stem's, hard_swish, in timm; got relu",
        ),
        (
            dataclasses.replace(
                BASE, head=(*BASE.head[:2], dataclasses.replace(BASE.head[2], norm=True))
            ),
            "head.2.bias cannot stand beside a norm",
        ),
        (
            dataclasses.replace(
                BASE, head=(dataclasses.replace(BASE.head[0], bias=True), *BASE.head[1:])
            ),
            "head.0 has norm and no bias before the pool",
        ),
        (
            dataclasses.replace(
                BASE, head=(dataclasses.replace(BASE.head[0], activation=None), *BASE.head[1:])
            ),
            "head.0.activation cannot be null",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_timm_cannot_say_is_refused_with_its_place(arch, problem):
    with pytest.raises(NoTimmTextError, match=f"^{arch.name} cannot be said .*: {problem}"):
        timm_text(arch)


def test_any_number_of_squeezed_channels_can_be_said():
    arch = changed(3, se=dataclasses.replace(HARD, channels=13))
    assert_timm_would_build(arch)
    assert read_timm_text(timm_text(arch)).blocks[3].se.channels == 13


def test_a_gelu_network_is_said_when_all_of_it_is_gelu():
    document = json.loads(golden.document("tv_mobilenet_v2"))
    text = json.dumps(document).replace("relu6", "gelu")
    assert_timm_would_build(Architecture.from_json(text))


def test_a_name_cannot_break_out_of_the_text():
    arch = dataclasses.replace(BASE, name='a """ b\\\nimport os')
    assert read_timm_text(timm_text(arch)).blocks[: len(arch.blocks)] == arch.blocks
    assert executed(timm_text(arch)).model == "MobileNetV3"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ARCH_DEF = [", "ARCH = ["),
        ("ds_r1", "xx_r1"),
        ("_c16_nre", "_c16_nzz"),
        ("_k3_s1_c16", "_c16"),
        ("num_classes=1000,", "num_classes=1000"),
        ("stem_size=16", "stem_size=print(1)"),
        ("(3, 224, 224)", "(3, 224)"),
        ("num_classes=1000", "num_classes=0"),
        ("return MobileNetV3(", "MobileNetV3("),
    ],
)
def test_another_text_is_refused_and_never_run(old, new):
    text = timm_text(BASE)
    assert old in text
    with pytest.raises(InvalidTimmTextError, match="not a "):
        read_timm_text(text.replace(old, new, 1))
