"""The errors of mnas, and how a fault in somebody's file is told.

MnasError (ValueError)                exit 2: bad input
├── InvalidArchitectureError          arch
├── InvalidFileError                  arch: a file that is not what it should be
│   ├── InvalidSpaceError             space
│   └── InvalidExperimentError        search
├── UnknownNameError                  arch: a name that is not among the known ones
└── ... one class per misuse, in the room that raises it
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

_MOST_TOLD = 50  # faults; a document may repeat one thousands of times


class MnasError(ValueError):
    """Something a person can mend: the message says what was found, what is allowed, what to do.

    Attributes:
        exit_code: What the command line exits with when this error ends a command.
    """

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a document.

    Attributes:
        place: Dotted path of the field, such as `blocks.3.kernel`; empty for the document itself.
        problem: What was found and what is allowed.
        line: 1-based line in the file, if known.
        column: 1-based column in the file, if known.
    """

    place: str
    problem: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        where = f"{self.line}:{self.column}: " if self.line is not None else ""
        return f"{where}{self.place or 'document'}: {self.problem}"


class _FaultyError(MnasError):
    """An error made of faults, all of them told at once."""

    def __init__(self, subject: str, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        lines = [subject, *(f"  {fault}" for fault in self.faults[:_MOST_TOLD])]
        if len(self.faults) > _MOST_TOLD:
            lines.append(f"  and {len(self.faults) - _MOST_TOLD} more faults")
        super().__init__("\n".join(lines))

    @classmethod
    def at(cls, subject: str, place: str, problem: str) -> Self:
        return cls(subject, [Fault(place, problem)])


class InvalidArchitectureError(_FaultyError):
    """A document or value that no network can have; names each place, as `blocks.3.kernel`."""


class InvalidFileError(_FaultyError):
    """A file that cannot be read, or is not what it should be; names file, place, line, column."""


_MOST_LISTED = 30  # names in a message; of more, the nearest few


class UnknownNameError(MnasError):
    """A name that is not among the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = tuple(sorted(known))
        self._arguments = (kind, name, names)
        near = did_you_mean(name, names)
        if len(names) <= _MOST_LISTED:
            listed = f"known: {', '.join(names) or 'none'}"
        else:
            close = difflib.get_close_matches(_folded(name), names, n=5, cutoff=0)
            listed = f"the nearest of the {len(names)} known: {', '.join(close)}"
        super().__init__(f"unknown {kind} {name!r}{near}; {listed}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, tuple[str, ...]]]:
        return type(self), self._arguments  # else a worker's error could not be unpickled


def not_an_architecture(value: object, asked_by: str) -> TypeError:
    """What to raise where an `Architecture` was asked for and something else came."""
    how = "mnas.Architecture.from_json(text) reads a document"
    if isinstance(value, str):
        how = f"mnas.load_published({value!r}) gives a published network by its name, {how}"
    return TypeError(f"{asked_by} takes an Architecture; got {value!r}. {how}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'kernel'?)` when a known name is near, else nothing."""
    folded = {_folded(one): one for one in known}
    near = difflib.get_close_matches(_folded(name), list(folded), n=1, cutoff=0.6)
    return f" (did you mean {folded[near[0]]!r}?)" if near else ""


def _folded(name: str) -> str:
    """Capitals and dashes are how people write a name, not what it is."""
    return name.lower().replace("-", "_")
