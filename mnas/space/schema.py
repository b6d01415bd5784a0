"""The grammar of search space files as a JSON schema, so that editors complete and check them."""

from collections.abc import Mapping
from typing import Any

from mnas.space.grammar import OWN, SEQUENCES, Field

Schema = dict[str, Any]
_NULL: Schema = {"type": "null"}


def space_schema() -> Schema:
    """JSON schema (draft 2020-12) of a search space file.

    It knows keys, kinds of values and where lists are choices. What hangs on several fields at
    once, such as an identity where the shape changes, only `load_space` knows; and so are the
    block operators that other packages add.
    """
    definitions: dict[str, Schema] = {}
    option = _mapping(OWN.network, definitions)
    option["properties"]["name"] = {"type": "string"}
    option["required"] = ["name"]
    whole = _mapping(OWN.top, definitions)
    whole["properties"]["network"] = {"type": "array", "minItems": 1, "items": option}
    whole["required"] = ["schema", "name"]  # the rest may stand in the options of `network`
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mnas search space (mnas.space/1)",
        **whole,
        "$defs": definitions,
    }


def _mapping(keys: Mapping[str, Field], definitions: dict[str, Schema]) -> Schema:
    schema: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _field(name, entry, definitions) for name, entry in keys.items()},
    }
    needed = [name for name, entry in keys.items() if entry.required]
    return {**schema, "required": needed} if needed else schema


def _field(name: str, entry: Field, definitions: dict[str, Schema]) -> Schema:
    single = _single(name, entry, definitions)
    if name in SEQUENCES:
        items = single
        if name == "head":
            choice = {"type": "array", "minItems": 1, "items": _any([single, _NULL])}
            items = _any([single, choice])
        return {"type": "array", "minItems": 1, "items": items}
    options = {"type": "array", "minItems": 1, "items": single}
    each = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"each": options},
        "required": ["each"],
    }
    return _any([single] + [options] * entry.choice + [each] * entry.each)


def _single(name: str, entry: Field, definitions: dict[str, Schema]) -> Schema:
    kinds: list[Schema] = [dict(entry.scalar.schema)] if entry.scalar is not None else []
    if entry.keys:
        if name not in definitions:  # a name has the same keys wherever it stands
            definitions[name] = _mapping(entry.keys, definitions)
        kinds.append({"$ref": f"#/$defs/{name}"})
    return _any(kinds + [_NULL] * entry.nullable)


def _any(kinds: list[Schema]) -> Schema:
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
