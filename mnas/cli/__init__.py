"""From the shell: arguments in, one call of a room, something a person reads or JSON out."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after the program's name; None for those of this process.

    Returns:
        The exit code: 0 done, 1 a defect of mnas, 2 bad input, 3 the budget cannot be met,
        4 evaluation failures ended the run, 5 an export was not equal, 130 interrupted.
    """
    from mnas.cli.running import run_command

    return run_command(sys.argv[1:] if argv is None else argv)
