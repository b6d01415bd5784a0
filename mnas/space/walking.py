"""The one walk from choices to an architecture; its users differ in how they choose.

The automaton says where each choice leads. What it said is kept as a tree of forks for each state,
which grows where it is walked, so that a walk is a look-up for each choice. A tree that has grown
large is cut down and grows again.
"""

from collections.abc import Callable
from typing import Any

from mnas.arch import Architecture
from mnas.space.automaton import Automaton, Position, State
from mnas.space.choices import Choice, follow

_MOST_GROWN = 200_000  # forks and places; about 100 MB


class Fork:
    """A choice, and where each of its options leads.

    Attributes:
        choice: What is asked.
        ways: One for each option; None until somebody took it.
        position: Where it is asked.
        asked: The answers given before it there.
    """

    __slots__ = ("asked", "choice", "position", "ways")

    def __init__(self, choice: Choice, position: Position, asked: dict[Choice, int]) -> None:
        self.choice = choice
        self.ways: list[Way | None] = [None] * len(choice.options)
        self.position = position
        self.asked = asked


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
        self._grown = 0
        self._begin = self._open(automaton.start(), {})

    def walk(self, choose: Callable[[Choice], int]) -> tuple[Architecture, dict[str, int]]:
        """Build the architecture that a way of choosing leads to.

        Args:
            choose: Gives the index of an option; asked once for each active choice.

        Returns:
            The architecture, and the index chosen for each active choice, in the order asked.
        """
        chosen: dict[str, int] = {}
        passed: list[Any] = []
        way: Way | None = self._beginning()
        while way is not None:
            while type(way) is Fork:
                index = chosen[way.choice.name] = choose(way.choice)
                way = way.ways[index] or self._grow(way, index)
            way = self._pass(way, passed)
        return _architecture(passed), chosen

    def draw(self, random: Callable[[], float]) -> Architecture:
        """The architecture of `walk` where each choice is drawn, without saying what was chosen.

        Args:
            random: Gives numbers in [0, 1); asked once for each active choice.
        """
        passed: list[Any] = []
        way: Way | None = self._beginning()
        while way is not None:
            while type(way) is Fork:
                ways = way.ways
                index = int(random() * len(ways))
                way = ways[index] or self._grow(way, index)
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

    def _beginning(self) -> Way:
        if self._grown > _MOST_GROWN:
            self._ahead.clear()
            self._grown = 0
            self._begin = self._open(self._automaton.start(), {})
        return self._begin

    def _through(self, state: State) -> Way:
        """The ways through the position of a state."""
        found = self._ahead.get(state)
        if found is None:
            found = self._ahead[state] = self._open(self._automaton.position(state), {})
        return found

    def _grow(self, fork: Fork, index: int) -> Way:
        """The way that an option leads, which nobody took yet."""
        way = fork.ways[index] = self._open(fork.position, {**fork.asked, fork.choice: index})
        return way

    def _open(self, position: Position, asked: dict[Choice, int]) -> Way:
        """What comes at a position after some answers: the next choice, or its end."""
        self._grown += 1
        answers = {choice.name: index for choice, index in asked.items()}
        choice, result = follow(position.run, {**position.known, **answers})
        if choice is not None:
            return Fork(choice, position, asked)
        return Place(*position.arrive(asked, result))


def _architecture(passed: list[Any]) -> Architecture:
    frame, *blocks, head = passed
    architecture: Architecture = frame.with_body(tuple(blocks), head)
    return architecture
