"""The errors of the room.

MnasError
├── InvalidFileError
│   └── InvalidSpaceError       a file that is not a search space
├── InvalidChoicesError         choices that are not those of the space
├── OutsideSpaceError           an architecture that the space does not hold
└── TooManyStepsError           an exact answer that would take too long
"""

from mnas.arch import InvalidFileError, MnasError


class InvalidSpaceError(InvalidFileError):
    """A file that is not a search space: every fault, with place, line and column."""


class InvalidChoicesError(MnasError):
    """Choices to decode that are unknown, missing, or not among the options."""


class OutsideSpaceError(MnasError):
    """An architecture that is not one of the space's; names the first field outside."""


class TooManyStepsError(MnasError):
    """A space too large for an exact answer to this question; says the limit and the way out."""
