"""The errors of this room.

InvalidFileError
├── LatencyTableError       a file that is no latency table, or a damaged one
└── JobError                a folder that is no job, or another one
MnasError
├── TableMismatchError      a sound table of another target
├── MissingRuntimeError     a runtime whose package is not installed
├── InvalidRuntimeError     an installed package's runtime that is none
└── MeasuringError          measuring cannot start or gave nothing
    └── DeviceError         a device that cannot be reached, or does not answer
"""

from mnas.arch import InvalidFileError, MnasError


class LatencyTableError(InvalidFileError):
    """A file that is not a sound latency table; names file, line, what was found and allowed."""


class TableMismatchError(MnasError):
    """A table measured for another target than the one asked for; names both sides."""


class MissingRuntimeError(MnasError):
    """A runtime whose package is not installed; says how to install it."""


class InvalidRuntimeError(MnasError):
    """An entry point of `mnas.runtimes` gives something that is no runtime; says what."""


class JobError(InvalidFileError):
    """A folder that holds no sound job, or another one than was asked for."""


class MeasuringError(MnasError):
    """A measurement that cannot be made as asked."""


class DeviceError(MeasuringError):
    """A device that cannot be reached, or whose agent does not answer; says what it said."""
