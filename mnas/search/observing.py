"""What a search tells while it works. Rooms do not print; whoever called decides what to show."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a search stands.

    Attributes:
        phase: `data`, `table`, `search`, `baselines`, `confirm`, `timing` or `report`; `notice`
            for a line that shall stay.
        done: How much of the phase is done.
        total: How much there is; 0 when that is not known.
        text: One line for a person.
    """

    phase: str
    done: int = 0
    total: int = 0
    text: str = ""


class Observer(Protocol):
    """Is told each step."""

    def __call__(self, step: Step, /) -> None: ...


def ignore(step: Step) -> None:
    """The observer that shows nothing."""
