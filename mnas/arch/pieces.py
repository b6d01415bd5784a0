"""What every block operator is, the pieces they share, and the stem.

Each knows its layers, given the channels and the size that come in, and the faults that its own
fields have. A block adds its input to its output when `residual` is true; that is stated, never
deduced, because published networks differ where shapes would allow it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mnas.arch.layers import (
    ACTIVATIONS,
    GATES,
    Activation,
    Gate,
    Layer,
    SqueezeExcite,
    conv_norm,
)

Problems = Iterator[tuple[str, str]]  # (field, what was found and what is allowed)


class Block(Protocol):
    """A block operator with its fields filled in: a frozen dataclass.

    Its fields are its schema: numbers, truths and `Literal` texts, all of them in the document.
    """

    def __hash__(self) -> int: ...

    @property
    def op(self) -> str: ...

    @property
    def stride(self) -> int: ...

    @property
    def out_channels(self) -> int: ...

    @property
    def residual(self) -> bool: ...

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        """Its layers in order, where (in_channels, size, size) comes in.

        Each takes what the one before gives; the last gives (out_channels, ceil(size / stride)).
        Module, counts, table key, ONNX and source text are all read from them.
        """
        ...

    def problems(self, in_channels: int, size: int) -> Problems:
        """What is wrong with its fields there: (field, what was found and what is allowed)."""
        ...


# Sides and channels beyond this are slips: nothing could hold such a network.
MOST = 65_536


def at_least_one(**fields: int) -> Problems:
    """The problem of each named side or number of channels that is below 1 or above `MOST`."""
    for name, value in fields.items():
        if value < 1:
            yield name, f"must be at least 1; got {value}"
        elif value > MOST:
            yield name, f"must be at most {MOST}; got {value}"


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
        yield from stride_problems(self.stride, size)
        yield from at_least_one(out_channels=self.out_channels)
        yield from one_of(ACTIVATIONS, activation=self.activation)


def squeeze_excite(se: SE | None, channels: int, size: int) -> tuple[Layer, ...]:
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


def odd(name: str, kernel: int) -> Problems:
    if kernel < 1 or kernel % 2 == 0:
        yield (
            name,
            f"kernels must be odd and positive, so that padding keeps the size; got {kernel}",
        )
    elif kernel > MOST:
        yield name, f"must be at most {MOST}; got {kernel}"


def squeeze_problems(se: SE | None) -> Problems:
    if se is not None:
        for name, problem in se.problems():
            yield f"se.{name}", problem


def stride_problems(stride: int, size: int) -> Problems:
    if stride < 1:
        yield "stride", f"must be at least 1; got {stride}"
    elif stride > 1 and size == 1:
        yield (
            "stride",
            f"the resolution has vanished: a 1x1 map cannot be reduced by stride {stride}; "
            "use a higher input resolution or fewer strides",
        )


def shape_problems(block: Block, in_channels: int, size: int) -> Problems:
    """Problems that every block operator can have."""
    yield from at_least_one(out_channels=block.out_channels)
    yield from stride_problems(block.stride, size)
    if block.residual and (block.stride != 1 or block.out_channels != in_channels):
        yield (
            "residual",
            "cannot be true where the shape changes: "
            f"{in_channels} -> {block.out_channels} channels, stride {block.stride}",
        )
