"""What stands at one position of a network: a layer or the head, from the choices it asks."""

from typing import Any

from mnas.arch import Block, HeadItem
from mnas.space.choices import Ask, Fixed, Node, resolve
from mnas.space.layers import Sizing, layer_block
from mnas.space.templates import NetworkTemplate, Variant


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
