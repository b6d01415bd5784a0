"""Parameters, multiply-accumulates and activation memory, read from the plan without torch."""

import functools
from dataclasses import dataclass

from mnas.arch.architecture import Architecture
from mnas.arch.errors import not_an_architecture
from mnas.arch.layers import (
    Activate,
    Conv,
    Dropout,
    Flatten,
    Layer,
    Linear,
    Norm,
    Pool,
    SqueezeExcite,
    halved,
)
from mnas.arch.planning import PlannedBlock, plan

_BYTES = 4  # fp32


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCounts:
    """What one block costs.

    Attributes:
        place: Where it stands in the document, such as `blocks.3`.
        params: Learnable parameters.
        macs: Multiply-accumulates of convolutions and linear layers, batch 1.
        peak_activation_bytes: See `Counts`.
    """

    place: str
    params: int
    macs: int
    peak_activation_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a network costs; lower is better for all of them.

    Attributes:
        params: Learnable parameters.
        params_without_classifier: The same without the last linear layer.
        macs: Multiply-accumulates of convolutions and linear layers, batch 1: the convention of
            the MobileNet papers. Normalisation, activations, pooling and additions count nothing.
        peak_activation_bytes: Largest input + output + held residual of one layer, in bytes of
            fp32 at batch 1. Normalisation and activations work in place, as every deployment
            runtime does it.
        blocks: The same, block by block.
    """

    params: int
    params_without_classifier: int
    macs: int
    peak_activation_bytes: int
    blocks: tuple[BlockCounts, ...]


def count(arch: Architecture) -> Counts:
    """Count what a network costs, exactly, without building it.

    Args:
        arch: Any architecture.

    Returns:
        Its parameters, MACs and peak activation memory, whole and block by block.
    """
    if not isinstance(arch, Architecture):
        raise not_an_architecture(arch, "mnas.count")
    planned = plan(arch)
    blocks = tuple(map(_placed, planned.places, planned.blocks))
    params = sum([block.params for block in blocks])
    return Counts(
        params=params,
        params_without_classifier=params - blocks[-1].params,
        macs=sum([block.macs for block in blocks]),
        peak_activation_bytes=max([block.peak_activation_bytes for block in blocks]),
        blocks=blocks,
    )


# As in planning: networks share their blocks, so counting one is adding up what is known.
_cached = functools.lru_cache(maxsize=200_000)


@_cached
def _placed(place: str, block: PlannedBlock) -> BlockCounts:
    params, macs, peak = block_counts(block)
    return BlockCounts(place=place, params=params, macs=macs, peak_activation_bytes=peak)


@_cached
def block_counts(block: PlannedBlock) -> tuple[int, int, int]:
    """Parameters, MACs and peak activation bytes of one planned block; see `Counts`."""
    held = _elements(block.in_channels, block.size) if block.residual else 0
    peak = max(
        live + (held if index else 0)  # the first layer's input is the held residual itself
        for index, live in enumerate(map(_live_elements, block.layers))
    )
    params = sum(map(layer_params, block.layers))
    return params, sum(map(layer_macs, block.layers)), peak * _BYTES


def layer_params(layer: Layer) -> int:
    """Learnable parameters of a layer."""
    match layer:
        case Conv():
            weights = layer.out_channels * (layer.in_channels // layer.groups) * layer.kernel**2
            return weights + (layer.out_channels if layer.bias else 0)
        case Norm():
            return 2 * layer.in_channels
        case SqueezeExcite():
            weights = 2 * layer.in_channels * layer.squeeze_channels
            return weights + layer.squeeze_channels + layer.in_channels
        case Linear():
            return layer.out_channels * (layer.in_channels + int(layer.bias))
        case Activate() | Pool() | Flatten() | Dropout():
            return 0


def layer_macs(layer: Layer) -> int:
    """Multiply-accumulates of a layer for one image; convolutions and linear layers only."""
    match layer:
        case Conv():
            weights = layer.out_channels * (layer.in_channels // layer.groups) * layer.kernel**2
            return weights * halved(layer.size, layer.stride) ** 2
        case SqueezeExcite():
            return 2 * layer.in_channels * layer.squeeze_channels
        case Linear():
            return layer.in_channels * layer.out_channels
        case Norm() | Activate() | Pool() | Flatten() | Dropout():
            return 0


def _live_elements(layer: Layer) -> int:
    """Elements of input and output that are alive while a layer runs."""
    match layer:
        case Conv():
            out_size = halved(layer.size, layer.stride)
            return _elements(layer.in_channels, layer.size) + _elements(
                layer.out_channels, out_size
            )
        case SqueezeExcite():
            return 2 * _elements(layer.in_channels, layer.size)
        case Pool():
            return _elements(layer.in_channels, layer.size) + layer.in_channels
        case Linear():
            return layer.in_channels + layer.out_channels
        case Norm() | Activate():
            return _elements(layer.in_channels, layer.size)
        case Flatten() | Dropout():
            return layer.in_channels


def _elements(channels: int, size: int | None) -> int:
    return channels * (size or 1) ** 2
