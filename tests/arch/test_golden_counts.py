"""The plan of a published network costs what its original implementation costs."""

import golden
import pytest

from mnas.arch import Architecture, count


@pytest.mark.parametrize(("name", "quantity", "value"), golden.counts())
def test_published_network_has_the_computed_integer(name: str, quantity: str, value: int) -> None:
    assert getattr(count(golden.architecture(name)), quantity) == value


def test_every_golden_network_has_its_three_integers() -> None:
    quantities = ("params", "params_without_classifier", "macs")

    rows = [(name, quantity) for name, quantity, _ in golden.counts()]

    assert len(golden.NAMES) == 10
    assert sorted(rows) == sorted((name, kind) for name in golden.NAMES for kind in quantities)


@pytest.mark.parametrize("name", golden.NAMES)
def test_the_network_costs_the_sum_of_its_blocks(name: str) -> None:
    counts = count(golden.architecture(name))

    assert counts.params == sum(block.params for block in counts.blocks)
    assert counts.macs == sum(block.macs for block in counts.blocks)
    assert counts.peak_activation_bytes == max(
        block.peak_activation_bytes for block in counts.blocks
    )


def tiny(block: str) -> Architecture:
    """A document small enough to count by hand: 4x4 grey images, 2 channels."""
    return Architecture.from_json(
        f"""{{"schema": "mnas.architecture/1", "name": "tiny",
        "input": {{"channels": 1, "resolution": 4}}, "num_classes": 3,
        "padding": "symmetric", "norm": {{"eps": 1e-5, "momentum": 0.1}}, "dropout": 0,
        "stem": {{"kernel": 3, "stride": 1, "out_channels": 2, "activation": "relu"}},
        "blocks": [{block}], "head": [{{"op": "pool"}}]}}"""
    )


INVERTED = """{"op": "inverted_residual", "kernel": 3, "stride": 1, "expanded_channels": 6,
    "out_channels": 2, "activation": "relu", "expand": true, "se": %s, "residual": %s}"""


def test_peak_memory_worked_out_by_hand() -> None:
    """Maps are 4x4 = 16 elements of 4 bytes a channel.

    stem       1 -> 2 channels            16 + 32                     =  48 elements
    expand     2 -> 6, its input is held  32 + 96                     = 128
    depthwise  6 -> 6 beside the input    96 + 96 + 32                = 224, the largest
    project    6 -> 2 beside the input    96 + 32 + 32                = 160
    pool       2 -> 2 of one pixel        32 + 2
    """
    counts = count(tiny(INVERTED % ("null", "true")))

    assert counts.peak_activation_bytes == 224 * 4
    assert [block.peak_activation_bytes for block in counts.blocks] == [48 * 4, 224 * 4, 34 * 4, 20]


def test_the_input_of_the_first_layer_is_not_counted_twice() -> None:
    """A 2 -> 2 convolution with a residual: 32 elements in, which are the held ones, and 32 out."""
    conv = """{"op": "conv", "kernel": 3, "stride": 1, "out_channels": 2, "activation": "relu",
        "residual": true}"""

    assert count(tiny(conv)).blocks[1].peak_activation_bytes == (32 + 32) * 4


def test_without_residual_nothing_is_held() -> None:
    counts = count(tiny(INVERTED % ("null", "false")))

    assert counts.peak_activation_bytes == (96 + 96) * 4


def test_squeeze_and_excite_worked_out_by_hand() -> None:
    """Two 1x1 convolutions with biases on a vector: 6 -> 2 -> 6."""
    se = '{"channels": 2, "activation": "relu", "gate": "sigmoid"}'

    without, with_se = (
        count(tiny(INVERTED % ("null", "true"))),
        count(tiny(INVERTED % (se, "true"))),
    )

    assert with_se.params - without.params == (6 * 2 + 2) + (2 * 6 + 6)
    assert with_se.macs - without.macs == 6 * 2 + 2 * 6
    assert with_se.peak_activation_bytes == without.peak_activation_bytes


def test_params_and_macs_worked_out_by_hand() -> None:
    counts = count(tiny(INVERTED % ("null", "true")))

    stem = 9 * 2, 9 * 2 * 16
    expand, depthwise, project = 2 * 6, 9 * 6, 6 * 2
    norms = 2 * (6 + 6 + 2)
    assert [block.params for block in counts.blocks] == [
        stem[0] + 2 * 2,
        expand + depthwise + project + norms,
        0,
        2 * 3 + 3,
    ]
    assert counts.macs == stem[1] + 16 * (expand + depthwise + project) + 2 * 3
    assert counts.params_without_classifier == counts.params - 9
