"""The files of a run directory that people and other programs read."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mnas.arch import write_atomically
from mnas.results.candidates import as_record
from mnas.results.errors import RunError
from mnas.results.frames import choice_columns, choice_names, option_text, record_columns
from mnas.results.record import Record
from mnas.results.runs import Run, safe_id


def write_records_csv(run: Run) -> Path:
    """Write `records.csv`: one row per evaluation, in the order added.

    Numbers are written so that they read back equal; an inactive choice is empty, an option that
    is null reads `null`.

    Returns:
        The path written.

    Raises:
        RunError: The run has no directory.
        UnwritableFileError: The file cannot be written.
    """
    return _write(run, "records.csv", run.evaluations)


def write_front_csv(run: Run) -> Path:
    """Write `front.csv`: the same figures for the architectures of the front, fastest first.

    Raises:
        RunError: The run has no directory.
        UnwritableFileError: The file cannot be written.
    """
    return _write(run, "front.csv", [as_record(one) for one in run.front_candidates()])


def write_network(run: Run, architecture_id: str) -> Path:
    """Write `networks/<id>.json`: the document of one architecture of the run.

    Raises:
        RunError: The run has no directory or no architecture of that id.
        UnwritableFileError: The file cannot be written.
    """
    path = directory_of(run) / "networks" / f"{safe_id(architecture_id)}.json"
    write_atomically(path, run.architecture(architecture_id).to_json())
    return path


def directory_of(run: Run) -> Path:
    """Where the run's files go.

    Raises:
        RunError: The run is only in memory.
    """
    if run.directory is None:
        raise RunError("this run is only in memory; give mnas.optimize a directory to write files")
    return run.directory


def _write(run: Run, name: str, records: Sequence[Record]) -> Path:
    path = directory_of(run) / name
    columns = record_columns(records, run.targets)
    fixed = columns[: columns.index("started") + 1]
    choices = choice_columns(choice_names(records), fixed)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for record in records:
        values = [_cell(record, column) for column in fixed]
        options = [
            option_text(record.choices[choice]) if choice in record.choices else ""
            for choice in choices
        ]
        writer.writerow([*values, *options])
    write_atomically(path, text.getvalue())
    return path


def _cell(record: Record, column: str) -> str:
    kind, _, target = column.partition(".")
    value = getattr(record, kind).get(target) if target else getattr(record, column)
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
