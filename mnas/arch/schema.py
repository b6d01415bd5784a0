"""The architecture document as a JSON schema, so that editors complete and check it."""

from typing import Any

from mnas.arch.blocks import BLOCKS
from mnas.arch.documents import document_of

Schema = dict[str, Any]
_KERNEL: Schema = {"minimum": 1, "not": {"multipleOf": 2}}
_MAYBE_KERNEL: Schema = {"enum": [0, 3, 5]}
_RANGES: dict[str, Schema] = {
    "eps": {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "momentum": {"exclusiveMinimum": 0, "maximum": 1},
    "dropout": {"minimum": 0, "exclusiveMaximum": 1},
}


def architecture_schema() -> Schema:
    """JSON schema (draft 2020-12) of an architecture document with mnas's own operators.

    It knows fields, kinds of values and their ranges. What hangs on several fields at once, such
    as a residual across a change of shape, only `Architecture.from_json` knows.
    """
    schema = document_of(tuple(BLOCKS.values())).model_json_schema(by_alias=True)
    for name, definition in schema["$defs"].items():
        fields = definition["properties"]
        definition["required"] = list(fields)  # `op` tells which block it is
        for field, kind in fields.items():
            if kind.get("type") == "integer":
                kind.update(_range_of(name, field))
            kind.update(_RANGES.get(field, {}))
    top = schema["properties"]
    top["num_classes"]["minimum"] = 1
    top["name"] |= {"minLength": 1}
    top["dropout"] |= _RANGES["dropout"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_titles(schema),
        "title": "mnas architecture (mnas.architecture/1)",
    }


def _range_of(kind: str, field: str) -> Schema:
    if field not in ("kernel", "start_kernel"):
        return {"minimum": 1}
    return _MAYBE_KERNEL if kind == "UniversalInvertedBottleneck" else _KERNEL


def _without_titles(node: Any) -> Any:
    """Titles say the key again, and `discriminator` is no word of JSON schema."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    noise = {"discriminator", "default"} | (
        {"title"} if isinstance(node.get("title"), str) else set()
    )
    return {key: _without_titles(value) for key, value in node.items() if key not in noise}
