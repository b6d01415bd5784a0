"""Who drives a run: one living process, which leaves nothing behind when it is killed."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import psutil

from mnas.arch import MnasError, write_atomically

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
    """
    path = directory / _LOCK
    with path.open("a+") as file:
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
        with contextlib.suppress(psutil.NoSuchProcess):
            children.append({"pid": child.pid, "started": child.create_time()})
    write_atomically(directory / _PROCESSES, json.dumps(children))


def end_leftovers(directory: Path) -> int:
    """End what a killed driver of this run left running.

    A pid alone is not enough, since pids are used again; pid and start time are.

    Returns:
        How many processes were ended.
    """
    try:
        noted = json.loads((directory / _PROCESSES).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return 0
    ended = []
    for each in noted:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(each["pid"])
            if abs(process.create_time() - each["started"]) < 0.1:
                process.kill()
                ended.append(process)
    psutil.wait_procs(ended, timeout=5)
    (directory / _PROCESSES).unlink(missing_ok=True)
    return len(ended)
