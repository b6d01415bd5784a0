"""Every shape that can reach a layer, and so every block that the space can contain: exactly.

A block depends on what comes in, on its own choices, and on nothing else before it. So the states
(channels, size) are walked stage by stage instead of the networks, which are too many.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mnas.arch import (
    Block,
    HeadItem,
    PlannedBlock,
    plan_block,
    plan_classifier,
    plan_head,
    plan_stem,
)
from mnas.arch.layers import halved
from mnas.space.choices import Ask, Choice, Node, branches, values_of
from mnas.space.layers import Sizing
from mnas.space.positions import head_of, layer_of
from mnas.space.templates import NetworkTemplate, SpaceTemplate, StageTemplate

State = tuple[int, int]  # channels, size
Shape = tuple[int, int, int]  # in_channels, out_channels, stride


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One layer with all its choices made.

    Attributes:
        asked: The choices it asked.
        block: None for an identity.
    """

    asked: dict[Choice, int]
    block: Block | None


def sizings(network: NetworkTemplate) -> list[Sizing]:
    """One for each width of a network, in file order."""
    return [Sizing(width, network.rounding) for width in values_of(network.width)]


def stems(network: NetworkTemplate, sizing: Sizing) -> list[Any]:
    """Every stem at one width."""
    return list(dict.fromkeys(sizes.at(sizing) for sizes in values_of(network.stem)))


def leaves(layer: Node, shape: Shape, sizing: Sizing, scale: bool | str) -> Iterator[Leaf]:
    """Every way a layer can be where a shape is asked of it.

    Raises:
        ImpossibleLayerError: One of them is none.
    """

    def run(ask: Ask) -> Block | None:
        return layer_of(layer, shape, sizing, scale, ask)

    for asked, block in branches(run):
        yield Leaf(asked=asked, block=block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """States through a stage.

    Attributes:
        first: Shape and sizes that the first layer sees.
        rest: The same for the layers after it.
        after: States that leave the stage.
    """

    first: dict[Shape, set[int]]
    rest: dict[Shape, set[int]]
    after: set[State]


def passage(stage: StageTemplate, sizing: Sizing, before: set[State]) -> Passage:
    """Where the states that come to a stage go."""
    depths = set(values_of(stage.depth))
    first: dict[Shape, set[int]] = {}
    rest: dict[Shape, set[int]] = {}
    after = set(before) if 0 in depths else set()
    if not stage.layers:
        return Passage(first=first, rest=rest, after=after)
    outs = {sizing.scaled(number, stage.scale) for number in values_of(stage.out_channels)}
    for channels, size in sorted(before):
        for out in sorted(outs):
            for stride in sorted(set(values_of(stage.stride))):
                reduced = halved(size, stride)
                first.setdefault((channels, out, stride), set()).add(size)
                if len(stage.layers) > 1:
                    rest.setdefault((out, out, 1), set()).add(reduced)
                after.add((out, reduced))
    return Passage(first=first, rest=rest, after=after)


def entrances(
    network: NetworkTemplate,
) -> Iterator[tuple[Sizing, StageTemplate | None, Passage]]:
    """Every stage of a network at every width, with the states that pass; None for the head."""
    for sizing in sizings(network):
        states = {
            (stem.out_channels, halved(resolution, stem.stride))
            for stem in stems(network, sizing)
            for resolution in values_of(network.resolution)
        }
        for stage in network.stages:
            passed = passage(stage, sizing, states)
            states = passed.after
            yield sizing, stage, passed
        yield sizing, None, Passage(first={}, rest={}, after=states)


def reachable_blocks(space: SpaceTemplate) -> dict[str, PlannedBlock]:
    """Every planned block, by key, that some architecture of the space contains."""
    found: dict[str, PlannedBlock] = {}

    def keep(planned: PlannedBlock) -> PlannedBlock:
        return found.setdefault(planned.key, planned)

    for network in space.networks:
        for sizing in sizings(network):
            for stem in stems(network, sizing):
                for resolution in values_of(network.resolution):
                    keep(plan_stem(stem, network.channels, resolution, network.padding))
        for sizing, stage, passed in entrances(network):
            if stage is None:
                for state in sorted(passed.after):
                    _plan_heads(network, sizing, state, keep)
                continue
            for layer, shapes in zip(stage.layers, (passed.first, passed.rest), strict=False):
                for shape, sizes in shapes.items():
                    for block in distinct_blocks(layer, shape, sizing, stage.scale):
                        for size in sorted(sizes):
                            keep(plan_block(block, shape[0], size, network.padding))
    return found


def distinct_blocks(layer: Node, shape: Shape, sizing: Sizing, scale: bool | str) -> list[Block]:
    """The different blocks a layer can be, identities left out."""
    blocks = (leaf.block for leaf in leaves(layer, shape, sizing, scale))
    return list(dict.fromkeys(block for block in blocks if block is not None))


def heads(network: NetworkTemplate, sizing: Sizing) -> list[tuple[HeadItem, ...]]:
    """Every different head at one width."""
    found = branches(functools.partial(head_of, network, sizing))
    return list(dict.fromkeys(head for _, head in found))


def _plan_heads(network: NetworkTemplate, sizing: Sizing, state: State, keep: Any) -> None:
    for head in heads(network, sizing):
        channels: int = state[0]
        size: int | None = state[1]
        for item in head:
            planned = keep(plan_head(item, channels, size))
            channels, size = planned.out_channels, planned.out_size
        keep(plan_classifier(network.num_classes, channels, size, network.dropout))
