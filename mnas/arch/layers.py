"""The layers a block is made of, with every size: modules and counts are read from them.

A layer maps one image's (in_channels, size, size) activation to another one. `size` is the side of
a square feature map in pixels. With odd kernels both paddings give ceil(size / stride), so a layer
need not know which padding the network has, nor the constants of its batch normalisation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Activation = Literal["relu", "relu6", "hard_swish", "silu", "gelu"]
Gate = Literal["sigmoid", "hard_sigmoid"]
Padding = Literal["symmetric", "same"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
GATES: tuple[Gate, ...] = get_args(Gate)
PADDINGS: tuple[Padding, ...] = get_args(Padding)


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


def norm_and_activation(
    prefix: str, channels: int, size: int | None, *, norm: bool, activation: Activation | None
) -> Iterator[Layer]:
    """What may follow a convolution or a linear layer; `prefix` begins the layers' names."""
    if norm:
        yield Norm(name=_named(prefix, "norm"), in_channels=channels, size=size)
    if activation is not None:
        name = _named(prefix, "activation")
        yield Activate(name=name, in_channels=channels, size=size, activation=activation)


def conv_norm(
    prefix: str,
    in_channels: int,
    size: int,
    out_channels: int,
    *,
    activation: Activation | None,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> tuple[Layer, ...]:
    """A convolution without bias, its normalisation and, if there is one, its activation."""
    conv = Conv(
        name=_named(prefix, "conv"),
        in_channels=in_channels,
        size=size,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride,
        groups=groups,
    )
    out_size = halved(size, stride)
    after = norm_and_activation(prefix, out_channels, out_size, norm=True, activation=activation)
    return (conv, *after)


def depthwise(
    prefix: str,
    channels: int,
    size: int,
    *,
    activation: Activation | None,
    kernel: int,
    stride: int,
) -> tuple[Layer, ...]:
    """A convolution of each channel by itself, its normalisation and activation."""
    return conv_norm(
        prefix,
        channels,
        size,
        channels,
        activation=activation,
        kernel=kernel,
        stride=stride,
        groups=channels,
    )


def _named(prefix: str, name: str) -> str:
    return f"{prefix}_{name}" if prefix else name
