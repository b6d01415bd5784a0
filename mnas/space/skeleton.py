"""The skeleton of a space: what follows what, and what each part may be. For people to look at."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mnas.arch.layers import halved
from mnas.space.choices import Node, Option, Pick, values_of
from mnas.space.layers import Expansion, Sizing, Squeeze, op_fields
from mnas.space.templates import NetworkTemplate, SpaceTemplate, StageTemplate

_SHOWN = ("start_kernel", "kernel", "width", "se")


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonPart:
    """One part of a network, in the order of execution.

    Attributes:
        network: The network option it belongs to; None without `network:`.
        place: `input`, `stem`, a stage, a head item, or `classifier`.
        ops: Operators it may have.
        layers: Fewest and most layers.
        strides: Of its first layer.
        out_channels: What may go out, at width 1 or else the greatest width.
        size: Side of the map that goes out at the greatest resolution and the least strides, in
            pixels; None for a vector.
        options: What else may vary in it: kernels, expansions, squeeze-and-excite.
    """

    network: str | None
    place: str
    ops: tuple[str, ...] = ()
    layers: tuple[int, int] = (1, 1)
    strides: tuple[int, ...] = (1,)
    out_channels: tuple[int, ...]
    size: int | None
    options: tuple[tuple[str, tuple[Option, ...]], ...] = ()


def skeleton_of(space: SpaceTemplate) -> list[SkeletonPart]:
    """Every part of every network option."""
    names: tuple[Option, ...] = (None,)
    if isinstance(space.network, Pick):
        names = space.network.choice.options
    return [
        part
        for name, network in zip(names, space.networks, strict=True)
        for part in _parts(network, None if name is None else str(name))
    ]


def _parts(network: NetworkTemplate, name: str | None) -> Iterator[SkeletonPart]:
    widths = values_of(network.width)
    sizing = Sizing(1.0 if 1.0 in widths else max(widths), network.rounding)
    size: int | None = max(values_of(network.resolution))
    yield SkeletonPart(network=name, place="input", out_channels=(network.channels,), size=size)
    assert size is not None
    stems = [sizes.at(sizing) for sizes in values_of(network.stem)]
    strides = _distinct(stem.stride for stem in stems)
    size = halved(size, min(strides))
    yield SkeletonPart(
        network=name,
        place="stem",
        ops=("conv",),
        strides=strides,
        out_channels=_distinct(stem.out_channels for stem in stems),
        size=size,
        options=(("kernel", _distinct(stem.kernel for stem in stems)),),
    )
    for stage in network.stages:
        if stage.layers:
            size = halved(size, min(values_of(stage.stride)))
            yield _stage(stage, name, sizing, size)
    yield from _head(network, name, sizing, size)


def _stage(stage: StageTemplate, name: str | None, sizing: Sizing, size: int) -> SkeletonPart:
    depths = values_of(stage.depth)
    variants = [variant for layer in stage.layers for variant in values_of(layer)]
    ops = _distinct(op for variant in variants for op in values_of(variant.op))
    options: dict[str, dict[Option, None]] = {}
    for variant in variants:
        for op in values_of(variant.op):
            for field, node in zip(op_fields(op), variant.parts[op], strict=True):
                if field in _SHOWN:
                    options.setdefault(field, {}).update(dict.fromkeys(_said(field, node)))
    numbers = values_of(stage.out_channels)
    return SkeletonPart(
        network=name,
        place=stage.label.removeprefix(f"{name}."),
        ops=ops,
        layers=(min(depths), max(depths)),
        strides=_distinct(values_of(stage.stride)),
        out_channels=_distinct(sizing.scaled(number, stage.scale) for number in numbers),
        size=size,
        options=tuple(
            ("expansion" if field == "width" else field, tuple(options[field]))
            for field in _SHOWN
            if field in options and tuple(options[field]) != ("none",)
        ),
    )


def _said(field: str, node: Node) -> Iterator[Option]:
    for value in values_of(node):
        if isinstance(value, Expansion):
            yield value.ratio if value.ratio is not None else f"{value.channels} channels"
        elif isinstance(value, Squeeze):
            yield f"{value.channels} channels" if value.ratio is None else value.ratio
        else:
            yield "none" if field == "se" else value


def _head(
    network: NetworkTemplate, name: str | None, sizing: Sizing, size: int | None
) -> Iterator[SkeletonPart]:
    channels: tuple[int, ...] = ()
    for index, node in enumerate(network.head):
        values = values_of(node)
        items = [sizes for sizes in values if sizes is not None]
        if not items:
            continue
        ops = _distinct(sizes.op for sizes in items)
        if "pool" in ops:
            size = 1
        if "linear" in ops:
            size = None
        made = [sizes.at(sizing) for sizes in items]
        numbers = (getattr(item, "out_channels", getattr(item, "out_features", 0)) for item in made)
        channels = _distinct(number for number in numbers if number)
        yield SkeletonPart(
            network=name,
            place=f"head.{index}",
            ops=ops,
            layers=(int(len(items) == len(values)), 1),
            out_channels=channels,
            size=size,
        )
    yield SkeletonPart(
        network=name,
        place="classifier",
        ops=("linear",),
        out_channels=(network.num_classes,),
        size=None,
    )


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))
