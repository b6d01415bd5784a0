"""Every unknown key and impossible value of a document, found at once by the grammar's tables."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mnas.arch import BY_PACKAGES, did_you_mean
from mnas.space.choices import label
from mnas.space.grammar import (
    HEAD,
    HEAD_KEYS,
    NAME_FIELD,
    SEQUENCES,
    SQUEEZE,
    STEM,
    Field,
    grammar_for,
    spelled,
)
from mnas.space.yaml_document import Place

Found = tuple[Place, str, bool]  # place, problem, whether the key is meant and not its value
TWICE = "stands here twice; options must differ"


def check(document: object) -> Iterator[Found]:
    """Find every unknown key and impossible value of a document.

    Yields:
        Place, problem, and whether the key is meant and not its value.
    """
    if not isinstance(document, dict):
        found = "an empty file" if document is None else _short(document)
        yield (), f"must be a mapping with the keys of a search space; got {found}", False
        return
    grammar = grammar_for(document)
    options = document.get("network")
    partials = options if isinstance(options, list) else []
    given = set.intersection(*[set(p) for p in partials if isinstance(p, dict)] or [set()])
    given &= grammar.network.keys()  # the name of an option is not that of the space
    keys = {
        name: replace(entry, required=entry.required and name not in given)
        for name, entry in grammar.top.items()
    }
    yield from _mapping({k: v for k, v in document.items() if k != "network"}, keys, ())
    if "network" in document:
        yield from _networks(options, ("network",), grammar.network)
    for place, holder in [((), document), *((("network", i), p) for i, p in enumerate(partials))]:
        if isinstance(holder, dict):
            yield from _stage_names(holder.get("stages"), (*place, "stages"))
    yield from _out_channels(document, partials)


def _networks(options: object, place: Place, allowed: Mapping[str, Field]) -> Iterator[Found]:
    if not isinstance(options, list) or not options:
        yield place, f"must be a list of named partial files; got {_short(options)}", False
        return
    keys = {"name": replace(NAME_FIELD, required=True)} | {
        name: replace(entry, required=False) for name, entry in allowed.items()
    }
    for index, option in enumerate(options):
        if isinstance(option, dict):
            yield from _mapping(option, keys, (*place, index))
        else:
            yield (*place, index), f"must be a mapping with a name; got {_short(option)}", False
    yield from _distinct([label(option) for option in options], place)


def _stage_names(stages: object, place: Place) -> Iterator[Found]:
    if isinstance(stages, list):
        names = [stage.get("name") for stage in stages if isinstance(stage, dict)]
        yield from _distinct([name for name in names if isinstance(name, str)], place)


def _out_channels(document: Mapping[str, Any], partials: list[Any]) -> Iterator[Found]:
    """A stage needs `out_channels`, its own or that of the defaults."""
    told = set()
    indexed: list[tuple[int | None, Any]] = [*enumerate(partials)] or [(None, {})]
    for index, partial in indexed:
        own = partial if isinstance(partial, dict) else {}
        merged = {**document, **own}
        defaults, stages = merged.get("defaults"), merged.get("stages")
        if not isinstance(stages, list) or (
            isinstance(defaults, dict) and "out_channels" in defaults
        ):
            continue
        base: Place = ("network", index) if index is not None and "stages" in own else ()
        for number, stage in enumerate(stages):
            place = (*base, "stages", number)
            if isinstance(stage, dict) and "out_channels" not in stage and place not in told:
                told.add(place)
                yield (*place, "out_channels"), "this field is required", False


def _value(value: object, entry: Field, place: Place) -> Iterator[Found]:
    if place and place[-1] in SEQUENCES:
        yield from _sequence(value, entry, place)
    elif isinstance(value, list):
        if entry.choice:
            yield from _options(value, entry, place)
        else:
            yield place, f"cannot be a choice; must be {_says(entry)}; got a list", False
    elif isinstance(value, dict) and set(value) == {"each"}:
        if not entry.each:
            yield (*place, "each"), "`each` cannot stand here; write the list itself", True
        elif not isinstance(value["each"], list):
            problem = f"must be a list of options; got {_short(value['each'])}"
            yield (*place, "each"), problem, False
        else:
            yield from _options(value["each"], entry, (*place, "each"))
    else:
        yield from _single(value, entry, place)


def _single(value: object, entry: Field, place: Place) -> Iterator[Found]:
    if value is None and entry.nullable:
        return
    if entry.keys and isinstance(value, dict):
        yield from _mapping(value, entry.keys, place)
    elif entry.scalar is None or not entry.scalar.accepts(value):
        hint = ""
        if isinstance(value, str) and entry.scalar is not None:
            hint = did_you_mean(value, filter(_is_text, entry.scalar.schema.get("enum", ())))
            if not hint and place[-1] == "op" and "head" not in place:
                hint = BY_PACKAGES
        yield place, f"must be {_says(entry)}; got {_short(value)}{hint}", False


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _options(options: list[Any], entry: Field, place: Place) -> Iterator[Found]:
    if not options:
        yield place, "a choice needs at least one option; got an empty list", False
    for index, option in enumerate(options):
        if isinstance(option, list):
            yield (*place, index), "a list cannot be an option; write its options here", False
        else:
            yield from _single(option, entry, (*place, index))
    yield from _distinct([label(option) for option in options], place)


def _distinct(labels: list[Any], place: Place) -> Iterator[Found]:
    seen = set()
    for index, name in enumerate(labels):
        if name in seen:
            yield (*place, index), f"{_short(name)} {TWICE}", False
        if not isinstance(name, list | dict):
            seen.add(name)


def _sequence(value: object, entry: Field, place: Place) -> Iterator[Found]:
    if not isinstance(value, list) or not value:
        yield place, f"must be a list of {place[-1]}; got {_short(value)}", False
        return
    for index, item in enumerate(value):
        where = (*place, index)
        if isinstance(item, list) and place[-1] == "head":
            yield from _options(item, replace(entry, nullable=True), where)
        elif isinstance(item, dict):
            yield from _mapping(item, entry.keys, where)
        else:
            yield where, f"must be a mapping; got {_short(item)}", False


def _mapping(value: Mapping[str, Any], keys: Mapping[str, Field], place: Place) -> Iterator[Found]:
    if keys is HEAD and value.get("op") in list(HEAD_KEYS):
        allowed = HEAD_KEYS[value["op"]]
        size = {"conv": "out_channels", "linear": "out_features"}.get(value["op"])
        keys = {k: replace(HEAD[k], required=k in ("op", size)) for k in allowed}
    for key, item in value.items():
        if key in keys:
            yield from _value(item, keys[key], (*place, key))
        else:
            known = keys if place else [*keys, "network"]
            hint = did_you_mean(key, known) or f"; allowed: {', '.join(known)}"
            yield (*place, key), f"unknown field{hint}", True
    for key, entry in keys.items():
        if entry.required and key not in value:
            yield (*place, key), "this field is required", False
    if value.get("expansion") is not None and value.get("expanded_channels") is not None:
        problem = "states the same as `expansion`; give one of the two"
        yield (*place, "expanded_channels"), problem, True
    if keys is SQUEEZE:
        yield from _se(value, place)
    if keys is STEM and 0 in _listed(value.get("kernel")):
        yield (*place, "kernel"), "must be an odd integer; got 0", False


def _se(value: Mapping[str, Any], place: Place) -> Iterator[Found]:
    if ("ratio" in value) == ("channels" in value):
        yield (*place, "ratio"), "give one of `ratio` and `channels`", False
    for key in ("of", "rounding"):
        if key in value and "channels" in value:
            yield (*place, key), "belongs to `ratio`; `channels` is a number as it stands", True


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _says(entry: Field) -> str:
    kinds = [entry.scalar.says] if entry.scalar is not None else []
    if entry.keys:
        kinds.append(f"a mapping with {', '.join(entry.keys)}")
    return " or ".join(kinds + ["null"] * entry.nullable)


def _short(value: object) -> str:
    text = spelled(value) if isinstance(value, bool) else repr(value)
    return "null" if value is None else text if len(text) <= 60 else text[:57] + "..."
