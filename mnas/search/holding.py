"""Who drives a run: one living process, which leaves nothing behind when it is killed."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import psutil

from mnas.arch import MnasError, write_atomically
from mnas.search import reaper
from mnas.search.reaper import end_noted, start_ticks

_LOCK = "driver.lock"
_PROCESSES = "processes.json"


class RunHeldError(MnasError):
    """Another living process drives this run."""


def driver_of(directory: Path) -> int | None:
    """The living process that drives a run.

    Returns:
        Its pid; None when nobody does.
    """
    with contextlib.suppress(FileNotFoundError), (directory / _LOCK).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go of when the file is closed
        except BlockingIOError:
            return int(file.read() or 0)
    return None


def refuse_held(directory: Path) -> None:
    """Refuse early, before anything is measured, a run that another process drives.

    Raises:
        RunHeldError: Another process drives it; names its pid.
    """
    holder = driver_of(directory)
    if holder is not None:
        raise _held(directory, str(holder))


def _held(directory: Path, holder: str) -> RunHeldError:
    return RunHeldError(
        f"the run {directory} is being driven by process {holder or 'unknown'}; wait for it, stop "
        "it, or choose another folder with --out"
    )


def _take(file: TextIO) -> bool:
    """Take the lock, trying again for a moment: somebody may just be looking who has it."""
    for _ in range(5):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


@contextlib.contextmanager
def hold_run(directory: Path) -> Iterator[None]:
    """Be the one driver of a run; what a killed driver left running is ended first.

    The lock is the kernel's, so it goes with the process that has it.

    Raises:
        RunHeldError: Another process drives it; names its pid.
        MnasError: The folder cannot be written.
    """
    with _opened(directory / _LOCK) as file:
        if not _take(file):
            file.seek(0)
            raise _held(directory, file.read().strip())
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        end_leftovers(directory)
        try:
            yield
        finally:
            (directory / _PROCESSES).unlink(missing_ok=True)


def _opened(path: Path) -> TextIO:
    try:
        return path.open("a+")
    except OSError as error:
        raise MnasError(
            f"cannot write into the folder of the run, {path.parent}: {error.strerror}; make it "
            "writable, or choose another with --out"
        ) from None


@contextlib.contextmanager
def watched(directory: Path) -> Iterator[None]:
    """End the noted processes of this run also when the driver is killed, at once."""
    command = [sys.executable, "-I", "-S", reaper.__file__, str(directory / _PROCESSES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        try:
            yield
        finally:
            process.stdin.close()


def child_pids() -> frozenset[int]:
    """The processes this one has started so far."""
    return frozenset(child.pid for child in psutil.Process().children(recursive=True))


def note_processes(directory: Path, *, but: frozenset[int] = frozenset()) -> None:
    """Write down the processes this driver has started, by pid and start time.

    Args:
        directory: Of the run.
        but: Pids that are none of the run's, such as those of a notebook around it.
    """
    children = []
    for child in psutil.Process().children(recursive=True):
        if child.pid in but:
            continue
        ticks = start_ticks(child.pid)
        if ticks is not None:
            children.append({"pid": child.pid, "started": ticks})
    write_atomically(directory / _PROCESSES, json.dumps(children))


def end_leftovers(directory: Path) -> int:
    """End what a killed driver of this run left running.

    A pid alone is not enough, since pids are used again; pid and start time are.

    Returns:
        How many processes were ended.
    """
    ended = end_noted(directory / _PROCESSES)
    for _ in range(500):  # a process that is killed takes a moment to go
        if all(start_ticks(pid) is None for pid in ended):
            break
        time.sleep(0.01)
    (directory / _PROCESSES).unlink(missing_ok=True)
    return len(ended)
