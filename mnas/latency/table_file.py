"""The file of a latency table: a header of `# key: json` lines, then CSV.

The first line is `# schema: "mnas.latency_table/1"`. Only `schema` and `target` must be there, so
that a table may come from another tool, of a runtime that mnas cannot run; what mnas writes has all
of them, with the number of rows, the last of them and checksums of rows and header, so that a file
cut short or edited is noticed. How its lines end does not matter.
"""

import csv
import io
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mnas.arch import Fault, InvalidArchitectureError, planned_from_key
from mnas.latency.errors import LatencyTableError
from mnas.latency.table_header import (
    MOST_MS,
    SCHEMA,
    is_as_written,
    read_header,
    sha256_of,
    with_checksum,
)

if TYPE_CHECKING:
    from mnas.latency.table import LatencyTable, TableRow

COLUMNS = ("block", "ms", "wall_ms", "spread", "runs", "status")
_LOG = logging.getLogger(__name__)
_MOST_FAULTS = 20
# As people, pandas and spreadsheets write numbers; Python would also take `1_0` and other digits.
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


class _CellError(ValueError):
    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place, self.problem = place, problem


_OPTIONAL_IN_TABLE = (
    "space", "also", "left_out", "measured_at", "protocol", "pinned", "empty_ms",
    "empty_wall_ms", "reorders", "drift", "calibration", "verification", "where", "forced",
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
        **({} if table.reorders is None else {"reorders": asdict(table.reorders)}),
        "drift": table.drift,
        "left_out": table.left_out,
        "noise_floor": table.noise_floor,
        "calibration": table.calibration and asdict(table.calibration),
        "verification": table.verification and asdict(table.verification),
        "where": dict(table.where),
        "forced": list(table.forced),
        "edited": table.edited,
        "rows": len(table.rows),
        "last_block_sha256": sha256_of(table.rows[-1].block),
        "rows_sha256": sha256_of(body),
    }
    return with_checksum(header) + _line(COLUMNS) + body


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
    lines = text.replace("\r\n", "\n").splitlines(keepends=True)
    while lines and not lines[-1].strip():
        lines.pop()
    faults: list[Fault] = []
    header, body_at = read_header(lines, source, faults)
    rows = _read_rows(lines, body_at, faults)
    if faults:
        raise LatencyTableError(f"{source} is not a sound latency table:", faults[:_MOST_FAULTS])
    body = "".join(lines[body_at + 1 :])
    _check_end(header, rows, source)
    are_rows_changed = header.get("rows_sha256", sha256_of(body)) != sha256_of(body)
    is_changed = are_rows_changed or not is_as_written(header, lines[:body_at])
    edited = is_changed or header.get("edited", False)
    if edited:
        _LOG.warning("%s: it was edited after it was measured", source)
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
    if not (runs.isascii() and runs.isdecimal() and len(runs) < 10):
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
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value) or value < 0 or (value == 0 and least == "above"):
        raise _CellError(name, f"must be a number {least} 0; got {text[:80]!r}")
    if value > MOST_MS:
        raise _CellError(name, f"must be at most {MOST_MS:g}; got {text[:80]!r}")
    return value


def _check_end(header: Mapping[str, Any], rows: "tuple[TableRow, ...]", source: str) -> None:
    """A file that ends too early, even between two lines, is not read as a smaller table."""
    last = header.get("last_block_sha256")
    if last is not None and (not rows or sha256_of(rows[-1].block) != last):
        raise LatencyTableError(
            f"{source} was cut short: {header.get('rows', '?')} rows were written and it ends "
            f"after {len(rows)}. Copy or measure it again."
        )
    if header.get("rows", len(rows)) != len(rows):
        raise LatencyTableError(
            f"{source}: rows: must be the number of rows, {len(rows)}; got {header['rows']}. If "
            "you took rows out yourself, write that number"
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
