"""What may stand in a search space file: every key, its values, and where lists are choices.

The tables are the grammar: `checking` finds the faults of a document by them, and `schema` writes
them down for editors.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, get_args

from mnas.arch import (
    BLOCKS,
    Activation,
    Block,
    Gate,
    OperatorField,
    Padding,
    block_operators,
    operator_fields,
)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
SPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A kind of single value.

    Attributes:
        says: What is allowed, to follow "must be".
        accepts: Whether a value is of this kind.
        schema: The same as JSON schema.
    """

    says: str
    accepts: Callable[[Any], bool]
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a key may hold.

    Attributes:
        scalar: The kind of single value, if it may be one.
        keys: The keys of the mapping, if it may be one.
        nullable: Whether null may stand here.
        choice: Whether a list may stand here, as a choice.
        each: Whether `each:` may stand here.
        required: Whether the key must be there.
    """

    scalar: Scalar | None = None
    keys: "Mapping[str, Field]" = field(default_factory=dict)
    nullable: bool = False
    choice: bool = True
    each: bool = False
    required: bool = False


def _integer(least: int, most: int) -> Scalar:
    return Scalar(
        says=f"an integer from {least} to {most}",
        accepts=lambda value: type(value) is int and least <= value <= most,
        schema={"type": "integer", "minimum": least, "maximum": most},
    )


def _number(*, above: float, most: float) -> Scalar:
    return Scalar(
        says=f"a number above {above:g} and at most {most:g}",
        accepts=lambda value: type(value) in (int, float) and above < value <= most,
        schema={"type": "number", "exclusiveMinimum": above, "maximum": most},
    )


def _share(says: str, accepts: Callable[[float], bool]) -> Scalar:
    return Scalar(
        says=says,
        accepts=lambda value: (
            type(value) in (int, float) and accepts(value) and math.isfinite(value)
        ),
        schema={"type": "number"},
    )


def _one_of(*allowed: Any) -> Scalar:
    return Scalar(
        says="one of " + ", ".join(map(spelled, allowed)),
        accepts=lambda value: any(type(value) is type(one) and value == one for one in allowed),
        schema={"enum": list(allowed)},
    )


def spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(pattern: re.Pattern[str], says: str) -> Scalar:
    return Scalar(
        says=says,
        accepts=lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None,
        schema={"type": "string", "pattern": f"^{pattern.pattern}$"},
    )


_KERNEL = Scalar(
    says="an odd integer (0, with universal_inverted_bottleneck only, leaves the convolution out)",
    accepts=lambda value: (
        type(value) is int and 0 <= value <= 63 and (value % 2 == 1 or value == 0)
    ),
    schema={"type": "integer", "minimum": 0, "maximum": 63},
)
_ACTIVATION = _one_of(*get_args(Activation))
_BOOLEAN = _one_of(True, False)
_CHANNELS = _integer(1, 65536)
NAME_FIELD = Field(
    scalar=_text(NAME, "a name of letters, digits, _ and -, beginning with a letter"), choice=False
)

_ROUNDING = {
    "divisor": Field(scalar=_integer(1, 1024), choice=False, required=True),
    "keep": Field(scalar=_share("a number from 0 to 1", lambda v: 0 <= v <= 1), choice=False),
}
SQUEEZE = {
    "name": NAME_FIELD,
    "ratio": Field(scalar=_number(above=0, most=4)),
    "of": Field(scalar=_one_of("expanded", "input")),
    "channels": Field(scalar=_CHANNELS),
    "activation": Field(scalar=_ACTIVATION, required=True),
    "gate": Field(scalar=_one_of(*get_args(Gate)), required=True),
    "rounding": Field(keys=_ROUNDING, choice=False),
}
_SCALE = Field(scalar=_one_of(True, False, "up"), choice=False)
_LAYER = {
    "kernel": Field(scalar=_KERNEL, each=True),
    "start_kernel": Field(scalar=_KERNEL, each=True),
    "expansion": Field(scalar=_number(above=0, most=64), each=True),
    "expanded_channels": Field(scalar=_CHANNELS, each=True),
    "se": Field(keys=SQUEEZE, nullable=True, each=True),
    "activation": Field(scalar=_ACTIVATION, nullable=True, each=True),
    "pointwise_activation": Field(scalar=_ACTIVATION, nullable=True, each=True),
    "expand": Field(scalar=_BOOLEAN, each=True),
    "residual": Field(scalar=_BOOLEAN, each=True),
}
HEAD = {
    "name": NAME_FIELD,
    "op": Field(scalar=_one_of("conv", "pool", "linear"), choice=False, required=True),
    "out_channels": Field(scalar=_CHANNELS),
    "out_features": Field(scalar=_CHANNELS),
    "scale": _SCALE,
    "norm": Field(scalar=_BOOLEAN),
    "bias": Field(scalar=_BOOLEAN),
    "activation": Field(scalar=_ACTIVATION, nullable=True),
}
HEAD_KEYS = {
    "conv": ("name", "op", "out_channels", "scale", "norm", "bias", "activation"),
    "pool": ("name", "op"),
    "linear": ("name", "op", "out_features", "scale", "norm", "bias", "activation"),
}
STEM = {
    "name": NAME_FIELD,
    "kernel": replace(Field(scalar=_KERNEL), required=True),
    "stride": Field(scalar=_integer(1, 64), required=True),
    "out_channels": Field(scalar=_CHANNELS, required=True),
    "activation": Field(scalar=_ACTIVATION, required=True),
    "scale": _SCALE,
}
_INPUT = {
    "channels": Field(scalar=_integer(1, 4096), choice=False, required=True),
    "resolution": Field(scalar=_integer(1, 8192), required=True),
}
_NORM = {
    "eps": Field(scalar=_share("a number above 0 and below 1", lambda v: 0 < v < 1), choice=False),
    "momentum": Field(
        scalar=_share("a number above 0 and at most 1", lambda v: 0 < v <= 1), choice=False
    ),
}
_WORDS = Field(
    scalar=Scalar(
        says="text", accepts=lambda value: isinstance(value, str), schema={"type": "string"}
    ),
    choice=False,
)
_TOP = {
    "schema": Field(scalar=_one_of("mnas.space/1"), choice=False, required=True),
    "name": Field(
        scalar=_text(SPACE_NAME, "letters, digits, . _ and -, beginning with a letter or digit"),
        choice=False,
        required=True,
    ),
    "source": _WORDS,
    "published_size": _WORDS,
}
SEQUENCES = ("stages", "head")


class Grammar(NamedTuple):
    """The keys of a file.

    Attributes:
        top: All of them.
        network: Those that decide what a network is, and that a `network:` option may replace.
    """

    top: Mapping[str, Field]
    network: Mapping[str, Field]


def grammar_of(operators: Mapping[str, type[Block]]) -> Grammar:
    """The grammar of files that use these block operators.

    Args:
        operators: By `op`; those of mnas, and those that packages add.
    """
    layer = {
        "op": Field(scalar=_one_of(*operators, "identity"), each=True),
        **{
            field.name: _field_of(field)
            for kind in operators.values()
            for field in operator_fields(kind)
            if field.name not in ("stride", "out_channels")
        },
        **_LAYER,
    }
    first = {**layer, "layer": Field(keys={"name": NAME_FIELD, **layer}, nullable=True, each=True)}
    defaults = {
        **first,
        "depth": Field(scalar=_integer(0, 100)),
        "stride": Field(scalar=_integer(1, 64)),
        "out_channels": Field(scalar=_CHANNELS),
        "scale": _SCALE,
        "first": Field(keys=first, choice=False),
    }
    stage = {"name": NAME_FIELD, **defaults}
    network = {
        "input": Field(keys=_INPUT, choice=False, required=True),
        "width": Field(scalar=_number(above=0, most=64)),
        "rounding": Field(keys=_ROUNDING, choice=False),
        "num_classes": Field(scalar=_integer(1, 1_000_000), choice=False),
        "padding": Field(scalar=_one_of(*get_args(Padding)), choice=False),
        "norm": Field(keys=_NORM, choice=False),
        "dropout": Field(
            scalar=_share("a number of at least 0 and below 1", lambda v: 0 <= v < 1), choice=False
        ),
        "stem": Field(keys=STEM, required=True),
        "defaults": Field(keys=defaults, choice=False),
        "stages": Field(keys=stage, choice=False, required=True),
        "head": Field(keys=HEAD, choice=False, required=True),
    }
    return Grammar(top={**_TOP, **network}, network=network)


def _field_of(field: OperatorField) -> Field:
    """What a field of an added operator may hold; its own `problems` say the rest."""
    scalar = {
        "number": _integer(0, 65536),
        "truth": _BOOLEAN,
        "text": _one_of(*field.options),
        "se": None,
    }[field.kind]
    return Field(scalar=scalar, nullable=field.nullable, each=True)


OWN = grammar_of(BLOCKS)


def grammar_for(document: object) -> Grammar:
    """The grammar that a document needs: with the operators of packages only if it names others."""
    if _ops_in(document) <= {*BLOCKS, "identity"}:
        return OWN
    return grammar_of(block_operators())


def _ops_in(node: object, under: str = "") -> set[str]:
    """Every text that stands where a block operator may."""
    if isinstance(node, dict):
        return {op for key, value in node.items() for op in _ops_in(value, _inside(under, key))}
    if isinstance(node, list):
        return {op for item in node for op in _ops_in(item, under)}
    return {node} if under == "op" and isinstance(node, str) else set()


def _inside(under: str, key: object) -> str:
    """Where a value stands: nowhere, among `stages` (or defaults), or as an `op` there."""
    if under == "":
        return "stages" if key in ("stages", "defaults") else "" if key == "network" else "other"
    if under in ("op", "other"):
        return under
    return "op" if key == "op" else under
