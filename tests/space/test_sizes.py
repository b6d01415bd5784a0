"""How large spaces are: exact integers, some of them published."""

import pytest
from hypothesis import given, settings

from mnas.space import SearchSpace, load_space, space_from_yaml
from mnas.space.automaton import Automaton
from mnas.space.sizes import size_of
from tests.space.documents import space_of_document
from tests.strategies import space_documents

NAS_BENCH_MACRO = """\
schema: mnas.space/1
name: nas_bench_macro
source: "Su et al. 2021, arXiv:2103.11922"
input: {channels: 3, resolution: 32}
num_classes: 10
stem: {kernel: 3, stride: 1, out_channels: 32, activation: relu}
defaults:
  op: inverted_residual
  activation: relu
  stride: 2
  layer:
    each:
      - {name: identity, op: identity}
      - &small {name: mb3_k3, kernel: 3, expansion: 3}
      - &large {name: mb6_k5, kernel: 5, expansion: 6}
  first:
    layer: {each: [{name: identity, op: conv, kernel: 1, activation: null}, *small, *large]}
stages:
  - {out_channels: 64, depth: 2}
  - {out_channels: 128, depth: 3}
  - {out_channels: 256, depth: 3}
head:
  - {op: conv, out_channels: 1280, activation: relu}
  - {op: pool}
"""


def one_of_ofa() -> SearchSpace:
    document = load_space("ofa_mobilenet_v3").document.value
    return space_of_document(
        {**document, "input": {"channels": 3, "resolution": 224}, "width": 1.0}
    )


@pytest.mark.parametrize(
    ("space", "encodings", "architectures"),
    [
        # Cai et al. 2020: (9^2 + 9^3 + 9^4)^5 at one resolution and width
        (one_of_ofa(), 21758655492572485851, 21758655492572485851),
        # Su et al. 2021: 3^8 encodings; identities within a stage can stand anywhere
        (space_from_yaml(NAS_BENCH_MACRO), 6561, 3969),
        # Wu et al. 2019 without grouped convolutions
        (load_space("fbnet"), 7**22, 959809624490794357),
        # Cai, Zhu and Han 2019: three devices
        (load_space("proxylessnas"), 3 * 6**6 * 7**15, 3 * (6 * (1 + 6 + 36 + 216)) ** 5 * 6),
        # Cai et al. 2020, with all 25 resolutions and both widths
        (
            load_space("ofa_mobilenet_v3"),
            50 * 21758655492572485851,
            50 * 21758655492572485851,
        ),
        # Tan et al. 2019: 432 for each of 5 stages; here without the pooling skip (288), and a
        # plain convolution has no squeeze-and-excite (252); the last stage is a choice, too (42);
        # B1 has 4 widths
        (
            load_space("mnasnet"),
            (1 + 4) * 252**5 * 42 + 28 * 168 * 252**3 * 42,
            143238287291904,
        ),
        # Howard et al. 2017: 4 widths and 4 resolutions
        (load_space("mobilenet_v1"), 16, 16),
    ],
    ids=["ofa", "nas-bench-macro", "fbnet", "proxylessnas", "whole ofa", "mnasnet", "mobilenet_v1"],
)
def test_published_spaces_have_their_published_sizes(
    space: SearchSpace, encodings: int, architectures: int
):
    assert space.size().encodings == encodings
    assert space.size().architectures == architectures
    assert space.size().reason is None


def test_the_benchmark_s_networks_have_the_benchmark_s_parameters():
    from mnas.arch import count

    space = space_from_yaml(NAS_BENCH_MACRO)
    names = list(space.choices)
    options = ("identity", "mb3_k3", "mb6_k5")
    # parameters and FLOPs as the benchmark's file gives them
    for digits, params, macs in (
        ("00000000", 387882, 7713280),
        ("10000000", 396298, 12128768),
        ("22222222", 2932586, 105660928),
    ):
        choices = {name: options[int(d)] for name, d in zip(names, digits, strict=True)}
        counts = count(space.decode(choices))
        assert (counts.params, counts.macs) == (params, macs)


@settings(max_examples=40, deadline=None)
@given(space_documents())
def test_size_is_what_enumeration_counts(document):
    space = space_of_document(document)
    networks = list(space.enumerate())
    size = space.size()
    assert size.encodings == len(networks)
    assert size.architectures == len(set(networks))


def test_equal_networks_across_stages_count_once():
    stage = {"op": "conv", "kernel": 3, "depth": [1, 2], "out_channels": 8, "activation": "relu"}
    space = space_of_document(
        {
            "schema": "mnas.space/1",
            "name": "twice",
            "input": {"channels": 3, "resolution": 16},
            "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
            "stages": [stage, stage],
            "head": [{"op": "pool"}],
        }
    )
    assert (space.size().encodings, space.size().architectures) == (4, 3)


def test_past_the_limit_the_architectures_are_not_counted_and_the_reason_is_said():
    space = load_space("small_digits")
    size = size_of(Automaton(space._identified.template), most_steps=10)
    assert size.architectures is None
    assert "more than 10 steps" in str(size.reason)
    assert size.encodings == space.size().encodings
