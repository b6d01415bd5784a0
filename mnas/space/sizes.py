"""How large a space is, exactly: encodings, and the distinct networks among them."""

from collections import defaultdict
from dataclasses import dataclass

from mnas.arch import Block
from mnas.space.automaton import Automaton, State

MOST_STEPS = 2_000_000


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
    architectures = _count_architectures(automaton, most_steps)
    if architectures is None:
        reason = f"more than {most_steps} steps would be needed to tell equal networks apart"
        return Size(encodings=encodings, architectures=None, reason=reason)
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


def _count_architectures(automaton: Automaton, most_steps: int) -> int | None:
    """Distinct strings of blocks: each leads to one set of states, so sets are counted."""
    tops: dict[object, set[State]] = defaultdict(set)
    for top, state, _ in automaton.starts():
        tops[top.fixed()].add(state)
    frontier: dict[frozenset[State], int] = defaultdict(int)
    for begun in tops.values():
        frontier[automaton.closure(begun)] += 1
    total, taken = 0, 0
    moves: dict[frozenset[State], list[frozenset[State]]] = {}
    heads: dict[frozenset[State], int] = {}
    while frontier:
        following: dict[frozenset[State], int] = defaultdict(int)
        for states, strings in frontier.items():
            final = frozenset(state for state in states if automaton.is_final(state))
            if final and final not in heads:
                heads[final] = len({head for state in final for head, _ in automaton.heads(state)})
            total += strings * heads.get(final, 0)
            if states not in moves:
                moves[states] = _moves(automaton, states)
                taken += len(moves[states])
                if taken > most_steps:
                    return None
            for after in moves[states]:
                following[after] += strings
        frontier = following
    return total


def _moves(automaton: Automaton, states: frozenset[State]) -> list[frozenset[State]]:
    reached: dict[Block, set[State]] = defaultdict(set)
    for state in states:
        if not automaton.is_final(state):
            for step in automaton.steps(state):
                if step.block is not None:
                    reached[step.block].add(step.state)
    closed = {key: automaton.closure(key) for key in set(map(frozenset, reached.values()))}
    return [closed[frozenset(after)] for after in reached.values()]
