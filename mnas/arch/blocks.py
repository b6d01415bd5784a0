"""The block operators that mnas brings, each as one value."""

from dataclasses import dataclass, field
from typing import Literal

from mnas.arch.layers import (
    ACTIVATIONS,
    Activation,
    Layer,
    conv_norm,
    depthwise,
    halved,
)
from mnas.arch.pieces import (
    SE,
    Block,
    Problems,
    at_least_one,
    odd,
    one_of,
    shape_problems,
    squeeze_excite,
    squeeze_problems,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvBlock:
    """A plain convolution: conv kxk, norm, activation (or none)."""

    op: Literal["conv"] = field(default="conv", kw_only=True)
    kernel: int
    stride: int
    out_channels: int
    activation: Activation | None
    residual: bool

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        return conv_norm(
            "",
            in_channels,
            size,
            self.out_channels,
            activation=self.activation,
            kernel=self.kernel,
            stride=self.stride,
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from odd("kernel", self.kernel)
        yield from one_of((*ACTIVATIONS, None), activation=self.activation)
        yield from shape_problems(self, in_channels, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthwiseSeparable:
    """Depthwise kxk, norm, act, [SE], pointwise, norm, [act].

    MobileNetV1 (Howard et al. 2017, arXiv:1704.04861, section 3.1) with a pointwise activation;
    the first block of V2, V3, MnasNet and EfficientNet without one.
    """

    op: Literal["depthwise_separable"] = field(default="depthwise_separable", kw_only=True)
    kernel: int
    stride: int
    out_channels: int
    activation: Activation
    pointwise_activation: Activation | None
    se: SE | None
    residual: bool

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        out_size = halved(size, self.stride)
        return (
            *depthwise(
                "depthwise",
                in_channels,
                size,
                activation=self.activation,
                kernel=self.kernel,
                stride=self.stride,
            ),
            *squeeze_excite(self.se, in_channels, out_size),
            *conv_norm(
                "pointwise",
                in_channels,
                out_size,
                self.out_channels,
                activation=self.pointwise_activation,
            ),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from odd("kernel", self.kernel)
        yield from one_of(ACTIVATIONS, activation=self.activation)
        yield from one_of((*ACTIVATIONS, None), pointwise_activation=self.pointwise_activation)
        yield from squeeze_problems(self.se)
        yield from shape_problems(self, in_channels, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvertedResidual:
    """Pointwise expand, norm, act, depthwise kxk, norm, act, [SE], pointwise, norm.

    MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381, section 3.3) and, with SE, MobileNetV3 and
    MnasNet. Without the expanding convolution it is a `DepthwiseSeparable`, and is written so:
    one network has one document.

    Attributes:
        expanded_channels: Channels of the depthwise convolution.
        expand: Always true; stated because published networks differ at expansion 1.
    """

    op: Literal["inverted_residual"] = field(default="inverted_residual", kw_only=True)
    kernel: int
    stride: int
    expanded_channels: int
    out_channels: int
    activation: Activation
    expand: bool
    se: SE | None
    residual: bool

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        expanded, out_size = self.expanded_channels, halved(size, self.stride)
        return (
            *conv_norm("expand", in_channels, size, expanded, activation=self.activation),
            *depthwise(
                "depthwise",
                expanded,
                size,
                activation=self.activation,
                kernel=self.kernel,
                stride=self.stride,
            ),
            *squeeze_excite(self.se, expanded, out_size),
            *conv_norm("project", expanded, out_size, self.out_channels, activation=None),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from odd("kernel", self.kernel)
        yield from at_least_one(expanded_channels=self.expanded_channels)
        yield from one_of(ACTIVATIONS, activation=self.activation)
        if not self.expand:
            yield (
                "expand",
                "an inverted residual without its expanding convolution is written as "
                "op 'depthwise_separable' with pointwise_activation null; got false",
            )
        yield from squeeze_problems(self.se)
        yield from shape_problems(self, in_channels, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedInvertedResidual:
    """Conv kxk expand, norm, act, [SE], pointwise, norm.

    EfficientNetV2 (Tan and Le 2021, arXiv:2104.00298, section 3.2), EfficientNet-EdgeTPU.

    Attributes:
        expanded_channels: Channels after the kxk convolution.
    """

    op: Literal["fused_inverted_residual"] = field(default="fused_inverted_residual", kw_only=True)
    kernel: int
    stride: int
    expanded_channels: int
    out_channels: int
    activation: Activation
    se: SE | None
    residual: bool

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        expanded, out_size = self.expanded_channels, halved(size, self.stride)
        return (
            *conv_norm(
                "expand",
                in_channels,
                size,
                expanded,
                activation=self.activation,
                kernel=self.kernel,
                stride=self.stride,
            ),
            *squeeze_excite(self.se, expanded, out_size),
            *conv_norm("project", expanded, out_size, self.out_channels, activation=None),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from odd("kernel", self.kernel)
        yield from at_least_one(expanded_channels=self.expanded_channels)
        yield from one_of(ACTIVATIONS, activation=self.activation)
        yield from squeeze_problems(self.se)
        yield from shape_problems(self, in_channels, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class UniversalInvertedBottleneck:
    """[Depthwise, norm], pointwise expand, norm, act, [depthwise, norm, act], pointwise, norm.

    MobileNetV4 (Qin et al. 2024, arXiv:2404.10518, section 4).

    Attributes:
        start_kernel: Side of the first depthwise kernel, 0 for none.
        kernel: Side of the middle depthwise kernel, 0 for none; it has the stride if it is there.
        expanded_channels: Channels between the two pointwise convolutions.
    """

    op: Literal["universal_inverted_bottleneck"] = field(
        default="universal_inverted_bottleneck", kw_only=True
    )
    start_kernel: int
    kernel: int
    stride: int
    expanded_channels: int
    out_channels: int
    activation: Activation
    residual: bool

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        expanded, out_size = self.expanded_channels, halved(size, self.stride)
        start_stride = 1 if self.kernel else self.stride
        inner_size = halved(size, start_stride)
        start = depthwise(
            "start",
            in_channels,
            size,
            activation=None,
            kernel=self.start_kernel,
            stride=start_stride,
        )
        middle = depthwise(
            "depthwise",
            expanded,
            inner_size,
            activation=self.activation,
            kernel=self.kernel,
            stride=self.stride,
        )
        return (
            *(start if self.start_kernel else ()),
            *conv_norm("expand", in_channels, inner_size, expanded, activation=self.activation),
            *(middle if self.kernel else ()),
            *conv_norm("project", expanded, out_size, self.out_channels, activation=None),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        for name, kernel in (("start_kernel", self.start_kernel), ("kernel", self.kernel)):
            if kernel not in (0, 3, 5):
                yield name, f"must be 0, 3 or 5 (0: no such convolution); got {kernel}"
        if self.stride > 1 and not (self.kernel or self.start_kernel):
            yield "stride", f"no depthwise convolution is there to have it; got {self.stride}"
        yield from at_least_one(expanded_channels=self.expanded_channels)
        yield from one_of(ACTIVATIONS, activation=self.activation)
        yield from shape_problems(self, in_channels, size)


BLOCKS: dict[str, type[Block]] = {
    "conv": ConvBlock,
    "depthwise_separable": DepthwiseSeparable,
    "inverted_residual": InvertedResidual,
    "fused_inverted_residual": FusedInvertedResidual,
    "universal_inverted_bottleneck": UniversalInvertedBottleneck,
}
