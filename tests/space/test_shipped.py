"""The files that ship: every one loads, and a published network is one point of its space."""

import json
import random

import golden
import pytest

from mnas.arch import (
    Architecture,
    InvalidArchitectureError,
    UnknownNameError,
    count,
    plan,
    shipped_folder,
)
from mnas.arch.layers import Norm
from mnas.space import load_published, load_space, published, scaled, shipped_spaces

SPACES = sorted(shipped_folder("search_spaces").rglob("*.yaml"))
NETWORKS = sorted((shipped_folder("search_spaces") / "published").glob("*.json"))
MEMBERS = {
    "mobilenet_v1": "mobilenet_v1",
    "mobilenet_v1_025": "mobilenet_v1",
    "mobilenet_v1_050": "mobilenet_v1",
    "mobilenet_v1_075": "mobilenet_v1",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v2_035": "mobilenet_v2",
    "mobilenet_v2_050": "mobilenet_v2",
    "mobilenet_v2_075": "mobilenet_v2",
    "mobilenet_v2_140": "mobilenet_v2",
    "mobilenet_v3_large": "mobilenet_v3",
    "mobilenet_v3_large_075": "mobilenet_v3",
    "mobilenet_v3_large_minimal": "mobilenet_v3",
    "mobilenet_v3_small": "mobilenet_v3",
    "mobilenet_v3_small_075": "mobilenet_v3",
    "mobilenet_v3_small_minimal": "mobilenet_v3",
    "mnasnet_a1": "mnasnet",
    "mnasnet_b1": "mnasnet",
    "mnasnet_b1_050": "mnasnet",
    "mnasnet_b1_075": "mnasnet",
    "mnasnet_b1_140": "mnasnet",
    "mnasnet_small": "mnasnet",
    "proxylessnas_mobile": "proxylessnas",
    "proxylessnas_cpu": "proxylessnas",
    "proxylessnas_gpu": "proxylessnas",
    "fbnet_c": "fbnet",
    "ofa_pixel1_20ms": "ofa_mobilenet_v3",
    "ofa_note8_22ms": "ofa_mobilenet_v3",
    "ofa_note8_31ms": "ofa_mobilenet_v3",
    "mobilenet_v4_conv_large": "mobilenet_v4",
    "mobilenet_v4_conv_medium": "mobilenet_v4",
    "mobilenet_v4_conv_small": "mobilenet_v4",
}
SOURCES = shipped_folder("search_spaces") / "published" / "SOURCES.md"


def test_spaces_and_networks_were_found():
    assert {"small_digits", "small_28", *MEMBERS.values()} <= {path.stem for path in SPACES}
    assert set(published()) == {path.stem for path in NETWORKS}
    assert len(NETWORKS) >= 60


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_shipped_space_loads_and_says_nothing_in_vain(path):
    space = load_space(path)
    assert space.name == path.stem
    assert space.source
    assert space.warnings() == []
    if path.stem != "mnasnet":  # takes seconds; test_sizes counts it
        assert space.size().architectures is not None
    assert space.contains(space.sample(random.Random(0)))
    assert load_space(path.stem) == space


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_every_published_network_is_its_own_canonical_document(path):
    text = path.read_text(encoding="utf-8")
    arch = Architecture.from_json(text)
    assert arch.name == path.stem
    assert arch.to_json() == text
    assert load_published(path.stem) == arch


@pytest.mark.parametrize("row", golden.published(), ids=lambda row: f"{row.network}-{row.quantity}")
def test_a_published_network_has_the_figure_that_others_published(row):
    assert abs(measured(row.network, row.quantity) - row.value) <= row.tolerance


def measured(name, quantity):
    arch = load_published(name)
    counts = count(arch)
    layers = [layer for block in plan(arch).blocks for layer in block.layers]
    statistics = 2 * sum(layer.in_channels for layer in layers if isinstance(layer, Norm))
    return {
        "params": counts.params,
        "macs": counts.macs,
        "params_and_statistics": counts.params + statistics,
        "backbone_params_and_statistics": counts.params_without_classifier + statistics,
    }[quantity]


def test_every_published_network_is_held_against_a_published_figure():
    assert {row.network for row in golden.published()} == set(published())


def test_every_published_network_has_its_source_and_its_exact_counts_in_the_list():
    rows = [line.strip("| ").split(" | ") for line in SOURCES.read_text().splitlines()]
    listed = {row[0]: row[1:] for row in rows if row[0] in published()}
    assert list(listed) == published()
    for name, (source, *numbers) in listed.items():
        arch, counts = load_published(name), count(load_published(name))
        assert source
        expected = [arch.input.resolution, counts.params, counts.macs]
        assert [int(number.replace(" ", "")) for number in numbers] == expected


@pytest.mark.parametrize(("name", "space_name"), MEMBERS.items())
def test_a_published_network_is_one_point_of_its_space(name, space_name):
    space, arch = load_space(space_name), load_published(name)
    assert space.why_not(arch) == ""
    assert space.decode(space.encode(arch)).id == arch.id


def test_an_unknown_published_network_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"did you mean 'mobilenet_v2'.*mobilenet_v1"):
        load_published("mobilenet_v22")


@pytest.mark.parametrize("name", published())
@pytest.mark.parametrize("width", [0.25, 0.5, 1.4])
def test_published_networks_scale(name, width):
    arch = scaled(load_published(name), width=width, resolution=64, num_classes=10, channels=1)
    assert arch.name.endswith(f"x{width:g} @64")
    assert (arch.input.resolution, arch.input.channels, arch.num_classes) == (64, 1, 10)
    assert arch.stem.out_channels % 8 == 0
    assert len(arch.blocks) == len(load_published(name).blocks)


def test_scaling_by_nothing_changes_nothing():
    for name in published():
        assert scaled(load_published(name)) == load_published(name)


def test_scaled_mobilenet_v1_is_the_paper_s_multiplier():
    space = load_space("mobilenet_v1")
    arch = scaled(load_published("mobilenet_v1"), width=0.5, resolution=160)
    assert space.encode(arch) == {"width": 0.5, "resolution": 160}


def test_a_width_that_is_not_above_zero_is_refused():
    with pytest.raises(InvalidArchitectureError, match="width: must be above 0; got 0"):
        scaled(load_published("mobilenet_v1"), width=0.0)


@pytest.mark.parametrize("name", shipped_spaces())
def test_the_digest_is_stable_and_depends_on_the_data(name):
    space = load_space(name)
    assert space.digest == load_space(name).digest
    assert len(space.digest) == 64
    assert json.dumps(space.document.value)  # plain values only
    assert space.for_data(num_classes=3, channels=1).digest != space.digest
