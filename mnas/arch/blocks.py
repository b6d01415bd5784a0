"""What stands in an architecture document: stem, block operators, head items, each as one value.

Each knows its layers, given the channels and the size that come in, and the faults that its own
fields have. A block adds its input to its output when `residual` is true; that is stated, never
deduced, because published networks differ where shapes would allow it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from mnas.arch.layers import (
    Activate,
    Activation,
    Conv,
    Flatten,
    Gate,
    Layer,
    Linear,
    Norm,
    Pool,
    SqueezeExcite,
    halved,
)

Problems = Iterator[tuple[str, str]]  # (field, what was found and what is allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SE:
    """Squeeze-and-excite after the depthwise (or the fused) convolution's activation.

    Attributes:
        channels: Channels of the squeezed vector.
    """

    channels: int
    activation: Activation
    gate: Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """The first convolution: conv, norm, activation."""

    kernel: int
    stride: int
    out_channels: int
    activation: Activation

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        return _conv_norm(
            "", in_channels, size, self.out_channels, self.activation, self.kernel, self.stride
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from _odd("kernel", self.kernel)
        yield from _stride(self.stride, size)
        yield from _positive(out_channels=self.out_channels)


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
        return _conv_norm(
            "", in_channels, size, self.out_channels, self.activation, self.kernel, self.stride
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from _odd("kernel", self.kernel)
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
        return (
            *_depthwise("depthwise", in_channels, size, self.activation, self.kernel, self.stride),
            *_se(self.se, in_channels, halved(size, self.stride)),
            *_conv_norm(
                "pointwise",
                in_channels,
                halved(size, self.stride),
                self.out_channels,
                self.pointwise_activation,
            ),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from _odd("kernel", self.kernel)
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
            *_conv_norm("expand", in_channels, size, expanded, self.activation),
            *_depthwise("depthwise", expanded, size, self.activation, self.kernel, self.stride),
            *_se(self.se, expanded, out_size),
            *_conv_norm("project", expanded, out_size, self.out_channels, None),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from _odd("kernel", self.kernel)
        yield from _positive(expanded_channels=self.expanded_channels)
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
            *_conv_norm(
                "expand", in_channels, size, expanded, self.activation, self.kernel, self.stride
            ),
            *_se(self.se, expanded, out_size),
            *_conv_norm("project", expanded, out_size, self.out_channels, None),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        yield from _odd("kernel", self.kernel)
        yield from _positive(expanded_channels=self.expanded_channels)
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
        start = _depthwise("start", in_channels, size, None, self.start_kernel, start_stride)
        middle = _depthwise(
            "depthwise", expanded, inner_size, self.activation, self.kernel, self.stride
        )
        return (
            *(start if self.start_kernel else ()),
            *_conv_norm("expand", in_channels, inner_size, expanded, self.activation),
            *(middle if self.kernel else ()),
            *_conv_norm("project", expanded, out_size, self.out_channels, None),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        for name, kernel in (("start_kernel", self.start_kernel), ("kernel", self.kernel)):
            if kernel not in (0, 3, 5):
                yield name, f"must be 0, 3 or 5 (0: no such convolution); got {kernel}"
        if self.stride > 1 and not (self.kernel or self.start_kernel):
            yield "stride", f"no depthwise convolution is there to have it; got {self.stride}"
        yield from _positive(expanded_channels=self.expanded_channels)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConv:
    """A 1x1 convolution of the head, before or after pooling."""

    op: Literal["conv"] = field(default="conv", kw_only=True)
    out_channels: int
    norm: bool
    bias: bool
    activation: Activation | None

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        conv = Conv(
            name="conv",
            in_channels=in_channels,
            size=size,
            out_channels=self.out_channels,
            bias=self.bias,
        )
        return (conv, *_after("", self.out_channels, size, self.norm, self.activation))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadPool:
    """Global average pooling."""

    op: Literal["pool"] = field(default="pool", kw_only=True)

    def layers(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        return (Pool(name="pool", in_channels=in_channels, size=size),)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLinear:
    """A fully connected layer of the head, after pooling."""

    op: Literal["linear"] = field(default="linear", kw_only=True)
    out_features: int
    norm: bool
    bias: bool
    activation: Activation | None

    def layers(self, in_channels: int, size: int | None) -> tuple[Layer, ...]:
        flatten = Flatten(name="flatten", in_channels=in_channels)
        linear = Linear(
            name="linear", in_channels=in_channels, out_channels=self.out_features, bias=self.bias
        )
        return (
            *(() if size is None else (flatten,)),
            linear,
            *_after("", self.out_features, None, self.norm, self.activation),
        )


HeadItem = HeadConv | HeadPool | HeadLinear


def _after(
    prefix: str, channels: int, size: int | None, norm: bool, activation: Activation | None
) -> Iterator[Layer]:
    name = f"{prefix}_" if prefix else ""
    if norm:
        yield Norm(name=f"{name}norm", in_channels=channels, size=size)
    if activation is not None:
        yield Activate(
            name=f"{name}activation", in_channels=channels, size=size, activation=activation
        )


def _conv_norm(
    prefix: str,
    in_channels: int,
    size: int,
    out_channels: int,
    activation: Activation | None,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> tuple[Layer, ...]:
    conv = Conv(
        name=f"{prefix}_conv" if prefix else "conv",
        in_channels=in_channels,
        size=size,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride,
        groups=groups,
    )
    return (conv, *_after(prefix, out_channels, halved(size, stride), True, activation))


def _depthwise(
    prefix: str, channels: int, size: int, activation: Activation | None, kernel: int, stride: int
) -> tuple[Layer, ...]:
    return _conv_norm(prefix, channels, size, channels, activation, kernel, stride, channels)


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


def _positive(**fields: int) -> Problems:
    for name, value in fields.items():
        if value < 1:
            yield name, f"must be at least 1; got {value}"


def _squeeze(se: SE | None) -> Problems:
    if se is not None and se.channels < 1:
        yield "se.channels", f"must be at least 1; got {se.channels}"


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
    yield from _positive(out_channels=block.out_channels)
    yield from _stride(block.stride, size)
    if block.residual and (block.stride != 1 or block.out_channels != in_channels):
        yield (
            "residual",
            "cannot be true where the shape changes: "
            f"{in_channels} -> {block.out_channels} channels, stride {block.stride}",
        )


def literal_values(annotation: object) -> tuple[str, ...]:
    """The strings a Literal allows, for messages and schemas."""
    return tuple(str(value) for value in get_args(annotation))
