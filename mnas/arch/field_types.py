"""Whether a value of `arch` holds exactly the types that its fields declare.

A type checker does not run in a notebook, and `10.0 == 10 == True + 9`: such a network would have
another id and share the caches of the right one.
"""

import functools
import itertools
import operator
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Literal, NamedTuple

from mnas.arch.pieces import Problems

_SAID: dict[type, str] = {
    int: "an integer",
    str: "text",
    bool: "true or false",
    types.NoneType: "null",
}


class _Declared(NamedTuple):
    """The fields of a class, and every row of types that they may have."""

    names: tuple[str, ...]
    said: tuple[str, ...]
    kinds: tuple[tuple[type, ...], ...]
    values: Callable[[Any], tuple[Any, ...]]
    rows: frozenset[tuple[type, ...]]
    nested: tuple[int, ...]


# Values found sound, by `id`: equal values may differ in type, so equality cannot tell them apart.
# Each is held here, so that no other value can get its id.
_sound: dict[int, object] = {}
_MOST_SOUND = 50_000


def has_declared_types(value: object) -> bool:
    """Whether `type_problems` has nothing to say; at once for a value that was asked before."""
    if _sound.get(id(value)) is value:
        return True
    if any(type_problems(value)):
        return False
    if len(_sound) >= _MOST_SOUND:
        _sound.clear()
    _sound[id(value)] = value
    return True


def type_problems(value: Any) -> Problems:
    """The problem of each field, nested ones too, that has another type than it declares.

    Exactly that type: a boolean is no integer, and neither are 3.0 and numpy's integers.

    Args:
        value: A dataclass of `arch` whose fields are integers, text, booleans, null, or such
            dataclasses.
    """
    kind: Any = type(value)
    declared = _declared(kind)
    values = declared.values(value)
    if tuple(map(type, values)) not in declared.rows:
        rows = zip(declared.names, declared.said, declared.kinds, values, strict=True)
        for name, said, kinds, found in rows:
            if type(found) not in kinds:
                yield name, _wrong(found, said)
    for index in declared.nested:
        inner = values[index]
        if inner is not None and type(inner) in declared.kinds[index]:
            for name, problem in type_problems(inner):
                yield f"{declared.names[index]}.{name}", problem


def wrong_type(found: object, *kinds: type) -> str:
    """What is allowed and what was found, of a value with a type that is not allowed."""
    return _wrong(found, " or ".join(map(_said, kinds)))


def _wrong(found: object, allowed: str) -> str:
    kind = type(found)
    where = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"must be {allowed}; got {repr(found)[:80]} ({where}{kind.__qualname__})"


@functools.cache
def _declared(kind: Any) -> _Declared:
    assert is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    kinds = tuple(_types_of(hints[name]) for name in names)
    get = operator.attrgetter(*names)
    return _Declared(
        names=names,
        said=tuple(_said(hints[name]) for name in names),
        kinds=kinds,
        values=get if len(names) > 1 else lambda value: (get(value),),
        rows=frozenset(itertools.product(*kinds)),
        nested=tuple(i for i, allowed in enumerate(kinds) if any(map(is_dataclass, allowed))),
    )


def _types_of(hint: Any) -> tuple[type, ...]:
    """The classes that a type hint allows."""
    if typing.get_origin(hint) is Literal:
        return tuple(dict.fromkeys(type(value) for value in typing.get_args(hint)))
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        inner = (kind for part in typing.get_args(hint) for kind in _types_of(part))
        return tuple(dict.fromkeys(inner))
    assert isinstance(hint, type)
    return (hint,)


def _said(hint: Any) -> str:
    """How a message names what a type hint allows."""
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(map(_said, typing.get_args(hint)))
    return _SAID.get(hint, f"mnas.arch.{hint.__name__}")
