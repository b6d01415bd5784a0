"""A stage with its defaults, `first` and `layer` merged: nearest wins.

`defaults` < `defaults.first` < stage < stage's `first` < the chosen `layer`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mnas.space.choices import Fixed, Node, Pick, values_of
from mnas.space.layers import OP_FIELDS, OPTIONAL, SAME, UNSAID, op_fields, when_missing
from mnas.space.nodes import FIELD_MAKERS, Called, node_of
from mnas.space.templates import StageTemplate, Variant
from mnas.space.yaml_document import Place

Fault = tuple[Place, str]  # place, problem
# What may stand in a stage, its `first` or a layer beside the fields of its operator.
_NO_FIELDS = frozenset(("name", "depth", "stride", "out_channels", "scale", "first"))


class _Entry(NamedTuple):
    """A field of a layer, and where it comes from.

    `inside` follows the stage (or layer) in the names of choices; `alone` says that a list in it
    is chosen for each layer, because the partial layer it stands in is.
    """

    value: Any
    place: Place
    inside: str = ""
    first: bool = False
    alone: bool = False


_Fields = dict[str, _Entry]


def _overlay(under: _Fields, over: _Fields) -> _Fields:
    """Nearest wins; a nearer `expansion` also replaces `expanded_channels`, and the reverse."""
    merged = dict(under)
    for name in over:
        if name in SAME:
            for same in SAME:
                merged.pop(same, None)
    return {**merged, **over}


def _entries(partial: Mapping[str, Any], place: Place, **how: Any) -> _Fields:
    return {
        name: _Entry(value, (*place, name), **how)
        for name, value in partial.items()
        if name not in _NO_FIELDS
    }


class MergedStage:
    """A stage on its defaults, on the way to its template."""

    def __init__(
        self,
        defaults: Mapping[str, Any],
        defaults_place: Place,
        stage: Mapping[str, Any],
        place: Place,
    ) -> None:
        self._place = place
        self._outer = {
            key: (source[key], (*where, key))
            for source, where in ((defaults, defaults_place), (stage, place))
            for key in ("depth", "stride", "out_channels", "scale")
            if key in source
        }
        rest = _overlay(_entries(defaults, defaults_place), _entries(stage, place))
        first = _overlay(
            _entries(defaults, defaults_place),
            _entries(defaults.get("first") or {}, (*defaults_place, "first"), first=True),
        )
        first = _overlay(first, _entries(stage, place))
        own_first = _entries(stage.get("first") or {}, (*place, "first"), first=True)
        self._first, self._rest = _overlay(first, own_first), rest

    def template(self, label_: str, faults: list[Fault]) -> StageTemplate:
        self._label, self._faults = label_, faults
        depth = self._outside("depth", 1)
        return StageTemplate(
            place=self._place,
            label=label_,
            depth=depth,
            out_channels=self._outside("out_channels", 1),
            stride=self._outside("stride", 1),
            scale=self._outer.get("scale", (True,))[0],
            places={key: where for key, (_, where) in self._outer.items()},
            layers=tuple(self._layer(index) for index in range(max(values_of(depth)))),
        )

    def _outside(self, key: str, default: int) -> Node:
        value, place = self._outer.get(key, (default, self._place))
        return node_of(value, place, f"{self._label}.{key}", Fixed)

    def _layer(self, index: int) -> Node:
        fields = dict(self._rest if index else self._first)
        entry = fields.pop("layer", None)
        if entry is None or entry.value is None:
            nothing = entry.place if entry is not None else None
            return Fixed(self._variant(fields, index, self._place, nothing))
        called, value, place, alone = self._called(entry, "layer", index)
        if isinstance(value, dict):
            partial = _entries(value, place, inside=".layer", first=entry.first)
            return Fixed(self._variant(_overlay(fields, partial), index, place, entry.place))
        nodes = []
        for number, option in enumerate(value):
            inside = f".layer.{option.get('name', number)}" if option is not None else ""
            where = (*place, number)
            partial = _entries(option or {}, where, inside=inside, first=entry.first, alone=alone)
            merged = _overlay(fields, partial)
            nodes.append(Fixed(self._variant(merged, index, where, entry.place)))
        return Pick(called.choice(value, place), tuple(nodes))

    def _called(self, entry: _Entry, name: str, index: int) -> tuple[Called, Any, Place, bool]:
        """The name of a field's choice, its value and place without `each:`, and `alone`."""
        value, place, alone = entry.value, entry.place, entry.alone
        if isinstance(value, dict) and set(value) == {"each"}:
            value, place, alone = value["each"], (*place, "each"), True
        if not alone:
            first = ".first" if entry.first else ""
            return Called(f"{self._label}{first}{entry.inside}.{name}"), value, place, False
        before = f"{self._label}.layers.{index - 1}{entry.inside}.{name}" if index else None
        called = Called(f"{self._label}.layers.{index}{entry.inside}.{name}", index, before)
        return called, value, place, True

    def _variant(self, fields: _Fields, index: int, place: Place, layer: Place | None) -> Variant:
        nodes = {}
        for name, entry in fields.items():
            called, value, where, _ = self._called(entry, name, index)
            nodes[name] = node_of(value, where, called, FIELD_MAKERS.get(name, Fixed))
        if "op" not in nodes:
            self._faults.append(((*place, "op"), "this field is required"))
        op = nodes.get("op", Fixed(UNSAID))
        before = len(self._faults)
        parts = {name: self._needed(name, nodes, place) for name in values_of(op)}
        if len(self._faults) > before and not OP_FIELDS.keys() >= parts.keys():
            op, parts = Fixed(UNSAID), {UNSAID: ()}  # what a package's fields may be it alone knows
        return Variant(
            place=place,
            op=op,
            parts=parts,
            places={name: entry.place for name, entry in fields.items()}
            | ({"layer": layer} if layer is not None else {}),
            nodes=nodes,
        )

    def _needed(self, op: str, nodes: Mapping[str, Node], place: Place) -> tuple[Node, ...]:
        found = []
        for name in op_fields(op):
            keys = SAME if name == "width" else (name,)
            given = [nodes[key] for key in keys if key in nodes]
            if not given and name not in OPTIONAL:
                wanted = " or ".join(f"`{key}`" for key in keys)
                self._faults.append(((*place, keys[0]), f"op {op!r} needs {wanted}"))
            found.append(given[0] if given else Fixed(when_missing(name)))
        return tuple(found)
