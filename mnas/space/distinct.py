"""Every distinct architecture of a space once: how many there are, and one of them at random.

Several encodings can give one network. The automaton made deterministic reads each distinct string
of blocks along one path of sets of states, so paths are counted, and drawn by their counts.
"""

import random
from collections import defaultdict
from typing import NamedTuple

from mnas.arch import Architecture, Block, HeadItem
from mnas.space.automaton import Automaton, State, Top
from mnas.space.errors import TooManyStepsError

MOST_STEPS = 2_000_000

_States = frozenset[State]


class _Ways(NamedTuple):
    """What may follow a set of states: the network ends with a head, or a block is read."""

    heads: tuple[tuple[HeadItem, ...], ...]
    moves: tuple[tuple[Block, _States], ...]


class DistinctArchitectures:
    """The distinct architectures of a space.

    Args:
        automaton: Of the space.
        most_steps: Give up after so many steps between sets of states.

    Raises:
        TooManyStepsError: More would be needed to tell equal networks apart.
    """

    def __init__(self, automaton: Automaton, most_steps: int = MOST_STEPS) -> None:
        self._automaton = automaton
        self._steps_left = self._most_steps = most_steps
        self._ways: dict[_States, _Ways] = {}
        self._sorted: dict[_States, _Ways] = {}
        self._counts: dict[_States, int] = {}
        self._heads: dict[_States, tuple[tuple[HeadItem, ...], ...]] = {}
        by_top: dict[object, tuple[Top, set[State]]] = {}
        for top, state, _ in automaton.starts():
            by_top.setdefault(top.fixed(), (top, set()))[1].add(state)
        self._starts = [(top, automaton.closure(states)) for top, states in by_top.values()]
        for _, states in self._starts:
            self._count(states)
        self.total = sum(self._counts[states] for _, states in self._starts)

    def draw(self, rng: random.Random, name: str) -> Architecture:
        """One of them, each as likely as any other; it gets the name."""
        number = rng.randrange(self.total)
        for top, states in self._starts:
            if number < self._counts[states]:
                return self._at(number, top, states, name)
            number -= self._counts[states]
        raise AssertionError("the counts add up to the total")

    def _at(self, number: int, top: Top, states: _States, name: str) -> Architecture:
        """The architecture of that number among those that begin so."""
        blocks = []
        while number >= len(self._ways[states].heads):
            number -= len(self._ways[states].heads)
            for block, after in self._ordered(states).moves:
                if number < self._counts[after]:
                    blocks.append(block)
                    states = after
                    break
                number -= self._counts[after]
        return top.frame(name).with_body(tuple(blocks), self._ordered(states).heads[number])

    def _ordered(self, states: _States) -> _Ways:
        """The ways in an order that does not hang on hashes, so that a seed draws the same."""
        if states not in self._sorted:
            heads, moves = self._ways[states]
            self._sorted[states] = _Ways(
                tuple(sorted(heads, key=repr)), tuple(sorted(moves, key=lambda move: repr(move[0])))
            )
        return self._sorted[states]

    def _count(self, start: _States) -> None:
        """Count the strings from a set of states: depth first, what follows before what leads."""
        waiting = [start]
        while waiting:
            states = waiting[-1]
            if states in self._counts:
                waiting.pop()
                continue
            if states not in self._ways:
                self._ways[states] = self._ways_from(states)
                waiting += [after for _, after in self._ways[states].moves]
                continue
            heads, moves = self._ways[states]
            self._counts[states] = len(heads) + sum(self._counts[after] for _, after in moves)

    def _ways_from(self, states: _States) -> _Ways:
        reached: dict[Block, set[State]] = defaultdict(set)
        final = frozenset(filter(self._automaton.is_final, states))
        for state in states - final:
            for step in self._automaton.steps(state):
                if step.block is not None:
                    reached[step.block].add(step.state)
        self._steps_left -= len(reached)
        if self._steps_left < 0:
            raise TooManyStepsError(
                f"more than {self._most_steps} steps would be needed to tell equal networks apart"
            )
        closed = {
            key: self._automaton.closure(key) for key in set(map(frozenset, reached.values()))
        }
        moves = tuple((block, closed[frozenset(after)]) for block, after in reached.items())
        if final not in self._heads:
            heads = {head for state in final for head, _ in self._automaton.heads(state)}
            self._heads[final] = tuple(heads)
        return _Ways(self._heads[final], moves)
