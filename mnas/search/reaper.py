"""Ends the processes of a run whose driver is gone; run as a process of its own.

`python reaper.py PROCESSES` waits until its standard input closes, which the kernel does when the
driver ends, however it ends. Standard library only, so that it starts at once and stays small.
A process is known by pid and by start time in clock ticks since boot: pids are used again, and a
time of day changes when the clock is set.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is gone or is only a corpse."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def end_noted(path: Path) -> list[int]:
    """Kill what a file of processes notes and is still the same; gives the pids."""
    try:
        noted = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    ended = []
    for each in noted:
        if each["pid"] != os.getpid() and start_ticks(each["pid"]) == each["started"]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each["pid"], signal.SIGKILL)
                ended.append(each["pid"])
    return ended


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    sys.stdin.buffer.read()
    end_noted(Path(sys.argv[1]))
