"""The one walk from choices to an architecture; its users differ in how they choose.

The automaton says where each choice leads. What it said is kept as a tree of forks for each state,
which grows where it is walked, so that a walk is a look-up for each choice.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from mnas.arch import Architecture
from mnas.space.automaton import Automaton, State
from mnas.space.choices import Choice


class Fork(NamedTuple):
    """A choice, and where each of its options leads."""

    choice: Choice
    ways: "tuple[Way, ...]"


class Place:
    """Where the choices of one position have led.

    Attributes:
        passed: What the position is: the architecture but for its body, a block, or the head;
            None where nothing stands.
        state: Of the next position; None after the head.
        ahead: The ways through the next position; None until somebody walked on.
    """

    __slots__ = ("ahead", "passed", "state")

    def __init__(self, passed: Any, state: State | None) -> None:
        self.passed, self.state = passed, state
        self.ahead: Way | None = None


Way = Fork | Place


class Paths:
    """Every way through a space, as far as it was walked.

    Args:
        automaton: Of the space.
    """

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._ahead: dict[State, Way] = {}
        name = automaton.space.name
        self._begin = _forks(
            [(asked, Place(top.frame(name), state)) for top, state, asked in automaton.starts()]
        )

    def walk(self, choose: Callable[[Choice], int]) -> tuple[Architecture, dict[str, int]]:
        """Build the architecture that a way of choosing leads to.

        Args:
            choose: Gives the index of an option; asked once for each active choice.

        Returns:
            The architecture, and the index chosen for each active choice, in the order asked.
        """
        chosen: dict[str, int] = {}
        passed: list[Any] = []
        way: Way | None = self._begin
        while way is not None:
            while type(way) is Fork:
                choice, ways = way
                index = chosen[choice.name] = choose(choice)
                way = ways[index]
            way = self._pass(way, passed)
        return _architecture(passed), chosen

    def draw(self, random: Callable[[], float]) -> Architecture:
        """The architecture of `walk` where each choice is drawn, without saying what was chosen.

        Args:
            random: Gives numbers in [0, 1); asked once for each active choice.
        """
        passed: list[Any] = []
        way: Way | None = self._begin
        while way is not None:
            while type(way) is Fork:
                ways = way.ways
                way = ways[int(random() * len(ways))]
            way = self._pass(way, passed)
        return _architecture(passed)

    def _pass(self, place: Any, passed: list[Any]) -> "Way | None":
        """Note what stands at a place; what lies ahead of it, None after the head."""
        if place.passed is not None:
            passed.append(place.passed)
        if place.ahead is None and place.state is not None:
            place.ahead = self._through(place.state)
        ahead: Way | None = place.ahead
        return ahead

    def _through(self, state: State) -> Way:
        """The ways through the position of a state."""
        found = self._ahead.get(state)
        if found is None:
            if self._automaton.is_final(state):
                heads = self._automaton.heads(state)
                ways = [(asked, Place(head, None)) for head, asked in heads]
            else:
                steps = self._automaton.steps(state)
                ways = [(step.asked, Place(step.block, step.state)) for step in steps]
            found = self._ahead[state] = _forks(ways)
        return found


def _architecture(passed: list[Any]) -> Architecture:
    frame, *blocks, head = passed
    architecture: Architecture = frame.with_body(tuple(blocks), head)
    return architecture


def _forks(ways: list[tuple[dict[Choice, int], Place]], depth: int = 0) -> Way:
    """The ways of one position as a tree; those that agree so far ask the same choice next."""
    asked, place = ways[0]
    if depth == len(asked):
        return place
    choice = list(asked)[depth]
    options: list[list[tuple[dict[Choice, int], Place]]] = [[] for _ in choice.options]
    for way in ways:
        options[way[0][choice]].append(way)
    return Fork(choice, tuple(_forks(own, depth + 1) for own in options))
