"""The errors of this room.

InvalidFileError
└── LatencyTableError       a file that is no latency table, or a damaged one
MnasError
├── TableMismatchError      a sound table of another target
└── MeasuringError          measuring cannot start or gave nothing
"""

from mnas.arch import InvalidFileError, MnasError


class LatencyTableError(InvalidFileError):
    """A file that is not a sound latency table; names file, line, what was found and allowed."""


class TableMismatchError(MnasError):
    """A table measured for another target than the one asked for; names both sides."""


class MeasuringError(MnasError):
    """A measurement that cannot be made as asked."""
