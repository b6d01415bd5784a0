"""Which machine this is, in words that a table can carry."""

import os
import platform
from pathlib import Path


def describe_device(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name this machine's processor and its number of logical cores.

    Args:
        cpuinfo: The kernel's description of the processor, where there is one.

    Returns:
        Such as `Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores`.
    """
    cores = os.cpu_count() or 1
    return f"{_model(cpuinfo)}, {cores} core{'s' if cores > 1 else ''}"


def _model(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return " ".join(value.split())
    return platform.processor() or platform.machine()
