"""The files that ship: every one loads, and a published network is one point of its space."""

import json
import random

import pytest

from mnas.arch import (
    Architecture,
    InvalidArchitectureError,
    UnknownNameError,
    count,
    shipped_folder,
)
from mnas.space import load_published, load_space, published, scaled, shipped_spaces

SPACES = sorted(shipped_folder("search_spaces").rglob("*.yaml"))
NETWORKS = sorted((shipped_folder("search_spaces") / "published").glob("*.json"))
MEMBERS = {
    "mobilenet_v1": "mobilenet_v1",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_large": "mobilenet_v3",
    "mobilenet_v3_small": "mobilenet_v3",
    "mnasnet_a1": "mnasnet",
    "proxylessnas_mobile": "proxylessnas",
    "proxylessnas_cpu": "proxylessnas",
    "proxylessnas_gpu": "proxylessnas",
    "fbnet_c": "fbnet",
    "ofa_pixel1_20ms": "ofa_mobilenet_v3",
    "mobilenet_v4_conv_small": "mobilenet_v4",
}
# Counted from the original implementations; ProxylessNAS for CPU and GPU: the released networks.
PARAMETERS = {
    "efficientnet_b0": (5288548, 385814752),
    "efficientnet_v2_b0": (7139704, 718086176),
    "fbnet_c": (5572200, 384960160),
    "mnasnet_a1": (3887038, 311579072),
    "mobilenet_v1": (4231976, 568740352),
    "mobilenet_v2": (3504872, 300774272),
    "mobilenet_v3_large": (5483032, 216589760),
    "mobilenet_v3_small": (2542856, 56510400),
    "mobilenet_v4_conv_small": (3774024, 186005568),
    "ofa_pixel1_20ms": (4304592, 76664384),
    "proxylessnas_cpu": (4361648, 439243864),
    "proxylessnas_gpu": (7119848, 465260160),
    "proxylessnas_mobile": (4080512, 320427584),
}


def test_spaces_and_networks_were_found():
    assert {"small_digits", "small_28", *MEMBERS.values()} <= {path.stem for path in SPACES}
    assert set(published()) == {path.stem for path in NETWORKS} == set(PARAMETERS)


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_shipped_space_loads_and_says_nothing_in_vain(path):
    space = load_space(path)
    assert space.name == path.stem
    assert space.source
    assert space.warnings() == []
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


@pytest.mark.parametrize(("name", "counts"), PARAMETERS.items())
def test_published_networks_have_their_published_counts(name, counts):
    counted = count(load_published(name))
    assert (counted.params, counted.macs) == counts


@pytest.mark.parametrize(("name", "space_name"), MEMBERS.items())
def test_a_published_network_is_one_point_of_its_space(name, space_name):
    space, arch = load_space(space_name), load_published(name)
    assert space.why_not(arch) == ""
    assert space.decode(space.encode(arch)).id == arch.id


def test_an_unknown_published_network_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"did you mean 'mobilenet_v2'.*mobilenet_v1"):
        load_published("mobilenet_v22")


@pytest.mark.parametrize("name", PARAMETERS)
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
