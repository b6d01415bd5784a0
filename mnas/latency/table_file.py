"""The file of a latency table: a header of `# key: json` lines, then CSV.

The first line is `# schema: "mnas.latency_table/1"`. Only `schema` and `target` must be there, so
that a table may come from another tool, of a runtime that mnas cannot run; what mnas writes has all
of them, with the number of rows, the last of them and a checksum, so that a file cut short or
edited is noticed.
"""

import csv
import hashlib
import io
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, TypeAdapter, ValidationError

from mnas.arch import Fault, InvalidArchitectureError, planned_from_key
from mnas.latency.errors import LatencyTableError
from mnas.latency.target import Calibration, Target, Verification

if TYPE_CHECKING:
    from mnas.latency.table import LatencyTable, TableRow

SCHEMA = "mnas.latency_table/1"
COLUMNS = ("block", "ms", "wall_ms", "spread", "runs", "status")
_LOG = logging.getLogger(__name__)
_MOST_FAULTS = 20


class _CellError(ValueError):
    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place, self.problem = place, problem


# Type of each header value; anything else in a header is an error.
_HEADER: dict[str, Any] = {
    "schema": str,
    "target": Target,
    "device": str,
    "runtime_version": str,
    "space": dict[str, str],
    "also": tuple[str, ...],
    "left_out": NonNegativeInt,
    "measured_at": str | None,
    "protocol": dict[str, int | float],
    "pinned": dict[str, str | int | float | bool],
    "empty_ms": NonNegativeFloat,
    "empty_wall_ms": NonNegativeFloat,
    "drift": float | None,
    "noise_floor": float | None,
    "calibration": Calibration | None,
    "verification": Verification | None,
    "where": dict[str, str],
    "forced": tuple[str, ...],
    "edited": bool,
    "rows": int,
    "last_block_sha256": str,
    "rows_sha256": str,
}
_OPTIONAL_IN_TABLE = (
    "space", "also", "left_out", "measured_at", "protocol", "pinned", "empty_ms",
    "empty_wall_ms", "drift", "calibration", "verification", "where", "forced",
)  # fmt: skip


def text_of(table: "LatencyTable") -> str:
    """Write a table as text; numbers in full, so that reading gives the same table back."""
    body = "".join(_line(_cells(row)) for row in table.rows)
    header = {
        "schema": SCHEMA,
        "target": asdict(table.target),
        "device": table.device,
        "runtime_version": table.runtime_version,
        "space": dict(table.space),
        "also": list(table.also),
        "measured_at": table.measured_at,
        "protocol": dict(table.protocol),
        "pinned": dict(table.pinned),
        "empty_ms": table.empty_ms,
        "empty_wall_ms": table.empty_wall_ms,
        "drift": table.drift,
        "left_out": table.left_out,
        "noise_floor": table.noise_floor,
        "calibration": table.calibration and asdict(table.calibration),
        "verification": table.verification and asdict(table.verification),
        "where": dict(table.where),
        "forced": list(table.forced),
        "edited": table.edited,
        "rows": len(table.rows),
        "last_block_sha256": _sha256(table.rows[-1].block),
        "rows_sha256": _sha256(body),
    }
    lines = [f"# {key}: {json.dumps(value)}\n" for key, value in header.items()]
    return "".join(lines) + _line(COLUMNS) + body


def read_table_text(path: Path) -> str:
    """Read a table's file as text.

    Raises:
        LatencyTableError: It is missing, a folder, unreadable or not UTF-8 text.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")  # editors may begin a file with a mark
    except OSError as error:
        raise LatencyTableError(
            f"cannot read the latency table {path}: {error.strerror}. "
            "Measure one with `mnas latency measure SPACE -o TABLE`."
        ) from None
    except UnicodeDecodeError:
        raise LatencyTableError(f"{path} is not a latency table: it is not UTF-8 text.") from None


def fields_from_text(text: str, *, source: str) -> dict[str, Any]:
    """Read the fields of a `LatencyTable` from the text of its file.

    Raises:
        LatencyTableError: Names each faulty line, what was found and what is allowed.
    """
    lines = text.splitlines(keepends=True)
    while lines and not lines[-1].strip():
        lines.pop()
    faults: list[Fault] = []
    header, body_at = _read_header(lines, source, faults)
    rows = _read_rows(lines, body_at, faults)
    if faults:
        raise LatencyTableError(f"{source} is not a sound latency table:", faults[:_MOST_FAULTS])
    body = "".join(lines[body_at + 1 :])
    _check_end(header, rows, source)
    changed = header.get("rows_sha256", _sha256(body)) != _sha256(body)
    edited = changed or header.get("edited", False)
    if edited:
        _LOG.warning("%s: its rows were edited after they were measured", source)
    known = {name: header[name] for name in _OPTIONAL_IN_TABLE if name in header}
    return {
        **known,
        "target": header["target"],
        "device": header.get("device", "unknown"),
        "runtime_version": header.get("runtime_version", "unknown"),
        "rows": rows,
        "edited": edited,
        "source": source,
    }


def _read_header(lines: list[str], source: str, faults: list[Fault]) -> tuple[dict[str, Any], int]:
    """Values of the header, and the index of the line after it."""
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header: dict[str, Any] = {}
    _check_schema(lines[0] if lines else "", source)
    for number, line in enumerate(lines[:end], start=1):
        key, colon, value = line[1:].partition(":")
        key = key.strip()
        if not colon or key not in _HEADER:
            known = ", ".join(_HEADER)
            faults.append(Fault("header", f"unknown key {key!r}; known: {known}", number, 1))
        elif key in header:
            faults.append(Fault(key, "is there twice", number, 1))
        else:
            header[key] = _header_value(key, value, number, faults)
    if "target" not in header:
        faults.append(Fault("target", "this header line is required", end, 1))
    return header, end


def _check_schema(first: str, source: str) -> None:
    expected = f'# schema: "{SCHEMA}"'
    if not first.strip():
        raise LatencyTableError(f"{source} is not a latency table: line 1 is empty; {_next_step()}")
    if not first.startswith("# schema:"):
        raise LatencyTableError(
            f"{source} is not a latency table: line 1 must be {expected}; "
            f"got {first.strip()[:80]!r}; {_next_step()}"
        )
    found = first.partition(":")[2].strip().strip('"')
    if found != SCHEMA:
        family, _, version = found.rpartition("/")
        newer = family == SCHEMA.rpartition("/")[0] and version.isdecimal() and int(version) > 1
        advice = "it was written by a newer mnas: update mnas" if newer else _next_step()
        raise LatencyTableError(
            f"{source}: line 1: schema must be {SCHEMA}; got {found[:80]!r}; {advice}"
        )


def _next_step() -> str:
    return "measure one with `mnas latency measure SPACE -o TABLE`"


def _header_value(key: str, text: str, number: int, faults: list[Fault]) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if key == "target":
            _check_fields(value)
        return TypeAdapter(_HEADER[key]).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join((key, *map(str, first["loc"])))
        message = first["msg"].replace("Input should be", "must be")
        faults.append(Fault(place, f"{message}; got {str(first['input'])[:80]}", number, 1))
    except ValueError as error:
        faults.append(Fault(key, f"not JSON, or impossible: {error}", number, 1))
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number a table can hold")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse_constant(text)
    return value


def _check_fields(target: Any) -> None:
    """A target is what a table is refused by: nothing of it is guessed."""
    known = list(Target.__dataclass_fields__)
    given = set(target) if isinstance(target, Mapping) else set(known)
    unknown, missing = sorted(given - {*known}), [n for n in known if n not in {*given, "name"}]
    if unknown:
        raise ValueError(f"unknown fields {unknown} of a target; known: {', '.join(known)}")
    if missing:
        raise ValueError(f"a target needs {', '.join(missing)} too")


def _read_rows(lines: list[str], at: int, faults: list[Fault]) -> "tuple[TableRow, ...]":
    if at >= len(lines):
        faults.append(Fault("columns", f"expected {','.join(COLUMNS)} after the header", at, 1))
        return ()
    if tuple(lines[at].strip().split(",")) != COLUMNS:
        found = lines[at].strip()[:80]
        faults.append(Fault("columns", f"must be {','.join(COLUMNS)}; got {found}", at + 1, 1))
        return ()
    if not lines[-1].endswith("\n"):
        faults.append(Fault("end", "the file was cut short within this line", len(lines), 1))
    rows: dict[str, TableRow] = {}
    for number, line in enumerate(lines[at + 1 :], start=at + 2):
        try:
            row = _row(next(csv.reader([line], strict=True), []))
            if row.block in rows:
                raise _CellError("block", "is there twice")
            rows[row.block] = row
        except _CellError as error:
            faults.append(Fault(error.place, error.problem, number, 1))
        except csv.Error as error:
            faults.append(Fault("row", f"not CSV: {error}", number, 1))
    return tuple(rows.values())


def _row(cells: list[str]) -> "TableRow":
    from mnas.latency.table import TableRow

    if len(cells) != len(COLUMNS):
        raise _CellError("row", f"needs {len(COLUMNS)} columns; got {len(cells)}")
    block, ms, wall_ms, spread, runs, status = cells
    try:
        planned_from_key(block)
    except InvalidArchitectureError as error:
        raise _CellError("block", str(error)) from None
    failed = status.startswith("failed: ")
    if not failed and status not in ("measured", "noisy"):
        raise _CellError("status", f"must be measured, noisy or 'failed: reason'; got {status!r}")
    if failed and ms:
        raise _CellError("ms", f"a failed block has none; got {ms!r}")
    if not runs.isdecimal():
        raise _CellError("runs", f"must be a whole number; got {runs!r}")
    return TableRow(
        block=block,
        ms=None if failed else _number("ms", ms, least="above"),
        wall_ms=None if failed or not wall_ms else _number("wall_ms", wall_ms),
        spread=None if failed or not spread else _number("spread", spread),
        runs=int(runs),
        status=status,
    )


def _number(name: str, text: str, least: Literal["above", "at least"] = "at least") -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (value == 0 and least == "above"):
        raise _CellError(name, f"must be a number {least} 0; got {text!r}")
    return value


def _check_end(header: Mapping[str, Any], rows: "tuple[TableRow, ...]", source: str) -> None:
    """A file that ends too early, even between two lines, is not read as a smaller table."""
    last = header.get("last_block_sha256")
    if last is not None and (not rows or _sha256(rows[-1].block) != last):
        raise LatencyTableError(
            f"{source} was cut short: {header.get('rows', '?')} rows were written and it ends "
            f"after {len(rows)}. Copy or measure it again."
        )


def _cells(row: "TableRow") -> tuple[str, ...]:
    numbers = (
        "" if value is None else repr(float(value)) for value in (row.ms, row.wall_ms, row.spread)
    )
    return (row.block, *numbers, str(row.runs), row.status)


def _line(cells: tuple[str, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
