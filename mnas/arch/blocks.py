"""The stem and the block operators of an architecture document, each as one value.

Each knows its layers, given the channels and the size that come in, and the faults that its own
fields have. A block adds its input to its output when `residual` is true; that is stated, never
deduced, because published networks differ where shapes would allow it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mnas.arch.layers import (
    ACTIVATIONS,
    GATES,
    Activation,
    Gate,
    Layer,
    SqueezeExcite,
    conv_norm,
    depthwise,
    halved,
)

Problems = Iterator[tuple[str, str]]  # (field, what was found and what is allowed)


def at_least_one(**fields: int) -> Problems:
    """The problem of each named number that is below 1."""
    for name, value in fields.items():
        if value < 1:
            yield name, f"must be at least 1; got {value}"


def one_of(allowed: Sequence[str | None], **fields: str | None) -> Problems:
    """The problem of each named text that is not allowed; a type checker cannot see them all."""
    for name, value in fields.items():
        if value not in allowed:
            listed = ", ".join(map(repr, allowed))
            yield name, f"must be one of {listed}; got {value!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SE:
    """Squeeze-and-excite after the depthwise (or the fused) convolution's activation.

    Attributes:
        channels: Channels of the squeezed vector.
    """

    channels: int
    activation: Activation
    gate: Gate

    def problems(self) -> Problems:
        yield from at_least_one(channels=self.channels)
        yield from one_of(ACTIVATIONS, activation=self.activation)
        yield from one_of(GATES, gate=self.gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """The first convolution: conv, norm, activation."""

    kernel: int
    stride: int
    out_channels: int
    activation: Activation

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
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
        yield from _odd("kernel", self.kernel)
        yield from _stride(self.stride, size)
        yield from at_least_one(out_channels=self.out_channels)
        yield from one_of(ACTIVATIONS, activation=self.activation)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvBlock:
    """A plain convolution: conv kxk, norm, activation (or none)."""

    op: Literal["conv"] = field(default="conv", kw_only=True)
    kernel: int
    stride: int
    out_channels: int
    activation: Activation | None
    residual: bool

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
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
        yield from _odd("kernel", self.kernel)
        yield from one_of((*ACTIVATIONS, None), activation=self.activation)
        yield from _block(self, in_channels, size)


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

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
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
            *_se(self.se, in_channels, out_size),
            *conv_norm(
                "pointwise",
                in_channels,
                out_size,
                self.out_channels,
                activation=self.pointwise_activation,
            ),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from _odd("kernel", self.kernel)
        yield from one_of(ACTIVATIONS, activation=self.activation)
        yield from one_of((*ACTIVATIONS, None), pointwise_activation=self.pointwise_activation)
        yield from _squeeze(self.se)
        yield from _block(self, in_channels, size)


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

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
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
            *_se(self.se, expanded, out_size),
            *conv_norm("project", expanded, out_size, self.out_channels, activation=None),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from _odd("kernel", self.kernel)
        yield from at_least_one(expanded_channels=self.expanded_channels)
        yield from one_of(ACTIVATIONS, activation=self.activation)
        if not self.expand:
            yield (
                "expand",
                "an inverted residual without its expanding convolution is written as "
                "op 'depthwise_separable' with pointwise_activation null; got false",
            )
        yield from _squeeze(self.se)
        yield from _block(self, in_channels, size)


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

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
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
            *_se(self.se, expanded, out_size),
            *conv_norm("project", expanded, out_size, self.out_channels, activation=None),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from _odd("kernel", self.kernel)
        yield from at_least_one(expanded_channels=self.expanded_channels)
        yield from one_of(ACTIVATIONS, activation=self.activation)
        yield from _squeeze(self.se)
        yield from _block(self, in_channels, size)


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

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
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
        yield from _block(self, in_channels, size)


Block = (
    ConvBlock
    | DepthwiseSeparable
    | InvertedResidual
    | FusedInvertedResidual
    | UniversalInvertedBottleneck
)
BLOCKS: dict[str, type[Block]] = {
    "conv": ConvBlock,
    "depthwise_separable": DepthwiseSeparable,
    "inverted_residual": InvertedResidual,
    "fused_inverted_residual": FusedInvertedResidual,
    "universal_inverted_bottleneck": UniversalInvertedBottleneck,
}


def _se(se: SE | None, channels: int, size: int) -> tuple[Layer, ...]:
    if se is None:
        return ()
    return (
        SqueezeExcite(
            name="se",
            in_channels=channels,
            size=size,
            squeeze_channels=se.channels,
            activation=se.activation,
            gate=se.gate,
        ),
    )


def _odd(name: str, kernel: int) -> Problems:
    if kernel < 1 or kernel % 2 == 0:
        yield (
            name,
            f"kernels must be odd and positive, so that padding keeps the size; got {kernel}",
        )


def _squeeze(se: SE | None) -> Problems:
    if se is not None:
        for name, problem in se.problems():
            yield f"se.{name}", problem


def _stride(stride: int, size: int) -> Problems:
    if stride < 1:
        yield "stride", f"must be at least 1; got {stride}"
    elif stride > 1 and size == 1:
        yield (
            "stride",
            f"the resolution has vanished: a 1x1 map cannot be reduced by stride {stride}; "
            "use a higher input resolution or fewer strides",
        )


def _block(block: Block, in_channels: int, size: int) -> Problems:
    """Problems that every block operator can have."""
    yield from at_least_one(out_channels=block.out_channels)
    yield from _stride(block.stride, size)
    if block.residual and (block.stride != 1 or block.out_channels != in_channels):
        yield (
            "residual",
            "cannot be true where the shape changes: "
            f"{in_channels} -> {block.out_channels} channels, stride {block.stride}",
        )
