"""From a value of the file to a node: a list becomes a choice, and the choice gets its name."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mnas.space.choices import Choice, Fixed, Node, Pick, group, label
from mnas.space.layers import Expansion, Rounding, Squeeze
from mnas.space.templates import HeadSizes, StemSizes
from mnas.space.yaml_document import Place


class Called(NamedTuple):
    """What the choices inside a value are called, and which layer asks them."""

    name: str
    layer: int | None = None
    sibling: str | None = None

    def inside(self, step: str | int) -> "Called":
        sibling = f"{self.sibling}.{step}" if self.sibling is not None else None
        return Called(f"{self.name}.{step}", self.layer, sibling)

    def choice(self, options: list[Any], place: Place) -> Choice:
        return Choice(
            name=self.name,
            options=tuple(label(option) for option in options),
            place=place,
            layer=self.layer,
            sibling=self.sibling,
        )


Make = Callable[..., Node]


def node_of(value: Any, place: Place, called: "str | Called", make: Make) -> Node:
    """A node of a value: a list is a choice, a mapping is made of its parts."""
    if isinstance(called, str):
        called = Called(called)
    if not isinstance(value, list):
        return _single(value, place, called, make)
    nodes = []
    for index, option in enumerate(value):
        named = option.get("name", index) if isinstance(option, dict) else index
        nodes.append(_single(option, (*place, index), called.inside(named), make))
    return Pick(called.choice(value, place), tuple(nodes))


def _single(value: Any, place: Place, called: Called, make: Make) -> Node:
    return make(value, place, called) if isinstance(value, dict) else _leaf(value, make)


def _leaf(value: Any, make: Make) -> Node:
    return make(value) if make in (_ratio, _number) else Fixed(value)


def _parts(
    value: Mapping[str, Any], place: Place, called: Called, keys: Mapping[str, Any]
) -> tuple[Node, ...]:
    return tuple(
        node_of(value.get(key, default), (*place, key), called.inside(key), Fixed)
        for key, default in keys.items()
    )


def stem_node(value: Mapping[str, Any], place: Place, called: Called) -> Node:
    keys = {"kernel": 3, "stride": 1, "out_channels": 1, "activation": "relu", "scale": True}
    return group(StemSizes, _parts(value, place, called, keys))


def head_node(value: Mapping[str, Any], place: Place, called: Called) -> Node:
    op = value["op"]
    size = "out_features" if op == "linear" else "out_channels"
    keys = {
        "op": op,
        size: 0,
        "norm": op == "conv",
        "bias": op == "linear",
        "activation": None,
        "scale": True,
    }
    return group(HeadSizes, _parts(value, place, called, keys))


def _squeeze(value: Mapping[str, Any], place: Place, called: Called) -> Node:
    keys = {"ratio": None, "of": "expanded", "channels": None, "activation": None, "gate": None}
    rounding = Rounding(**value["rounding"]) if "rounding" in value else None
    return group(Squeeze, (*_parts(value, place, called, keys), Fixed(rounding)))


def _ratio(value: float) -> Node:
    return Fixed(Expansion(ratio=value, channels=None))


def _number(value: int) -> Node:
    return Fixed(Expansion(ratio=None, channels=value))


FIELD_MAKERS: dict[str, Make] = {"se": _squeeze, "expansion": _ratio, "expanded_channels": _number}
