"""Which block operators there are: those of mnas, and those that installed packages add.

A package adds one with an entry point of the group `mnas.blocks`: the name is the operator's `op`,
the value its class (see `Block`). Entry points are read when a name is not one of mnas's own.
"""

import functools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Literal

from mnas.arch.blocks import BLOCKS
from mnas.arch.errors import MnasError
from mnas.arch.layers import ACTIVATIONS, GATES, Activate, Layer, SqueezeExcite, halved, output_of
from mnas.arch.pieces import (
    SE,
    Block,
    Problems,
    at_least_one,
    odd,
    one_of,
    shape_problems,
    squeeze_problems,
)
from mnas.arch.plug_ins import plug_ins

GROUP = "mnas.blocks"
BY_PACKAGES = f"; installed packages may add operators (entry point {GROUP!r})"
_NEEDED = ("op", "stride", "out_channels", "residual")
# Words that have another meaning in a space file, or in the key of a table row.
_OF_A_STAGE = ("name", "depth", "scale", "first", "layer", "each", "expansion", "width")
_OF_A_KEY = ("in_channels", "size", "padding")
Kind = Literal["number", "truth", "text", "se"]


class InvalidBlockOperatorError(MnasError):
    """An entry point of `mnas.blocks` gives something that is no block operator; says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorField:
    """What a field of an operator holds, read from its declared type.

    Attributes:
        kind: `number` for `int`, `truth` for `bool`, `text` for `Literal`, `se` for `SE | None`.
        options: The texts that are allowed, for `text`.
        nullable: Whether it may be null.
    """

    name: str
    kind: Kind
    options: tuple[str, ...] = ()
    nullable: bool = False

    @property
    def is_channels(self) -> bool:
        """Whether it is a number of channels, which a width multiplies: its name ends so."""
        return self.kind == "number" and self.name.endswith("channels")


def block_operator(op: object) -> type[Block] | None:
    """The class of an operator, None if nobody knows the name."""
    if not isinstance(op, str):
        return None
    return BLOCKS.get(op) or added_operators().get(op)


def block_operators() -> dict[str, type[Block]]:
    """Every operator by its `op`: those of mnas first, then those of installed packages."""
    return {**BLOCKS, **added_operators()}


@functools.cache
def added_operators() -> Mapping[str, type[Block]]:
    """The operators of installed packages, by `op`.

    Raises:
        InvalidBlockOperatorError: One of them cannot be loaded or is no block operator.
    """
    added = plug_ins(
        GROUP, "block operator", taken={*BLOCKS, "identity"}, error=InvalidBlockOperatorError
    )
    found: dict[str, type[Block]] = {}
    for name, plug_in in added.items():
        kind = plug_in.load()
        problems = list(operator_problems(kind, name))
        problems = problems or list(_conflicts(kind, found))
        if problems:
            raise InvalidBlockOperatorError("\n  ".join([f"{plug_in.where}:", *problems]))
        found[name] = kind
    return found


def operator_problems(kind: Any, op: str) -> Iterator[str]:
    """What keeps a class from being the block operator of that name."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        yield f"must be a frozen dataclass; got {kind!r}"
        return
    # typeshed does not know what @dataclass keeps of its arguments.
    if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "must be a frozen dataclass: @dataclass(frozen=True, slots=True, kw_only=True)"
    for method in ("plan", "problems"):
        if not callable(getattr(kind, method, None)):
            yield f"needs a method `{method}(self, in_channels, size)`"
    named = {field.name: field for field in fields(kind)}
    for name in _NEEDED:
        if name not in named:
            yield f"needs a field `{name}`"
    if "op" in named and named["op"].default != op:
        yield f"the default of `op` must be {op!r}; got {named['op'].default!r}"
    elif "op" in named and typing.get_type_hints(kind)["op"] != Literal[op]:
        yield f"`op` must be declared as Literal[{op!r}]"
    for name, field in named.items():
        if name != "op" and (field.default, field.default_factory) != (MISSING, MISSING):
            yield f"`{name}` has a default: a document states every field"
        if name in (*_OF_A_STAGE, *_OF_A_KEY):
            yield f"`{name}` has another meaning in a space file or a table; take another name"
    try:
        found = {field.name: field for field in operator_fields(kind)}
    except InvalidBlockOperatorError as error:
        yield str(error)
        return
    for name, known in _known_kinds().items():
        if name in found and found[name].kind != known:
            yield f"`{name}` must be a {known}, as in other operators; got a {found[name].kind}"


def _conflicts(kind: type[Block], others: Mapping[str, type[Block]]) -> Iterator[str]:
    """Fields that another added operator declares otherwise: a space file has one of each name."""
    own = {field.name: field for field in operator_fields(kind)}
    for op, other in others.items():
        for field in operator_fields(other):
            if field.name not in _known_kinds() and own.get(field.name, field) != field:
                yield f"`{field.name}` is declared otherwise by the block operator {op!r}"


@functools.cache
def operator_fields(kind: type[Block]) -> tuple[OperatorField, ...]:
    """The fields of an operator without `op`, in the order in which they are declared.

    Raises:
        InvalidBlockOperatorError: A field has a type that a document cannot hold.
    """
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(typing.cast(Any, kind)) if field.name != "op"]
    return tuple(_field(name, hints[name]) for name in names)


def _field(name: str, hint: Any) -> OperatorField:
    parts = typing.get_args(hint) if typing.get_origin(hint) is not Literal else (hint,)
    kinds = [part for part in parts or (hint,) if part is not type(None)]
    nullable = type(None) in parts
    match kinds:
        case [kind] if kind is int and not nullable:
            return OperatorField(name=name, kind="number")
        case [kind] if kind is bool and not nullable:
            return OperatorField(name=name, kind="truth")
        case [kind] if kind is SE and nullable and name == "se":
            return OperatorField(name=name, kind="se", nullable=True)
        case [kind] if typing.get_origin(kind) is Literal:
            options = typing.get_args(kind)
            if all(isinstance(option, str) for option in options):
                return OperatorField(name=name, kind="text", options=options, nullable=nullable)
    raise InvalidBlockOperatorError(
        f"`{name}` must be declared as int, bool, Literal of texts, such a Literal or None, or "
        f"(named `se`) SE | None; got {hint}"
    )


@functools.cache
def _known_kinds() -> dict[str, Kind]:
    """What the fields of mnas's own operators hold."""
    own = [field for kind in BLOCKS.values() for field in operator_fields(kind)]
    return {field.name: field.kind for field in own}


def block_problems(block: Block, in_channels: int, size: int) -> Problems:
    """The problems that follow from the declared fields, for an operator's own `problems`.

    Kernels must be odd, numbers of channels at least 1, texts one of their `Literal`; a residual
    needs an unchanged shape, a stride a map that can be reduced.
    """
    for field in operator_fields(type(block)):
        value = getattr(block, field.name)
        if field.kind == "text":
            allowed = (*field.options, None) if field.nullable else field.options
            yield from one_of(allowed, **{field.name: value})
        elif field.kind == "se":
            yield from squeeze_problems(value)
        elif field.name == "kernel" or field.name.endswith("_kernel"):
            yield from odd(field.name, value)
        elif field.is_channels and field.name != "out_channels":
            yield from at_least_one(**{field.name: value})
    yield from shape_problems(block, in_channels, size)


def check_plan(block: Block, layers: tuple[Layer, ...], in_channels: int, size: int) -> None:
    """Refuse the layers of an added operator that do not chain as its fields say.

    Raises:
        InvalidBlockOperatorError: Names the operator and the first layer that does not fit.
    """
    where = f"the block operator {block.op!r} plans {block}"
    if not layers:
        raise InvalidBlockOperatorError(f"{where} without any layer")
    channels, side, names = in_channels, size, set[str]()
    for layer in layers:
        if not isinstance(layer, Layer):
            raise InvalidBlockOperatorError(f"{where}: {layer!r} is no layer of mnas.arch")
        comes = layer.in_channels, getattr(layer, "size", None)
        if comes != (channels, side):
            problem = f"takes {comes}, but {(channels, side)} comes"
            raise InvalidBlockOperatorError(f"{where}: the layer {layer.name!r} {problem}")
        if layer.name in names:
            raise InvalidBlockOperatorError(f"{where}: two layers are called {layer.name!r}")
        if isinstance(layer, Activate | SqueezeExcite):
            gates = (layer.gate,) if isinstance(layer, SqueezeExcite) else ()
            if layer.activation not in ACTIVATIONS or not set(gates) <= set(GATES):
                raise InvalidBlockOperatorError(f"{where}: no such activation or gate: {layer}")
        names.add(layer.name)
        channels, after = output_of(layer)
        side = after if after is not None else 0
    if (channels, side) != (block.out_channels, halved(size, block.stride)):
        wanted = (block.out_channels, halved(size, block.stride))
        raise InvalidBlockOperatorError(f"{where}: it ends in {(channels, side)}, not in {wanted}")
