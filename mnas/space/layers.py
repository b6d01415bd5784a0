"""From the resolved fields of one layer to its block: expansion, width, SE and rounding."""

import functools
from typing import Any, Literal, NamedTuple, cast

from mnas.arch import (
    SE,
    Activation,
    Block,
    ConvBlock,
    DepthwiseSeparable,
    FusedInvertedResidual,
    Gate,
    InvertedResidual,
    OperatorField,
    UniversalInvertedBottleneck,
    block_operator,
    operator_fields,
)

# What each operator uses, in the order in which its choices are asked. `width` is `expansion` or
# `expanded_channels`, whichever stands nearest.
OP_FIELDS: dict[str, tuple[str, ...]] = {
    "identity": (),
    "conv": ("kernel", "activation", "residual"),
    "depthwise_separable": ("kernel", "activation", "pointwise_activation", "se", "residual"),
    "inverted_residual": ("kernel", "width", "activation", "expand", "se", "residual"),
    "fused_inverted_residual": ("kernel", "width", "activation", "se", "residual"),
    "universal_inverted_bottleneck": (
        "start_kernel",
        "kernel",
        "width",
        "activation",
        "residual",
    ),
}
SAME = ("expansion", "expanded_channels")  # two ways to state `width`
_OF_THE_STAGE = ("stride", "out_channels")
UNSAID = "?"  # stands for an operator that a faulty file does not say, so that the rest is checked
OPTIONAL: dict[str, Any] = {
    "pointwise_activation": None,
    "se": None,
    "expand": False,
    "residual": True,
}


def op_fields(op: str) -> tuple[str, ...]:
    """What an operator uses, in the order in which its choices are asked.

    `width` is `expansion` or `expanded_channels`, whichever stands nearest.
    """
    if op == UNSAID:
        return ()
    known = OP_FIELDS.get(op)
    return known if known is not None else _added_fields(op)


def when_missing(name: str) -> Any:
    """The value of a field that a file leaves out; a mild one where it may not, for the checks."""
    return _MILD.get(name, OPTIONAL.get(name, 3))


@functools.cache
def _added_fields(op: str) -> tuple[str, ...]:
    names = [field.name for field in _fields_of(op) if field.name not in _OF_THE_STAGE]
    return tuple("width" if name == "expanded_channels" else name for name in names)


def _fields_of(op: str) -> tuple[OperatorField, ...]:
    kind = block_operator(op)
    assert kind is not None, "an unknown operator is a fault of the file"
    return operator_fields(kind)


_ANY_SIZE = 1 << 16  # pixels; whether a resolution vanishes is found elsewhere


HangsOn = Literal["fields", "shape", "all"]  # of the layer; the shape that comes in; both


class ImpossibleLayerError(Exception):
    """A combination that no layer can be; found when a file is loaded, so nobody else meets it."""

    def __init__(self, field: str, problem: str, *, hangs_on: HangsOn = "fields") -> None:
        super().__init__(problem)
        self.field, self.problem, self.hangs_on = field, problem, hangs_on


class Rounding(NamedTuple):
    """make_divisible of the MobileNet authors: to a multiple, never below a share of the value."""

    divisor: int = 8
    keep: float = 0.9

    def __call__(self, value: float) -> int:
        """Round half up to a multiple of the divisor, and one further if too much was lost."""
        rounded = max(self.divisor, int(value + self.divisor / 2) // self.divisor * self.divisor)
        return rounded + self.divisor if rounded < self.keep * value else rounded


class Sizing(NamedTuple):
    """The width multiplier of a network, and how its products are rounded."""

    width: float
    rounding: Rounding

    def scaled(self, number: int, scale: bool | str) -> int:
        """A number of channels at this width; at width 1 it stays as written."""
        if scale is False or self.width == 1 or (scale == "up" and self.width < 1):
            return number
        return self.rounding(number * self.width)


class Expansion(NamedTuple):
    """How wide the middle of a layer is: a multiple of its input, or a number."""

    ratio: float | None
    channels: int | None

    def of(self, in_channels: int, sizing: Sizing, scale: bool | str) -> int:
        if self.ratio is None:
            assert self.channels is not None
            return sizing.scaled(self.channels, scale)
        return in_channels if self.ratio == 1 else sizing.rounding(in_channels * self.ratio)


_MILD = {"width": Expansion(ratio=2, channels=None), "activation": "relu"}


class Squeeze(NamedTuple):
    """Squeeze-and-excite of a file: its channels, or a ratio of the expanded or input channels."""

    ratio: float | None
    of: str
    channels: int | None
    activation: Activation
    gate: Gate
    rounding: Rounding | None

    def at(self, in_channels: int, expanded: int, sizing: Sizing) -> SE:
        channels = self.channels
        if channels is None:
            assert self.ratio is not None
            rounding = self.rounding or sizing.rounding
            channels = rounding(self.ratio * (expanded if self.of == "expanded" else in_channels))
        return SE(channels=channels, activation=self.activation, gate=self.gate)


@functools.lru_cache(maxsize=100_000)
def layer_block(
    op: str,
    values: tuple[Any, ...],
    shape: tuple[int, int, int],
    sizing: Sizing,
    scale: bool | str,
) -> Block | None:
    """The block of one layer.

    Args:
        op: Operator, or `identity`.
        values: The values of `op_fields(op)`, in that order.
        shape: Input channels, output channels, stride.
        sizing: Width and rounding of the network.
        scale: Whether width applies to the numbers of this stage.

    Returns:
        The block; None for an identity, which is nothing.

    Raises:
        ImpossibleLayerError: No layer can be this.
    """
    in_channels, out_channels, stride = shape
    given = dict(zip(op_fields(op), values, strict=True))
    if op == UNSAID:
        return None
    if op == "identity":
        if in_channels != out_channels or stride != 1:
            raise ImpossibleLayerError(
                "op",
                f"'identity' cannot change the shape: {in_channels} -> {out_channels} channels, "
                f"stride {stride}",
                hangs_on="shape",
            )
        return None
    if op not in OP_FIELDS:
        return _added_block(op, given, shape, sizing, scale)
    if op != "conv" and given["activation"] is None:
        raise ImpossibleLayerError("activation", f"null is for op 'conv' only; this is {op!r}")
    fields: dict[str, Any] = {**given, "stride": stride, "out_channels": out_channels}
    fields["residual"] = given["residual"] and in_channels == out_channels and stride == 1
    _check_kernels(op, given, stride)
    if op == "conv":
        return ConvBlock(**fields)
    width: Expansion | None = fields.pop("width", None)
    expanded = width.of(in_channels, sizing, scale) if width is not None else in_channels
    if op == "universal_inverted_bottleneck":
        return UniversalInvertedBottleneck(**fields, expanded_channels=expanded)
    squeeze: Squeeze | None = fields.pop("se")
    se = squeeze.at(in_channels, expanded, sizing) if squeeze is not None else None
    if op == "depthwise_separable":
        return DepthwiseSeparable(**fields, se=se)
    if op == "fused_inverted_residual":
        return FusedInvertedResidual(**fields, expanded_channels=expanded, se=se)
    assert width is not None
    # What is stated counts: a ratio or a number that comes to the input's channels is no ratio 1.
    if not fields.pop("expand") and width.ratio == 1:
        return DepthwiseSeparable(**fields, pointwise_activation=None, se=se)
    return InvertedResidual(**fields, expanded_channels=expanded, expand=True, se=se)


def _added_block(
    op: str,
    given: dict[str, Any],
    shape: tuple[int, int, int],
    sizing: Sizing,
    scale: bool | str,
) -> Block:
    """The block of an operator that a package adds, by the kinds of its fields."""
    in_channels, out_channels, stride = shape
    kind: Any = block_operator(op)
    width: Expansion | None = given.get("width")
    expanded = width.of(in_channels, sizing, scale) if width is not None else in_channels
    values: dict[str, Any] = {"stride": stride, "out_channels": out_channels}
    for field in _fields_of(op):
        name, value = field.name, cast(Any, given.get(field.name))
        if name == "expanded_channels":
            values[name] = expanded
        elif field.kind == "se":
            values[name] = None if value is None else value.at(in_channels, expanded, sizing)
        elif name == "residual":
            values[name] = value and in_channels == out_channels and stride == 1
        elif name not in values:
            values[name] = sizing.scaled(value, scale) if field.is_channels else value
    block: Block = kind(**values)
    for name, problem in block.problems(in_channels, _ANY_SIZE):
        raise ImpossibleLayerError(name.partition(".")[0], problem, hangs_on="all")
    return block


def _check_kernels(op: str, given: dict[str, Any], stride: int) -> None:
    if op != "universal_inverted_bottleneck":
        if given["kernel"] == 0:
            raise ImpossibleLayerError("kernel", f"0 is not for op {op!r}; kernels must be odd")
        return
    for name in ("start_kernel", "kernel"):
        if given[name] not in (0, 3, 5):
            raise ImpossibleLayerError(name, f"must be 0, 3 or 5 with op {op!r}; got {given[name]}")
    if stride > 1 and not given["start_kernel"] and not given["kernel"]:
        problem = f"start_kernel and kernel are both 0, so nothing can have the stride {stride}"
        raise ImpossibleLayerError("kernel", problem)
