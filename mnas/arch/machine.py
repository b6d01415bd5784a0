"""One lock for the whole machine, so that measuring and training never run together.

A latency measured beside a training is a latency of both. Trainings share the lock, a measurement
has it alone; the kernel lets go of it when a process dies.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def machine_lock(
    *, alone: bool, waiting: Callable[[], None] = lambda: None, poll_seconds: float = 0.2
) -> Iterator[None]:
    """Hold the machine: shared for training, alone for measuring.

    Args:
        alone: True for measuring, False for training.
        waiting: Called once if somebody else holds the lock, before waiting for it.
        poll_seconds: Time between two tries.
    """
    folder, name = Path(tempfile.gettempdir()), f"mnas-{os.getuid()}"
    told = False

    def acquire(file: TextIO) -> None:
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

    with (folder / f"{name}.lock").open("a") as machine:
        # Trainings that overlap without end would keep a measurement waiting for ever: so a
        # measurement that waits holds the turn, and no new training begins meanwhile.
        with (folder / f"{name}.turn").open("a") as turn:
            acquire(turn)
            acquire(machine)
        yield
