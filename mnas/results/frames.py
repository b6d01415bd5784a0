"""Records as tables: the columns of `records.csv` and `front.csv` (design, section 6)."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas

from mnas.results.record import Record

if TYPE_CHECKING:
    from mnas.space import Option

_BEFORE = ("number", "id", "kind", "rung", "epochs", "seed", "state", "reason", "accuracy")
_AFTER = ("params", "macs", "peak_activation_bytes", "seconds", "started")


def record_columns(records: Sequence[Record], targets: Sequence[str]) -> list[str]:
    """The names of the columns, in order, choices last."""
    measured = [name for name in targets if any(name in row.measured_ms for row in records)]
    fixed = [
        *_BEFORE,
        *(f"latency_ms.{name}" for name in targets),
        *(f"measured_ms.{name}" for name in measured),
        *_AFTER,
    ]
    return [*fixed, *choice_columns(choice_names(records), fixed).values()]


def choice_names(records: Iterable[Record]) -> list[str]:
    """The choices of all records in the order of the space file.

    Each record lists its active choices in that order, so one that is new stands after the one
    before it in its record.
    """
    names: list[str] = []
    for record in records:
        position = 0
        for name in record.choices:
            if name in names:
                position = names.index(name) + 1
            else:
                names.insert(position, name)
                position += 1
    return names


def choice_columns(names: Iterable[str], fixed: Iterable[str]) -> dict[str, str]:
    """The column of each choice: its own name, unless a fixed column has that."""
    taken = set(fixed)
    return {name: f"choices.{name}" if name in taken else name for name in names}


def records_frame(records: Sequence[Record], targets: Sequence[str]) -> pandas.DataFrame:
    """The records as a table, one row each, in their order.

    Args:
        records: What to show.
        targets: The devices that get a column of latencies, in order.

    Returns:
        Columns as `record_columns`. A choice that is not active in a row is NaN there; an option
        that is null is None. `rung` is nullable, `accuracy` is NaN where there is none.
    """
    columns = record_columns(records, targets)
    data: dict[str, pandas.Series] = {}
    for name in columns[: columns.index("started") + 1]:
        values = [_fixed(record, name) for record in records]
        data[name] = pandas.Series(values, dtype=_dtype(name))
    fixed = list(data)
    for choice, column in choice_columns(choice_names(records), fixed).items():
        options = [record.choices.get(choice, float("nan")) for record in records]
        data[column] = pandas.Series(options, dtype=object)
    return pandas.DataFrame(data, columns=columns)


def option_text(option: "Option") -> str:
    """How a file spells an option: `null` for null, `true`, `false`, else itself."""
    if option is None:
        return "null"
    return str(option).lower() if isinstance(option, bool) else str(option)


def _fixed(record: Record, column: str) -> object:
    kind, _, target = column.partition(".")
    if kind == "latency_ms":
        return record.latency_ms.get(target)
    if kind == "measured_ms":
        return record.measured_ms.get(target)
    return getattr(record, column)


def _dtype(column: str) -> str:
    if column in ("number", "epochs", "seed", "params", "macs", "peak_activation_bytes"):
        return "int64"
    if column == "rung":
        return "Int64"
    if column in ("id", "kind", "state", "reason", "started"):
        return "object"
    return "float64"
