"""The tests that every block operator passes; one that a package adds inherits them."""

import dataclasses
import json
import pickle
from typing import Any, ClassVar

from mnas.arch.architecture import Architecture, BatchNorm, Input
from mnas.arch.canonical import to_fields
from mnas.arch.counts import count, layer_macs, layer_params
from mnas.arch.errors import InvalidArchitectureError
from mnas.arch.heads import HeadPool
from mnas.arch.keys import planned_from_key
from mnas.arch.operators import block_operator, check_plan, operator_fields, operator_problems
from mnas.arch.pieces import Block, Stem
from mnas.arch.planning import plan, plan_block

_SIDES = (1, 7, 8, 33)  # pixels


class BlockContract:
    """What mnas relies on in a block operator, as tests for pytest.

    Inherit it under a name that begins with `Test` and give `examples`:

        class TestSandglass(BlockContract):
            examples = ((Sandglass(...), 16),)

    Attributes:
        examples: Blocks and the channels that come into each: with and without a residual, with a
            stride, and each optional part there and not there.
    """

    examples: ClassVar[tuple[tuple[Block, int], ...]] = ()

    def test_there_are_examples_with_and_without_residual_and_stride(self) -> None:
        blocks = [block for block, _ in self.examples]
        assert {block.residual for block in blocks} == {True, False}
        assert {block.stride > 1 for block in blocks} == {True, False}

    def test_the_class_is_the_operator_that_the_entry_point_names(self) -> None:
        for block, _ in self.examples:
            assert list(operator_problems(type(block), block.op)) == []
            assert block_operator(block.op) is type(block)

    def test_a_block_is_a_value(self) -> None:
        for block, _ in self.examples:
            same = dataclasses.replace(_any(block))
            assert (same, hash(same)) == (block, hash(block))
            assert pickle.loads(pickle.dumps(block)) == block

    def test_layers_chain_at_every_size_and_end_as_the_fields_say(self) -> None:
        for block, in_channels in self.examples:
            for side in _SIDES if block.stride == 1 else _SIDES[1:]:
                assert list(block.problems(in_channels, side)) == []
                check_plan(block, block.plan(in_channels, side), in_channels, side)

    def test_a_residual_across_a_change_of_shape_is_refused(self) -> None:
        for block, in_channels in self.examples:
            if block.residual:
                for change in ({"out_channels": in_channels + 8}, {"stride": 2}):
                    changed = dataclasses.replace(_any(block), **change)
                    assert "residual" in dict(changed.problems(in_channels, 8))

    def test_impossible_fields_are_named(self) -> None:
        for block, in_channels in self.examples:
            impossible: dict[str, object] = {"stride": 0}
            for field in operator_fields(type(block)):
                if field.kind == "text":
                    impossible[field.name] = "no such text"
                elif field.is_channels:
                    impossible[field.name] = 0
            for name, value in impossible.items():
                changed = dataclasses.replace(_any(block), **{name: value})
                assert name in dict(changed.problems(in_channels, 8))

    def test_a_vanishing_resolution_is_refused(self) -> None:
        for block, in_channels in self.examples:
            if block.stride > 1:
                assert "stride" in dict(block.problems(in_channels, 1))

    def test_a_document_with_it_is_read_back(self) -> None:
        for block, in_channels in self.examples:
            arch = _network(block, in_channels)
            again = Architecture.from_json(arch.to_json())
            assert (again, again.id) == (arch, arch.id)

    def test_a_document_with_an_unknown_field_is_refused(self) -> None:
        for block, in_channels in self.examples:
            document = json.loads(_network(block, in_channels).to_json())
            document["blocks"][0]["surprise"] = 1
            assert _places_refused(document) == ["blocks.0.surprise"]

    def test_the_key_of_a_table_row_gives_the_block_again(self) -> None:
        for block, in_channels in self.examples:
            for padding in ("symmetric", "same"):
                planned = plan_block(block, in_channels, 8, _any(padding))
                assert planned_from_key(planned.key) == planned
                assert json.loads(planned.key).items() >= to_fields(block).items()

    def test_counts_are_the_sums_of_its_layers(self) -> None:
        for block, in_channels in self.examples:
            arch = _network(block, in_channels)
            counted, planned = count(arch).blocks[1], plan(arch).blocks[1]
            assert counted.params == sum(map(layer_params, planned.layers))
            assert counted.macs == sum(map(layer_macs, planned.layers))


def _places_refused(document: object) -> list[str]:
    try:
        Architecture.from_json(json.dumps(document))
    except InvalidArchitectureError as error:
        return [fault.place for fault in error.faults]
    return []


def _network(block: Block, in_channels: int) -> Architecture:
    """The block between a stem that gives what it takes and a pool."""
    return Architecture(
        name="contract",
        input=Input(channels=3, resolution=16),
        num_classes=10,
        padding="symmetric",
        norm=BatchNorm(eps=1e-5, momentum=0.1),
        dropout=0.0,
        stem=Stem(kernel=3, stride=2, out_channels=in_channels, activation="relu"),
        blocks=(block,),
        head=(HeadPool(),),
    )


def _any(value: object) -> Any:
    return value
