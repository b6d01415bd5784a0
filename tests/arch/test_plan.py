"""The plan: a chain of blocks with every size, each found again by its key."""

import dataclasses
import itertools
import json
import pickle

import golden
import pytest
from hypothesis import given
from strategies import architectures

from mnas.arch import (
    Architecture,
    InvalidArchitectureError,
    PlannedBlock,
    plan,
    planned_from_key,
)
from mnas.arch.layers import output_of

GOLDEN = [golden.architecture(name) for name in golden.NAMES]


@given(arch=architectures())
def test_each_block_takes_what_the_one_before_gives(arch: Architecture) -> None:
    blocks = plan(arch).blocks

    assert (blocks[0].in_channels, blocks[0].size) == (arch.input.channels, arch.input.resolution)
    for before, after in itertools.pairwise(blocks):
        assert (after.in_channels, after.size) == (before.out_channels, before.out_size)
    assert (blocks[-1].out_channels, blocks[-1].out_size) == (arch.num_classes, None)


@given(arch=architectures())
def test_each_layer_takes_what_the_one_before_gives(arch: Architecture) -> None:
    for block in plan(arch).blocks:
        shape = (block.in_channels, block.size)
        for layer in block.layers:
            size = getattr(layer, "size", None)  # of vectors, linear layers and dropout have none
            assert layer.in_channels == shape[0]
            assert size == shape[1] or (shape[1] == 1 and size is None)
            shape = output_of(layer)
        assert shape == (block.out_channels, block.out_size)


@given(arch=architectures())
def test_layers_of_a_block_have_names_of_their_own(arch: Architecture) -> None:
    for block in plan(arch).blocks:
        names = [layer.name for layer in block.layers]
        assert len(set(names)) == len(names)


@given(arch=architectures())
def test_places_are_those_of_the_document(arch: Architecture) -> None:
    planned = plan(arch)
    document = json.loads(arch.to_json())

    for place, block in zip(planned.places[:-1], planned.blocks[:-1], strict=True):
        name, _, index = place.partition(".")
        written = document[name][int(index)] if index else document[name]
        key = json.loads(block.key)
        assert {field: key[field] for field in written if field != "op"} == {
            field: value for field, value in written.items() if field != "op"
        }
    assert planned.places[-1] == "classifier"


def keyed_apart_from_dropout(block: PlannedBlock) -> PlannedBlock:
    """Dropout does nothing when a network is used, so a key does not hold it."""
    return dataclasses.replace(
        block, layers=tuple(layer for layer in block.layers if layer.name != "dropout")
    )


@pytest.mark.parametrize("arch", GOLDEN, ids=golden.NAMES)
def test_a_published_block_is_found_again_by_its_key(arch: Architecture) -> None:
    for block in plan(arch).blocks:
        assert planned_from_key(block.key) == keyed_apart_from_dropout(block)


@given(arch=architectures())
def test_a_block_is_found_again_by_its_key(arch: Architecture) -> None:
    for block in plan(arch).blocks:
        assert planned_from_key(block.key) == keyed_apart_from_dropout(block)


def test_the_same_block_in_two_networks_has_one_key() -> None:
    arch = GOLDEN[0]
    other = dataclasses.replace(arch, name="other", num_classes=7, dropout=0.5)

    shared = {block.key for block in plan(arch).blocks} & {
        block.key for block in plan(other).blocks
    }

    assert len(shared) == len({block.key for block in plan(arch).blocks}) - 1


def test_a_key_is_readable_json_with_what_comes_in() -> None:
    stem = plan(golden.architecture("tv_mobilenet_v2")).blocks[0]

    assert stem.key == (
        '{"activation":"relu6","in_channels":3,"kernel":3,"op":"stem","out_channels":32,'
        '"padding":"symmetric","size":224,"stride":2}'
    )


STEM, _, BLOCK, *_ = (block.key for block in plan(golden.architecture("tv_mobilenet_v2")).blocks)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "document: invalid JSON"),
        ("[" * 100_000, "document: invalid JSON"),
        ("null", "op: must be one of stem, conv"),
        ('{"op":"pool"}', "op: must be one of stem, conv"),
        ('{"op":"stem"}', "in_channels: this field is required"),
        (STEM.replace("relu6", "relu7"), "activation: must be .* got 'relu7'"),
        (STEM.replace("symmetric", "same_lower"), "padding: must be 'symmetric' or 'same'"),
        (STEM.replace('"kernel":3', '"kernel":4'), "kernel: kernels must be odd"),
        (STEM.replace('"in_channels":3', '"in_channels":0'), "in_channels: must be at least 1"),
        (STEM.replace("224", "null"), "size: must be an integer; got None"),
        (STEM.replace('"stride":2', '"stride":2,"bias":true'), "bias: unknown field"),
        (BLOCK.replace('"residual":false', '"residual":true'), "residual: cannot be true"),
        (BLOCK.replace('"expand":true', '"expand":false'), "expand: an inverted residual without"),
        (BLOCK.replace('"size":112', '"size":1'), "stride: the resolution has vanished"),
        (STEM.replace(",", ", "), "document: not the canonical spelling"),
        (
            '{"in_channels":8,"op":"classifier","out_features":0,"size":1}',
            "out_features: must be at least 1",
        ),
        ('{"in_channels":8,"op":"head_pool","size":null}', "size: must be an integer"),
    ],
)
def test_text_that_is_no_key_is_refused_saying_why(key: str, problem: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=f"not the key of a block.*\n  {problem}"):
        planned_from_key(key)


@given(arch=architectures())
def test_a_plan_travels(arch: Architecture) -> None:
    assert pickle.loads(pickle.dumps(plan(arch))) == plan(arch)
