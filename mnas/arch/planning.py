"""The plan: every block of a network with every size, worked out once.

Modules, counts, table keys and exported files are all read from it; nobody derives a shape again.
"""

import functools
from dataclasses import dataclass
from typing import Literal

from mnas.arch.architecture import Architecture
from mnas.arch.blocks import BLOCKS
from mnas.arch.canonical import canonical_json, to_fields
from mnas.arch.heads import HeadItem, HeadLinear
from mnas.arch.layers import Dropout, Flatten, Layer, Linear, Padding, output_of
from mnas.arch.operators import check_plan
from mnas.arch.pieces import Block, Stem

Kind = Literal["stem", "block", "head", "classifier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBlock:
    """One block with its sizes: the unit that a latency table measures.

    Attributes:
        kind: Which part of the network it is.
        key: Canonical JSON of the block with `in_channels` and `size`: what decides how long it
            takes, and nothing else. The same block in two networks has one key.
        in_channels: Channels that come in.
        size: Side of the map that comes in, in pixels; None for a vector.
        out_channels: Channels that go out.
        out_size: Side of the map that goes out, in pixels; None for a vector.
        layers: What it computes, in order; layer names are unique within a block.
        residual: Whether its input is added to its output.
        padding: Padding of its convolutions.
    """

    kind: Kind
    key: str
    in_channels: int
    size: int | None
    out_channels: int
    out_size: int | None
    layers: tuple[Layer, ...]
    residual: bool
    padding: Padding

    def __hash__(self) -> int:
        """Of the key, whose hash Python keeps: planned blocks are looked up by the million."""
        return hash(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A network as a chain of planned blocks; each takes what the one before gives.

    Attributes:
        blocks: Stem, blocks, head items, classifier, in the order of execution.
        places: Where each stands in the document: `stem`, `blocks.0`, `head.1`, `classifier`.
    """

    blocks: tuple[PlannedBlock, ...]
    places: tuple[str, ...]


def plan(arch: Architecture) -> Plan:
    """Work out every size of a network.

    Args:
        arch: A valid architecture.

    Returns:
        Its blocks in the order of execution. Planned blocks are shared between plans.
    """
    channels, size = arch.input.channels, arch.input.resolution
    planned = [plan_stem(arch.stem, channels, size, arch.padding)]
    for block in arch.blocks:
        before = planned[-1]
        assert before.out_size is not None
        planned.append(plan_block(block, before.out_channels, before.out_size, arch.padding))
    for item in arch.head:
        planned.append(plan_head(item, planned[-1].out_channels, planned[-1].out_size))
    last = planned[-1]
    planned.append(
        plan_classifier(arch.num_classes, last.out_channels, last.out_size, arch.dropout)
    )
    return Plan(blocks=tuple(planned), places=_places(len(arch.blocks), len(arch.head)))


@functools.lru_cache(maxsize=1000)
def _places(blocks: int, head: int) -> tuple[str, ...]:
    return (
        "stem",
        *(f"blocks.{index}" for index in range(blocks)),
        *(f"head.{index}" for index in range(head)),
        "classifier",
    )


# A search meets the same blocks again and again; planning each once makes planning a network cheap.
_cached = functools.lru_cache(maxsize=200_000)


@_cached
def plan_stem(stem: Stem, in_channels: int, size: int, padding: Padding) -> PlannedBlock:
    """Plan a stem that sees (in_channels, size, size)."""
    fields = {**to_fields(stem), "op": "stem", "padding": padding}
    layers = stem.plan(in_channels, size)
    return _planned("stem", fields, layers, in_channels=in_channels, size=size, padding=padding)


@_cached
def plan_block(block: Block, in_channels: int, size: int, padding: Padding) -> PlannedBlock:
    """Plan a block that sees (in_channels, size, size)."""
    layers = block.plan(in_channels, size)
    if block.op not in BLOCKS:
        check_plan(block, layers, in_channels, size)
    return _planned(
        "block",
        {**to_fields(block), "padding": padding},
        layers,
        in_channels=in_channels,
        size=size,
        padding=padding,
        residual=block.residual,
    )


@_cached
def plan_head(item: HeadItem, in_channels: int, size: int | None) -> PlannedBlock:
    """Plan a head item that sees a map, or a vector (size None)."""
    if isinstance(item, HeadLinear):
        layers = item.plan(in_channels, size)
    else:
        assert size is not None
        layers = item.plan(in_channels, size)
    fields = {**to_fields(item), "op": f"head_{item.op}"}
    return _planned("head", fields, layers, in_channels=in_channels, size=size)


@_cached
def plan_classifier(
    num_classes: int, in_channels: int, size: int | None, dropout: float
) -> PlannedBlock:
    """Plan the classifier: dropout, then a linear layer with bias."""
    layers: list[Layer] = []
    if size is not None:
        layers.append(Flatten(name="flatten", in_channels=in_channels))
    if dropout > 0:
        layers.append(Dropout(name="dropout", in_channels=in_channels, rate=dropout))
    layers.append(
        Linear(name="linear", in_channels=in_channels, out_channels=num_classes, bias=True)
    )
    fields = {"op": "classifier", "out_features": num_classes}
    return _planned("classifier", fields, tuple(layers), in_channels=in_channels, size=size)


def _planned(
    kind: Kind,
    fields: dict[str, object],
    layers: tuple[Layer, ...],
    *,
    in_channels: int,
    size: int | None,
    padding: Padding = "symmetric",
    residual: bool = False,
) -> PlannedBlock:
    out_channels, out_size = output_of(layers[-1])
    return PlannedBlock(
        kind=kind,
        key=canonical_json({**fields, "in_channels": in_channels, "size": size}),
        in_channels=in_channels,
        size=size,
        out_channels=out_channels,
        out_size=out_size,
        layers=layers,
        residual=residual,
        padding=padding,
    )
