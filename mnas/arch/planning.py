"""The plan: every block of a network with every size, worked out once.

Modules, counts, table keys and exported files are all read from it; nobody derives a shape again.
"""

import functools
import json
from dataclasses import dataclass
from typing import Any, Literal

from mnas.arch.architecture import Architecture
from mnas.arch.blocks import Block, HeadConv, HeadItem, HeadLinear, HeadPool, Stem
from mnas.arch.errors import InvalidArchitectureError
from mnas.arch.layers import Dropout, Flatten, Layer, Linear, Padding, output_of

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
    return Plan(
        blocks=tuple(planned),
        places=(
            "stem",
            *(f"blocks.{index}" for index in range(len(arch.blocks))),
            *(f"head.{index}" for index in range(len(arch.head))),
            "classifier",
        ),
    )


# A search meets the same blocks again and again; planning each once makes planning a network cheap.
_cached = functools.lru_cache(maxsize=200_000)


@_cached
def plan_stem(stem: Stem, in_channels: int, size: int, padding: Padding) -> PlannedBlock:
    """Plan a stem that sees (in_channels, size, size)."""
    return _planned(
        "stem", "stem", stem, stem.layers(in_channels, size), in_channels, size, padding
    )


@_cached
def plan_block(block: Block, in_channels: int, size: int, padding: Padding) -> PlannedBlock:
    """Plan a block that sees (in_channels, size, size)."""
    layers = block.layers(in_channels, size)
    return _planned("block", block.op, block, layers, in_channels, size, padding)


@_cached
def plan_head(item: HeadItem, in_channels: int, size: int | None) -> PlannedBlock:
    """Plan a head item that sees a map, or a vector (size None)."""
    if isinstance(item, HeadLinear):
        layers = item.layers(in_channels, size)
    else:
        assert size is not None
        layers = item.layers(in_channels, size)
    return _planned("head", f"head_{item.op}", item, layers, in_channels, size, "symmetric")


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
    return _assemble(
        "classifier", fields, tuple(layers), in_channels, size, residual=False, padding="symmetric"
    )


def planned_from_key(key: str) -> PlannedBlock:
    """Plan the block that a table row names.

    Args:
        key: `PlannedBlock.key`, as read from a table.

    Returns:
        The planned block; its `key` equals the argument.

    Raises:
        InvalidArchitectureError: The text is no such key; says why.
    """
    try:
        fields = json.loads(key)
        planned = _replan(fields.pop("op"), fields.pop("in_channels"), fields.pop("size"), fields)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise InvalidArchitectureError(f"not the key of a block ({error!r}): {key[:200]}") from None
    if planned.key != key:
        raise InvalidArchitectureError(f"not the canonical key of a block: {key[:200]}")
    return planned


def _replan(op: str, in_channels: int, size: int, fields: dict[str, Any]) -> PlannedBlock:
    from mnas.arch.documents import block_from_fields

    match op:
        case "head_conv":
            return plan_head(HeadConv(**fields), in_channels, size)
        case "head_pool":
            return plan_head(HeadPool(**fields), in_channels, size)
        case "head_linear":
            return plan_head(HeadLinear(**fields), in_channels, size)
        case "classifier":
            return plan_classifier(fields["out_features"], in_channels, size, 0.0)
    padding: Padding = fields.pop("padding")
    if op == "stem":
        return plan_stem(Stem(**fields), in_channels, size, padding)
    return plan_block(block_from_fields({"op": op, **fields}), in_channels, size, padding)


def _planned(
    kind: Kind,
    op: str,
    piece: Stem | Block | HeadItem,
    layers: tuple[Layer, ...],
    in_channels: int,
    size: int | None,
    padding: Padding,
) -> PlannedBlock:
    from mnas.arch.documents import to_fields

    fields = {**to_fields(piece), "op": op}
    if kind in ("stem", "block"):
        fields["padding"] = padding
    residual = bool(getattr(piece, "residual", False))
    return _assemble(kind, fields, layers, in_channels, size, residual=residual, padding=padding)


def _assemble(
    kind: Kind,
    fields: dict[str, object],
    layers: tuple[Layer, ...],
    in_channels: int,
    size: int | None,
    *,
    residual: bool,
    padding: Padding,
) -> PlannedBlock:
    from mnas.arch.documents import canonical_json

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
