"""The layers a block is made of, with every size: modules, counts and table keys are read from them.

A layer maps one image's (in_channels, size, size) activation to another one. `size` is the side of
a square feature map in pixels. With odd kernels both paddings give ceil(size / stride), so a layer
need not know which padding the network has, nor the constants of its batch normalisation.
"""

from dataclasses import dataclass
from typing import Literal

Activation = Literal["relu", "relu6", "hard_swish", "silu", "gelu"]
Gate = Literal["sigmoid", "hard_sigmoid"]
Padding = Literal["symmetric", "same"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """A square 2d convolution."""

    name: str
    in_channels: int
    size: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """Batch normalisation, of a vector when `size` is None."""

    name: str
    in_channels: int
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activate:
    """An element-wise activation."""

    name: str
    in_channels: int
    size: int | None
    activation: Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class SqueezeExcite:
    """Pool, 1x1 conv, activation, 1x1 conv, gate, multiply (Hu et al. 2018, arXiv:1709.01507)."""

    name: str
    in_channels: int
    size: int
    squeeze_channels: int
    activation: Activation
    gate: Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Global average pooling to a 1x1 map."""

    name: str
    in_channels: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten:
    """A (channels, 1, 1) map becomes a vector of channels."""

    name: str
    in_channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A fully connected layer on a vector."""

    name: str
    in_channels: int
    out_channels: int
    bias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Dropout of a vector; does something in training only."""

    name: str
    in_channels: int
    rate: float


Layer = Conv | Norm | Activate | SqueezeExcite | Pool | Flatten | Linear | Dropout


def halved(size: int, stride: int) -> int:
    """The side of the map after a convolution of that stride, in pixels: ceil(size / stride)."""
    return -(-size // stride)


def output_of(layer: Layer) -> tuple[int, int | None]:
    """Channels and side (pixels; None for a vector) of what a layer gives."""
    match layer:
        case Conv():
            return layer.out_channels, halved(layer.size, layer.stride)
        case Pool():
            return layer.in_channels, 1
        case Flatten() | Dropout():
            return layer.in_channels, None
        case Linear():
            return layer.out_channels, None
        case Norm() | Activate() | SqueezeExcite():
            return layer.in_channels, layer.size
