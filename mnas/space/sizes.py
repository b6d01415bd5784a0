"""How large a space is, exactly: encodings, and the distinct networks among them."""

from collections import defaultdict
from dataclasses import dataclass

from mnas.space.automaton import Automaton, State
from mnas.space.distinct import MOST_STEPS, DistinctArchitectures
from mnas.space.errors import TooManyStepsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a space is.

    Attributes:
        encodings: Combinations of active choices.
        architectures: Distinct networks among them; None when they were not counted.
        reason: Why they were not counted.
    """

    encodings: int
    architectures: int | None
    reason: str | None = None


def size_of(automaton: Automaton, most_steps: int = MOST_STEPS) -> Size:
    """Count a space.

    Args:
        automaton: Of the space.
        most_steps: Give up counting distinct networks after so many steps between sets of states.

    Returns:
        Exact integers.
    """
    encodings = _count_encodings(automaton)
    try:
        architectures = DistinctArchitectures(automaton, most_steps).total
    except TooManyStepsError as error:
        return Size(encodings=encodings, architectures=None, reason=str(error))
    return Size(encodings=encodings, architectures=architectures)


def _count_encodings(automaton: Automaton) -> int:
    """Paths from a start to a head. All paths to a state come before it in (stage, layer)."""
    waiting: dict[tuple[int, int], dict[State, int]] = defaultdict(lambda: defaultdict(int))

    def add(state: State, paths: int) -> None:
        position = (state.stage, -1 if state.layer is None else state.layer)
        waiting[position][state] += paths

    for _, state, _ in automaton.starts():
        add(state, 1)
    total = 0
    heads: dict[State, int] = {}
    while waiting:
        for state, paths in waiting.pop(min(waiting)).items():
            if automaton.is_final(state):
                key = state._replace(stage=0, channels=0)
                if key not in heads:
                    heads[key] = sum(1 for _ in automaton.heads(state))
                total += paths * heads[key]
            else:
                for step in automaton.steps(state):
                    add(step.state, paths)
    return total
