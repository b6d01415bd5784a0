"""From the key in a latency table back to the planned block."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mnas.arch.errors import Fault, InvalidArchitectureError
from mnas.arch.heads import HeadConv, HeadItem, HeadLinear, HeadPool
from mnas.arch.layers import Padding
from mnas.arch.operators import block_operator, block_operators
from mnas.arch.pieces import Stem, at_least_one
from mnas.arch.planning import PlannedBlock, plan_block, plan_classifier, plan_head, plan_stem

_HEADS: dict[str, type[HeadItem]] = {
    "head_conv": HeadConv,
    "head_pool": HeadPool,
    "head_linear": HeadLinear,
}
_OTHERS = ("stem", *_HEADS, "classifier")  # than blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What comes into a block, and how its convolutions pad it."""

    in_channels: int
    size: int | None
    padding: Padding = "symmetric"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Classifier:
    out_features: int


def planned_from_key(key: str) -> PlannedBlock:
    """Plan the block that a table row names.

    Args:
        key: `PlannedBlock.key`, as read from a table.

    Returns:
        The planned block; its `key` equals the argument.

    Raises:
        InvalidArchitectureError: The text is no such key; names each faulty field.
    """
    subject = f"not the key of a block: {key[:200]}"
    try:
        fields = json.loads(key)
    except (ValueError, RecursionError) as error:
        raise InvalidArchitectureError.at(subject, "", f"invalid JSON: {error}") from None
    op = fields.get("op") if isinstance(fields, dict) else None
    if op not in _OTHERS and block_operator(op) is None:
        allowed = ", ".join(("stem", *block_operators(), *_OTHERS[1:]))
        raise InvalidArchitectureError.at(subject, "op", f"must be one of {allowed}")
    planned = _replan(fields, subject)
    if planned.key != key:
        problem = f"not the canonical spelling, which is {planned.key}"
        raise InvalidArchitectureError.at(subject, "", problem)
    return planned


def _replan(fields: dict[str, Any], subject: str) -> PlannedBlock:
    from mnas.arch.documents import read_value  # pydantic is loaded at the door

    op = fields.pop("op")
    names = [name for name in ("in_channels", "size", "padding") if name in fields]
    seen = read_value(_Seen, {name: fields.pop(name) for name in names}, subject)
    channels, size = seen.in_channels, seen.size
    _refuse_any(at_least_one(in_channels=channels, size=1 if size is None else size), subject)
    if op == "classifier":
        classifier = read_value(_Classifier, fields, subject)
        _refuse_any(at_least_one(out_features=classifier.out_features), subject)
        return plan_classifier(classifier.out_features, channels, size, 0.0)
    if size is None and op != "head_linear":
        raise InvalidArchitectureError.at(subject, "size", "must be an integer; got None")
    if op in _HEADS:
        item = read_value(_HEADS[op], {"op": op.removeprefix("head_"), **fields}, subject)
        _refuse_any(item.problems(), subject)
        return plan_head(item, channels, size)
    assert size is not None
    if op == "stem":
        stem = read_value(Stem, fields, subject)
        _refuse_any(stem.problems(channels, size), subject)
        return plan_stem(stem, channels, size, seen.padding)
    kind: Any = block_operator(op)
    block = read_value(kind, {"op": op, **fields}, subject)
    _refuse_any(block.problems(channels, size), subject)
    return plan_block(block, channels, size, seen.padding)


def _refuse_any(problems: Iterable[tuple[str, str]], subject: str) -> None:
    faults = [Fault(name, problem) for name, problem in problems]
    if faults:
        raise InvalidArchitectureError(subject, faults)
