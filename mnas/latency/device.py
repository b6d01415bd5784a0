"""Which machine this is, in words that a table can carry, and what cannot be measured on it."""

import os

from mnas.arch import MnasError
from mnas.latency.agent import describe_device
from mnas.latency.target import Target

__all__ = ["describe_device", "require_cores"]  # a device says in the same words what it is


def require_cores(target: Target) -> None:
    """Refuse more threads than this machine has logical cores: they would wait for each other.

    Raises:
        MnasError: Names both numbers.
    """
    cores = os.cpu_count() or 1
    if target.threads > cores:
        raise MnasError(
            f"{target.threads} threads are asked for, and this machine has {cores} logical "
            f"{'core' if cores == 1 else 'cores'}: their times would be of threads that wait. Ask "
            "for fewer, or name another device with --target"
        )
