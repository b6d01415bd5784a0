"""What stands between the last block and the classifier, each item as one value."""

from dataclasses import dataclass, field
from typing import Literal

from mnas.arch.layers import (
    ACTIVATIONS,
    Activation,
    Conv,
    Flatten,
    Layer,
    Linear,
    Pool,
    norm_and_activation,
)
from mnas.arch.pieces import Problems, at_least_one, one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConv:
    """A 1x1 convolution of the head, before or after pooling."""

    op: Literal["conv"] = field(default="conv", kw_only=True)
    out_channels: int
    norm: bool
    bias: bool
    activation: Activation | None

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        conv = Conv(
            name="conv",
            in_channels=in_channels,
            size=size,
            out_channels=self.out_channels,
            bias=self.bias,
        )
        after = norm_and_activation(
            "", self.out_channels, size, norm=self.norm, activation=self.activation
        )
        return (conv, *after)

    def problems(self) -> Problems:
        yield from at_least_one(out_channels=self.out_channels)
        yield from one_of((*ACTIVATIONS, None), activation=self.activation)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadPool:
    """Global average pooling."""

    op: Literal["pool"] = field(default="pool", kw_only=True)

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        return (Pool(name="pool", in_channels=in_channels, size=size),)

    def problems(self) -> Problems:
        yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLinear:
    """A fully connected layer of the head, after pooling."""

    op: Literal["linear"] = field(default="linear", kw_only=True)
    out_features: int
    norm: bool
    bias: bool
    activation: Activation | None

    def plan(self, in_channels: int, size: int | None) -> tuple[Layer, ...]:
        flatten = Flatten(name="flatten", in_channels=in_channels)
        linear = Linear(
            name="linear", in_channels=in_channels, out_channels=self.out_features, bias=self.bias
        )
        return (
            *(() if size is None else (flatten,)),
            linear,
            *norm_and_activation(
                "", self.out_features, None, norm=self.norm, activation=self.activation
            ),
        )

    def problems(self) -> Problems:
        yield from at_least_one(out_features=self.out_features)
        yield from one_of((*ACTIVATIONS, None), activation=self.activation)


HeadItem = HeadConv | HeadPool | HeadLinear
