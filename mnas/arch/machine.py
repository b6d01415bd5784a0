"""One lock for the whole machine, so that measuring and training never run together.

A latency measured beside a training is a latency of both. Trainings share the lock, a measurement
has it alone; the kernel lets go of it when a process dies.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mnas.arch.errors import MnasError

_ALL_USERS = Path("/run/lock")  # Filesystem Hierarchy Standard 3.0, section 5.9


class MachineLockError(MnasError):
    """The files of the machine's lock cannot be opened; says which and what to do."""


@contextlib.contextmanager
def machine_lock(
    *, alone: bool, waiting: Callable[[], None] = lambda: None, poll_seconds: float = 0.2
) -> Iterator[None]:
    """Hold the machine: shared for training, alone for measuring.

    The lock is two files, `mnas.lock` and `mnas.turn`, that all users may open. They lie in the
    folder that the environment variable MNAS_LOCK_FOLDER names; without it in `/run/lock` where
    every user may write there, else in the folder for temporary files. Processes that name
    different folders do not see each other.

    Args:
        alone: True for measuring, False for training.
        waiting: Called once if somebody else holds the lock, before waiting for it.
        poll_seconds: Time between two tries.

    Raises:
        MachineLockError: A file of the lock cannot be opened, or is a link.
    """
    told = False

    def acquire(file: int) -> None:
        nonlocal told
        kind = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB
        while True:
            try:
                fcntl.flock(file, kind)
                return
            except BlockingIOError:
                if not told:
                    waiting()
                    told = True
                time.sleep(poll_seconds)

    folder = _folder()
    with _opened(folder / "mnas.lock") as machine:
        # Trainings that overlap without end would keep a measurement waiting for ever: so a
        # measurement that waits holds the turn, and no new training begins meanwhile.
        with _opened(folder / "mnas.turn") as turn:
            acquire(turn)
            acquire(machine)
        yield


def _folder() -> Path:
    given = os.environ.get("MNAS_LOCK_FOLDER")
    if given:
        return Path(given).expanduser()
    is_for_all = _ALL_USERS.is_dir() and _ALL_USERS.stat().st_mode & stat.S_IWOTH
    is_writable = is_for_all and os.access(_ALL_USERS, os.W_OK | os.X_OK)  # not in some containers
    return _ALL_USERS if is_writable else Path(tempfile.gettempdir())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor of a file of the lock; closing it lets go."""
    try:
        file = _open(path)
    except OSError as error:
        raise MachineLockError(
            f"the machine's lock {path} cannot be opened: {error.strerror or error}. Remove the "
            "file, or name a folder that all who measure and train here may write in the "
            "environment variable MNAS_LOCK_FOLDER"
        ) from None
    try:
        yield file
    finally:
        os.close(file)


def _open(path: Path) -> int:
    """Open a file, whoever made it, or make it for all users.

    Reading is enough for a lock. O_CREAT is given only where there is no file: the kernel refuses
    it for another user's file in a sticky folder (fs.protected_regular).
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # made by somebody else meanwhile
                file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
                os.fchmod(file, 0o666)  # whatever the umask
                return file
