"""A search space with its defaults merged: what every walk reads."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mnas.arch import Activation, BatchNorm, HeadConv, HeadItem, HeadLinear, HeadPool, Padding, Stem
from mnas.space.choices import Choice, Node, Pick, choices_in, values_of
from mnas.space.layers import Rounding, Sizing
from mnas.space.yaml_document import Place


class StemSizes(NamedTuple):
    """The stem as the file states it, before width."""

    kernel: int
    stride: int
    out_channels: int
    activation: Activation
    scale: bool | str

    def at(self, sizing: Sizing) -> Stem:
        return _stem_at(self, sizing)


class HeadSizes(NamedTuple):
    """A head item as the file states it, before width."""

    op: str
    number: int
    norm: bool
    bias: bool
    activation: Activation | None
    scale: bool | str

    def at(self, sizing: Sizing) -> HeadItem:
        return _head_item_at(self, sizing)


# Networks of one space share their stems and head items, as they share their blocks.
_cached = functools.lru_cache(maxsize=10_000)


@_cached
def _stem_at(sizes: StemSizes, sizing: Sizing) -> Stem:
    return Stem(
        kernel=sizes.kernel,
        stride=sizes.stride,
        out_channels=sizing.scaled(sizes.out_channels, sizes.scale),
        activation=sizes.activation,
    )


@_cached
def _head_item_at(sizes: HeadSizes, sizing: Sizing) -> HeadItem:
    if sizes.op == "pool":
        return HeadPool()
    number = sizing.scaled(sizes.number, sizes.scale)
    if sizes.op == "conv":
        return HeadConv(
            out_channels=number, norm=sizes.norm, bias=sizes.bias, activation=sizes.activation
        )
    return HeadLinear(
        out_features=number, norm=sizes.norm, bias=sizes.bias, activation=sizes.activation
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way a layer may be: the layer's fields with one `layer:` option on top.

    Attributes:
        place: The `layer:` option, or the stage, in the file.
        op: The operator.
        parts: For each operator it may have, the nodes of `op_fields(op)`.
        places: Where each field that the file gives stands, the nearest; also `layer` itself.
        nodes: Every field's node, also of those that no operator uses.
    """

    place: Place
    op: Node
    parts: Mapping[str, tuple[Node, ...]]
    places: Mapping[str, Place]
    nodes: Mapping[str, Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTemplate:
    """One stage; `layers` has the layers of the greatest depth.

    Attributes:
        place: Where it stands in the file.
        label: Its name in the names of choices, such as `stages.2`.
        layers: For each layer the node whose values are its variants.
        places: Where its depth, stride, out_channels and scale stand, the nearest.
    """

    place: Place
    label: str
    depth: Node
    out_channels: Node
    stride: Node
    scale: bool | str
    layers: tuple[Node, ...]
    places: Mapping[str, Place]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTemplate:
    """One network option, or the whole space when there is no `network:`.

    Attributes:
        stem: Node of `StemSizes`.
        head: Nodes of `HeadSizes` or None.
    """

    channels: int
    resolution: Node
    width: Node
    rounding: Rounding
    num_classes: int
    padding: Padding
    norm: BatchNorm
    dropout: float
    stem: Node
    stages: tuple[StageTemplate, ...]
    head: tuple[Node, ...]
    head_place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceTemplate:
    """Everything the file says, merged.

    Attributes:
        network: Node of `NetworkTemplate`.
    """

    name: str
    network: Node

    @property
    def networks(self) -> tuple[NetworkTemplate, ...]:
        return tuple(values_of(self.network))


def all_choices(space: SpaceTemplate) -> dict[str, Choice]:
    """Every choice that can be active in some architecture, by name, in the order of the file."""
    found: dict[str, Choice] = {}
    if isinstance(space.network, Pick):
        found[space.network.choice.name] = space.network.choice
    for choice in (c for network in space.networks for c in _network_choices(network)):
        before = found.setdefault(choice.name, choice)
        assert before.options == choice.options, "a name always has the same options"
    return found


def _network_choices(network: NetworkTemplate) -> Iterator[Choice]:
    for node in (network.width, network.resolution, network.stem):
        yield from choices_in(node)
    for stage in network.stages:
        yield from choices_in(stage.depth)
        if stage.layers:
            yield from choices_in(stage.out_channels)
            yield from choices_in(stage.stride)
        inside = [choice for layer in stage.layers for choice in layer_choices(layer)]
        yield from sorted(inside, key=lambda c: -1 if c.layer is None else c.layer)
    for node in network.head:
        yield from choices_in(node)


def layer_choices(layer: Node) -> Iterator[Choice]:
    """Every choice that a layer may ask."""
    yield from choices_in(layer)
    for variant in values_of(layer):
        yield from choices_in(variant.op)
        for op in values_of(variant.op):
            for node in variant.parts[op]:
                yield from choices_in(node)
