"""Published networks at other widths, resolutions and data: fair baselines for a search."""

from dataclasses import replace
from typing import Any

from mnas.arch import (
    Architecture,
    Block,
    HeadConv,
    HeadItem,
    HeadLinear,
    HeadPool,
    Input,
    InvalidArchitectureError,
    operator_fields,
)
from mnas.space.layers import Rounding

_ROUNDING = Rounding(divisor=8, keep=0.9)


def scaled(
    arch: Architecture,
    *,
    width: float = 1.0,
    resolution: int | None = None,
    num_classes: int | None = None,
    channels: int | None = None,
) -> Architecture:
    """The network with every width multiplied, and for other images.

    Stem, blocks, expansions, squeeze-and-excite and head are multiplied and rounded to a multiple
    of 8, never below 90 % (the MobileNet authors' make_divisible); at width 1 all stay as they
    are. Strides stay: a low resolution ends in a small map.

    Args:
        arch: Any architecture.
        width: Multiplier, above 0.
        resolution: Side of the images in pixels; None keeps it.
        num_classes: None keeps them.
        channels: Channels of the images; None keeps them.

    Returns:
        The scaled network; its name says how, as `mobilenet_v2 x0.35 @32`.

    Raises:
        InvalidArchitectureError: The width is not above 0, or strides reduce a map of one pixel.
    """
    if not width > 0:
        raise InvalidArchitectureError.at(
            f"{arch.name} cannot be scaled:", "width", f"must be above 0; got {width}"
        )
    side = resolution if resolution is not None else arch.input.resolution
    name = arch.name if width == 1 else f"{arch.name} x{width:g}"
    stem = replace(arch.stem, out_channels=_times(arch.stem.out_channels, width))
    blocks: list[Block] = []
    before, now = arch.stem.out_channels, stem.out_channels
    for block in arch.blocks:
        blocks.append(_block(block, width, before, now))
        before, now = block.out_channels, blocks[-1].out_channels
    return replace(
        arch,
        name=name if side == arch.input.resolution else f"{name} @{side}",
        input=Input(
            channels=channels if channels is not None else arch.input.channels, resolution=side
        ),
        num_classes=num_classes if num_classes is not None else arch.num_classes,
        stem=stem,
        blocks=tuple(blocks),
        head=tuple(_head(item, width) for item in arch.head),
    )


def _times(number: int, width: float) -> int:
    return number if width == 1 else _ROUNDING(number * width)


def _block(block: Block, width: float, before: int, now: int) -> Block:
    """A block at a width; it keeps its residual, since equal numbers scale to equal numbers."""
    changed: dict[str, Any] = {}
    for field in operator_fields(type(block)):
        value = getattr(block, field.name)
        if field.is_channels:
            # An expansion of exactly 1 stays one.
            is_same = field.name == "expanded_channels" and value == before
            changed[field.name] = now if is_same else _times(value, width)
        elif field.kind == "se" and value is not None:
            changed[field.name] = replace(value, channels=_times(value.channels, width))
    scaled_block: Block = replace(_any(block), **changed)
    return scaled_block


def _any(value: object) -> Any:
    return value


def _head(item: HeadItem, width: float) -> HeadItem:
    match item:
        case HeadConv():
            return replace(item, out_channels=_times(item.out_channels, width))
        case HeadLinear():
            return replace(item, out_features=_times(item.out_features, width))
        case HeadPool():
            return item
