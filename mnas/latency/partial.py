"""The file in which a measurement is kept while it runs, so that a killed one goes on.

A header line says what is measured with what; then one CSV line for each timed pass. It does not
name the space: a row is as good for another space that holds the same block.
"""

import csv
import fcntl
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from mnas.arch import UnwritableFileError
from mnas.arch.files import unwritable
from mnas.latency.errors import MeasuringError, TableMismatchError
from mnas.latency.timing import PassTime

_COLUMNS = 4  # block, ms, wall_ms, status
_HEADER = b"# {"  # what the first line begins with
Passes = dict[str, list[PassTime]]


class PartialTable:
    """An append-only file of timed passes; a torn last line is dropped when it is opened.

    Args:
        path: The file; made if it is not there.
        header: What the passes belong to: target, device, runtime version, settings.

    Attributes:
        passes: Passes of each block that were read or added.
        failures: Reasons for which each block failed, the latest last; the last one of an earlier
            measurement counts once, so that what failed then is tried again.

    Raises:
        MeasuringError: Another process has the file open, or a line of it is damaged.
        TableMismatchError: The file there belongs to another measurement; names both sides.
        UnwritableFileError: The file cannot be written; says why.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        self.passes: Passes = {}
        self.failures: dict[str, list[str]] = {}
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)  # a row is in the file or lost, never between
            self._begin(header)
        except OSError as error:
            raise unwritable(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, block: str, time: PassTime) -> None:
        """Keep one timed pass of a block."""
        self.passes.setdefault(block, []).append(time)
        self._append(_line(block, repr(float(time.ms)), repr(float(time.wall_ms)), "timed"))

    def fail(self, block: str, reason: str) -> None:
        """Keep that a block cannot be run, and why."""
        self.failures.setdefault(block, []).append(reason)
        self._append(_line(block, "", "", reason))

    def remove(self) -> None:
        """Delete the file: the table is written."""
        self._path.unlink(missing_ok=True)  # while it is locked: nobody begins another meanwhile
        self._file.close()

    def _begin(self, header: Mapping[str, object]) -> None:
        try:
            self._lock()
            kept = self._read(header)
            self._file.truncate(kept)
            if kept == 0:
                self._append(f"# {json.dumps(header, sort_keys=True)}\n")
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        """Keep others out until the file is closed, also where no lock of the machine does."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MeasuringError(
                f"another process is measuring this table: it holds {self._path}. "
                "Wait for it, or write to another table."
            ) from None

    def _append(self, line: str) -> None:
        rest = line.encode()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise UnwritableFileError(f"cannot write {self._path}: {error.strerror}") from error

    def _read(self, header: Mapping[str, object]) -> int:
        """Take over what is there; the number of bytes without a last line that is torn.

        Raises:
            TableMismatchError: It is not the partial file of this measurement.
            MeasuringError: A line within it is damaged; the file stays as it is.
        """
        lines = self._path.read_bytes().split(b"\n")
        torn = lines.pop()
        if not lines:
            if not _HEADER.startswith(torn[: len(_HEADER)]):
                self._check(torn.decode(errors="replace"), header)
            return 0
        self._check(lines[0].decode(errors="replace") + "\n", header)
        for number, line in enumerate(lines[1:], start=2):
            if not self._take(line.decode(errors="replace")):
                raise MeasuringError(
                    f"{self._path}:{number}: this line is damaged; got "
                    f"{line[:60].decode(errors='replace')!r}. Remove the line, and the same "
                    "command goes on with the others; or delete the file to begin anew."
                )
        return sum(len(line) + 1 for line in lines)

    def _check(self, line: str, header: Mapping[str, object]) -> None:
        wanted = f"# {json.dumps(header, sort_keys=True)}\n"
        if line != wanted:
            if not line.startswith(_HEADER.decode()):
                raise TableMismatchError(
                    f"{self._path} is not what a measurement left there: it begins with "
                    f"{line.strip()[:60]!r}. Move it away, or write to another table."
                )
            raise TableMismatchError(
                f"{self._path} was begun with {line.strip('# ').strip()[:600]}, but now "
                f"{wanted.strip('# ').strip()} is measured. "
                f"Delete {os.fspath(self._path)} to begin anew, or write to another table."
            )

    def _take(self, line: str) -> bool:
        cells = next(csv.reader([line]), [])
        if len(cells) != _COLUMNS:
            return False
        block, ms, wall_ms, status = cells
        if status != "timed":
            self.failures[block] = [status]
            return True
        try:
            time = PassTime(ms=float(ms), wall_ms=float(wall_ms))
        except ValueError:
            return False
        if not all(math.isfinite(each) and each >= 0 for each in (time.ms, time.wall_ms)):
            return False
        self.passes.setdefault(block, []).append(time)
        return True


def _line(*cells: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
