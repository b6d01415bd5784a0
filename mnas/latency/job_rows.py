"""The rows of a job on this machine: what a device said, kept at once."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mnas.arch import UnwritableFileError
from mnas.latency.errors import JobError, TableMismatchError
from mnas.latency.timing import PassTime


class JobRows:
    """An append-only file of rows; a torn last line is dropped when it is opened.

    Args:
        path: `rows.jsonl` of a job; made if it is not there.

    Attributes:
        lines: Its lines, without their ends.
        about: What the device said of itself; empty before it did.
        passes: Passes of each model.
        failures: Reasons for which each failed, the latest last.
        timed: How many rows tell a time or a failure.
        is_done: Whether the agent said that nothing is left.

    Raises:
        JobError: A line is no row, or another process measures this job.
        UnwritableFileError: The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self.about: Mapping[str, Any] = {}
        self.passes: dict[str, list[PassTime]] = {}
        self.failures: dict[str, list[str]] = {}
        self.last_failure = "no reason was given"
        self.timed = 0
        self.is_done = False
        self._path = path
        try:
            self._file = path.open("ab")
            self._begin()
        except OSError as error:
            raise UnwritableFileError(f"cannot write {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a row that an agent gave.

        Raises:
            JobError: It is no row: the device's agent is not the one of this mnas.
        """
        line = json.dumps(row)
        self._take(row, f"the device said {line[:200]}")
        try:
            self._file.write(f"{line}\n".encode())
            self._file.flush()
        except OSError as error:
            raise UnwritableFileError(f"cannot write {self._path}: {error.strerror}") from error

    def require_same(self, about: Mapping[str, Any]) -> None:
        """Refuse to mix rows of two devices or of two versions of a runtime.

        Raises:
            TableMismatchError: Names both.
        """
        for what in ("device", "runtime_version"):
            if self.about and self.about[what] != about[what]:
                raise TableMismatchError(
                    f"{self._path} was begun with {what.replace('_', ' ')} {self.about[what]!r}, "
                    f"and now there is {about[what]!r}. Delete the file to begin anew"
                )

    def require_about(self) -> None:
        """Refuse rows of which nobody knows what they are of.

        Raises:
            JobError: No row says the device and the version of its runtime.
        """
        if not self.about:
            raise JobError(
                f"{self._path} does not say which device its rows are of: a line "
                '{"about": ...} is missing. Bring the file back from the device again, or delete '
                "it to begin anew"
            )

    def _begin(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError:
            self._file.close()
            raise JobError(
                f"another process is measuring this job: it holds {self._path}. Wait for it"
            ) from None
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> None:
        data = self._path.read_bytes()
        kept = data[: data.rfind(b"\n") + 1]
        self._file.truncate(len(kept))
        for number, line in enumerate(kept.decode(errors="replace").splitlines(), start=1):
            where = f"{self._path}: line {number}"
            try:
                row = json.loads(line)
            except ValueError:
                raise JobError(f"{where} is no row: {line[:80]!r}") from None
            self._take(row, where)

    def _take(self, row: Any, where: str) -> None:
        problem = _problem_of(row)
        if problem is not None:
            raise JobError(f"{where}, which is no row of a job: {problem}")
        self.lines.append(json.dumps(row))
        self.is_done = "done" in row
        if "about" in row:
            self.about = row["about"]
        elif "failed" in row:
            self.last_failure = row["failed"]
            self.failures.setdefault(row["key"], []).append(row["failed"])
        elif "key" in row:
            time = PassTime(ms=row["ms"], wall_ms=row["wall_ms"])
            self.passes.setdefault(row["key"], []).append(time)
        self.timed += "key" in row


def _problem_of(row: Any) -> str | None:
    """Why a row is none; None for a sound one."""
    if not isinstance(row, dict):
        return "it must be a JSON object"
    if "about" in row:
        about = row["about"]
        known = isinstance(about, dict) and all(
            isinstance(about.get(key), str) for key in ("device", "runtime_version")
        )
        if not known:
            return "`about` must say device and runtime_version"
        pinned = about.get("pinned", {})
        plain = isinstance(pinned, dict) and all(
            isinstance(value, str | int | float | bool) for value in pinned.values()
        )
        return None if plain else "`pinned` must be plain values by name"
    if "done" in row:
        return None
    if not isinstance(row.get("key"), str):
        return "it must have a key"
    if "failed" in row:
        return None if isinstance(row["failed"], str) else "`failed` must be a reason"
    for name in ("ms", "wall_ms"):
        value = row.get(name)
        if not isinstance(value, int | float) or not 0 < value < 1e9:
            return f"{name} must be milliseconds above 0; got {value!r}"
    return None
