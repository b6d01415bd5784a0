"""The errors of this room; all of them are bad input, exit 2."""

from mnas.arch import MnasError


class RunError(MnasError):
    """A folder that is no run, or a run from which the asked thing cannot be had."""


class InvalidRecordError(MnasError):
    """A record that contradicts itself; names the field."""


class DuplicateRecordError(MnasError):
    """An evaluation that the store has already; an evaluation is run and kept once."""
