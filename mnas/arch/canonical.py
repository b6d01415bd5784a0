"""The one spelling of a value as JSON, which ids and table keys are made from."""

import json
from collections.abc import Mapping
from typing import Any


def to_fields(value: Any) -> Any:
    """A value of `arch` as JSON types: dataclasses become dictionaries, tuples lists."""
    names = getattr(type(value), "__dataclass_fields__", None)
    if names is not None:
        return {name: to_fields(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [to_fields(item) for item in value]
    return value


def canonical_json(fields: Mapping[str, Any]) -> str:
    """Sorted keys and no blanks."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))
