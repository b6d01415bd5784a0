"""The one walk from choices to an architecture; its users differ in how they choose."""

from collections.abc import Callable
from typing import Any

from mnas.arch import Architecture, Block, HeadItem, Input
from mnas.space.choices import Ask, Choice, Fixed, Node, resolve
from mnas.space.layers import Sizing, layer_block
from mnas.space.templates import NetworkTemplate, SpaceTemplate, Variant


def walk(
    space: SpaceTemplate, choose: Callable[[Choice], int]
) -> tuple[Architecture, dict[str, int]]:
    """Build the architecture that a way of choosing leads to.

    Args:
        space: Where to walk.
        choose: Gives the index of an option; asked once for each active choice.

    Returns:
        The architecture, and the index chosen for each active choice, in the order asked.
    """
    chosen: dict[str, int] = {}

    def ask(choice: Choice) -> int:
        index = chosen.get(choice.name)
        if index is None:
            index = chosen[choice.name] = choose(choice)
        return index

    network: NetworkTemplate = resolve(space.network, ask)
    sizing = Sizing(resolve(network.width, ask), network.rounding)
    resolution = resolve(network.resolution, ask)
    stem = resolve(network.stem, ask).at(sizing)
    blocks: list[Block] = []
    channels = stem.out_channels
    for stage in network.stages:
        depth = resolve(stage.depth, ask)
        if depth:
            out_channels = sizing.scaled(resolve(stage.out_channels, ask), stage.scale)
            stride = resolve(stage.stride, ask)
        for layer in stage.layers[:depth]:
            shape = (channels, out_channels, stride)
            block = layer_of(layer, shape, sizing, stage.scale, ask)
            if block is not None:
                blocks.append(block)
            channels, stride = out_channels, 1
    architecture = Architecture(
        name=space.name,
        input=Input(channels=network.channels, resolution=resolution),
        num_classes=network.num_classes,
        padding=network.padding,
        norm=network.norm,
        dropout=network.dropout,
        stem=stem,
        blocks=tuple(blocks),
        head=head_of(network, sizing, ask),
    )
    return architecture, chosen


def layer_of(
    layer: Node, shape: tuple[int, int, int], sizing: Sizing, scale: bool | str, ask: Ask
) -> Block | None:
    """The block of one layer, None for an identity; asks the choices its operator uses."""
    variant: Variant = resolve(layer, ask)
    op: str = resolve(variant.op, ask)
    values: Any = tuple(
        [node.value if type(node) is Fixed else resolve(node, ask) for node in variant.parts[op]]
    )
    return layer_block(op, values, shape, sizing, scale)


def head_of(network: NetworkTemplate, sizing: Sizing, ask: Ask) -> tuple[HeadItem, ...]:
    """The head items; an option null leaves its item out."""
    sizes = [resolve(node, ask) for node in network.head]
    return tuple([item.at(sizing) for item in sizes if item is not None])
