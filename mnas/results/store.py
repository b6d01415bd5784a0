"""RecordStore: every evaluation and its architecture, durable before anybody hears of it.

SQLite with a write-ahead log and full synchronisation, one transaction for each record: after
kill -9 or a power cut there is a whole record or none. Local disks only (SQLite's WAL needs shared
memory, https://sqlite.org/wal.html).
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from mnas.arch import Architecture
from mnas.arch.canonical import canonical_json, to_fields
from mnas.results.errors import DuplicateRecordError, InvalidRecordError, RunError
from mnas.results.record import Record

APPLICATION_ID = 0x6D6E6173  # "mnas", in the file's header: says whose database it is
SCHEMA_VERSION = 1
_WAIT_SECONDS = 30.0  # for another process that is writing

_SCHEMA = """
CREATE TABLE architectures (id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE records (
  sequence INTEGER PRIMARY KEY,
  number INTEGER NOT NULL, id TEXT NOT NULL REFERENCES architectures (id),
  kind TEXT NOT NULL, rung INTEGER, epochs INTEGER NOT NULL, seed INTEGER NOT NULL,
  state TEXT NOT NULL, reason TEXT, accuracy REAL,
  latency_ms TEXT NOT NULL, measured_ms TEXT NOT NULL,
  params INTEGER NOT NULL, macs INTEGER NOT NULL, peak_activation_bytes INTEGER NOT NULL,
  seconds REAL NOT NULL, started TEXT NOT NULL,
  choices TEXT NOT NULL, memory TEXT, margin_ms TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_row_per_evaluation ON records (kind, id, epochs, seed)
  WHERE state <> 'infeasible';
"""
_COLUMNS = tuple(field.name for field in fields(Record))
_JSON_COLUMNS = ("latency_ms", "measured_ms", "choices", "margin_ms")
_INSERT = (
    f"INSERT INTO records ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)


class RecordStore:
    """The records of one run, in the order in which they were added.

    An evaluation is there once: (kind, id, epochs, seed) is unique among the records that were
    trained. A proposal that was infeasible cost nothing and may come again.

    Args:
        path: The database; made if it does not exist. `:memory:` keeps it in memory.
        read_only: Only look: nothing is made or changed, also in a folder that cannot be written.

    Raises:
        RunError: The file is no record store, is damaged, or is of another schema version.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        with _told(self.path):
            self._connection = _connect(self.path, read_only=read_only)
            try:
                self._prepare(read_only=read_only)
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the store cannot be used afterwards."""
        self._connection.close()

    def add(self, record: Record, architecture: Architecture) -> None:
        """Keep a record and its architecture; both are on the disk when this returns.

        Args:
            record: What was found.
            architecture: What it was found of.

        Raises:
            DuplicateRecordError: This evaluation is there already; nothing is changed.
            InvalidRecordError: A value of the record is not of the declared type.
            RunError: The record is of another architecture, or the file cannot be written.
        """
        if record.id != architecture.id:
            raise RunError(f"a record of {record.id} came with the architecture {architecture.id}")
        self.add_all([(record, canonical_json(to_fields(architecture)))])

    def add_all(self, records: Iterable[tuple[Record, str]]) -> None:
        """Keep records with the documents of their architectures, all of them or none.

        Raises:
            DuplicateRecordError: An evaluation is there already; nothing is changed.
            InvalidRecordError: A value of a record is not of the declared type.
            RunError: The file cannot be written.
        """
        with _told(self.path), self._connection:
            for record, document in records:
                self._insert(record, document)

    def _insert(self, record: Record, document: str) -> None:
        values = {name: getattr(record, name) for name in _COLUMNS}
        values |= {name: json.dumps(values[name]) for name in _JSON_COLUMNS}
        self._connection.execute(
            "INSERT OR IGNORE INTO architectures VALUES (?, ?)", (record.id, document)
        )
        try:
            self._connection.execute(_INSERT, values)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname != "SQLITE_CONSTRAINT_UNIQUE":
                raise InvalidRecordError(f"this record cannot be kept: {error}") from None
            raise DuplicateRecordError(
                f"{self.path} has this evaluation already: {record.kind} of {record.id}, "
                f"{record.epochs} epochs, seed {record.seed}. It must not be run twice."
            ) from None

    def count(self) -> int:
        """How many records there are."""
        with _told(self.path):
            return int(self._connection.execute("SELECT count(*) FROM records").fetchone()[0])

    def all(self) -> list[Record]:
        """Every record, in the order added.

        Raises:
            RunError: The file is damaged.
        """
        return self.since(0)

    def since(self, count: int) -> list[Record]:
        """The records after the first so many, in the order added.

        Raises:
            RunError: The file is damaged.
        """
        return list(self._selected("WHERE sequence > ? ORDER BY sequence", (count,)))

    def trials(self, *, by_number: bool = False) -> Iterator[Record]:
        """The records of trials one after the other, so that a long search fits into memory.

        Nothing may be added until the last one was taken.

        Args:
            by_number: In the order of their numbers; else in the order added.

        Raises:
            RunError: The file is damaged.
        """
        order = "number, sequence" if by_number else "sequence"
        return self._selected(f"WHERE kind = ? ORDER BY {order}", ("trial",))

    def _selected(self, which: str, values: tuple[int | str, ...]) -> Iterator[Record]:
        with _told(self.path):
            for row in self._connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM records {which}", values
            ):
                yield _record(dict(zip(_COLUMNS, row, strict=True)))

    def documents(self) -> dict[str, str]:
        """The document of every architecture by its id; `Architecture.from_json` reads one.

        Raises:
            RunError: The file is damaged.
        """
        with _told(self.path):
            return dict(self._connection.execute("SELECT id, document FROM architectures"))

    def architecture(self, architecture_id: str) -> Architecture:
        """The architecture of that id.

        Raises:
            RunError: None of that id is here, or its document is not of that id.
        """
        with _told(self.path):
            row = self._connection.execute(
                "SELECT document FROM architectures WHERE id = ?", (architecture_id,)
            ).fetchone()
        return architecture_of(architecture_id, None if row is None else row[0], str(self.path))

    def _prepare(self, *, read_only: bool) -> None:
        found = self._pragma("application_id"), self._pragma("user_version")
        if found == (0, 0) and not read_only and not self._holds_tables():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif found[0] != APPLICATION_ID:
            raise RunError(
                f"{self.path} is a database, but not one of mnas records. "
                "Choose another folder for the run."
            )
        elif found[1] != SCHEMA_VERSION:
            raise RunError(
                f"{self.path} has schema version {found[1]}, this mnas reads version "
                f"{SCHEMA_VERSION}. Use the mnas that wrote it (environment.json names it)."
            )
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _holds_tables(self) -> bool:
        return bool(self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def architecture_of(architecture_id: str, document: str | None, where: str) -> Architecture:
    """Read a stored document and make sure that it is the one asked for.

    Raises:
        RunError: There is no document, or it is that of another network.
    """
    if document is None:
        raise RunError(
            f"{where} has no architecture {architecture_id!r}; records.csv lists the ids it has"
        )
    architecture = Architecture.from_json(document)
    if architecture.id != architecture_id:
        raise RunError(
            f"{where} is damaged: what it keeps as {architecture_id!r} is {architecture.id}"
        )
    return architecture


def _record(values: dict[str, Any]) -> Record:
    values |= {name: json.loads(values[name]) for name in _JSON_COLUMNS}
    values["margin_ms"] = {
        target: (low, high) for target, (low, high) in values["margin_ms"].items()
    }
    return Record(**values)


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return sqlite3.connect(path, timeout=_WAIT_SECONDS)
    if not path.is_file():
        raise RunError(f"{path} does not exist")
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        connection = sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # Looking at a WAL database makes a -shm file beside it, which a read-only folder refuses;
        # without a -wal file nothing is outside the database, so it may be read as it lies.
        if path.with_name(path.name + "-wal").exists():
            raise
        return sqlite3.connect(f"{address}&immutable=1", uri=True)
    return connection


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what SQLite found in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        advice = ". Make room, and the same command goes on from what is there" if is_full else ""
        raise RunError(f"cannot use {path}: {error}{advice}") from error
    except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
        raise RunError(
            f"{path} is damaged or no record store ({error}). Copy it away, and start the search "
            "in another folder or bring the file back from a copy."
        ) from error
