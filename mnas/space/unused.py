"""Values that a file writes in vain: no network is made of them.

A value is in vain where a nearer one replaces it in every layer that is built, and where no
operator that it reaches has such a field.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from mnas.space.choices import values_of
from mnas.space.grammar import OWN
from mnas.space.layers import SAME, op_fields
from mnas.space.templates import SpaceTemplate, StageTemplate, Variant
from mnas.space.yaml_document import Place

_OF_THE_STAGE = ("depth", "stride", "out_channels", "scale")


def unused_fields(space: SpaceTemplate, document: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Every key of the file that decides nothing, with the reason.

    Args:
        space: The merged file.
        document: The file itself.
    """
    reached = _reached(space)
    replaced: set[Place] = set()
    for place in _written(document, space):
        if any(place[: len(outer)] == outer for outer in replaced):
            continue
        ops = reached.get(place)
        if ops is None:
            replaced.add(place)
            yield place, f"never used: {_replaced_by(place)}"
        elif ops:
            yield place, f"never used: {', '.join(ops)} has no such field"


def _reached(space: SpaceTemplate) -> dict[Place, list[str]]:
    """The places whose values come to a layer; with the operators there if none has the field."""
    used: set[Place] = set()
    ops: dict[Place, dict[str, None]] = defaultdict(dict)
    for stage in (stage for network in space.networks for stage in network.stages):
        for name, place in stage.places.items():
            if stage.layers or name == "depth":
                used.add(place)
        for variant in _variants(stage):
            allowed = values_of(variant.op)
            fields = {"op", "layer"} | {name for op in allowed for name in op_fields(op)}
            if "width" in fields:
                fields |= set(SAME)
            for name, place in variant.places.items():
                if name in fields:
                    used.add(place)
                ops[place].update(dict.fromkeys(allowed))
    return {place: [] if place in used else list(ops[place]) for place in used | set(ops)}


def _variants(stage: StageTemplate) -> Iterator[Variant]:
    for layer in stage.layers:
        yield from values_of(layer)


def _written(document: Mapping[str, Any], space: SpaceTemplate) -> Iterator[Place]:
    """Where the file writes what a nearer value may replace; nothing inside what is replaced."""
    options = document.get("network") or []
    replaced = {key for key in OWN.network if options and all(key in one for one in options)}
    yield from ((key,) for key in document if key in replaced)
    built = {stage.place for network in space.networks for stage in network.stages if stage.layers}
    common = {key: value for key, value in document.items() if key not in replaced}
    for holder, base in ((common, ()), *((one, ("network", i)) for i, one in enumerate(options))):
        yield from _fields(holder.get("defaults") or {}, (*base, "defaults"))
        for index, stage in enumerate(holder.get("stages") or ()):
            if (place := (*base, "stages", index)) in built:
                yield from _fields(stage, place)


def _fields(partial: Mapping[str, Any], place: Place) -> Iterator[Place]:
    for name, value in partial.items():
        where = (*place, name)
        if name == "first":
            yield from _fields(value, where)
        elif name == "layer":
            yield where
            yield from _options(value, where)
        elif name != "name":
            yield where


def _options(layer: Any, place: Place) -> Iterator[Place]:
    """The fields of the partial layers of a `layer:`."""
    if isinstance(layer, dict) and set(layer) == {"each"}:
        layer, place = layer["each"], (*place, "each")
    if isinstance(layer, dict):
        yield from _fields(layer, place)
    for index, option in enumerate(layer if isinstance(layer, list) else ()):
        yield from _fields(option or {}, (*place, index))


def _replaced_by(place: Place) -> str:
    name = str(place[-1])
    if len(place) == 1:
        return f"every option of `network` has `{name}` of its own"
    names = SAME if name in SAME else (name,)
    nearer = " or ".join(f"`{one}`" for one in names)
    where = "stage" if name in _OF_THE_STAGE else "layer"
    return f"every {where} that is built has a nearer {nearer}"
