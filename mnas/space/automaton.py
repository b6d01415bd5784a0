"""A search space as an automaton over positions: it reads a network's blocks one by one.

A state says what is settled and still matters: network, width, stage, layer, depth, channels that
come in, and the stage's own choices. Reading is nondeterministic, because several choices can give
one block; `sizes` makes it deterministic to count, `encoding` searches it.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mnas.arch import Architecture, Block, HeadItem, HeadPool, Input, Stem
from mnas.space.choices import Ask, Choice, branches, resolve
from mnas.space.layers import Sizing
from mnas.space.positions import head_of, layer_of
from mnas.space.templates import NetworkTemplate, SpaceTemplate, StageTemplate


class Top(NamedTuple):
    """The part of an architecture that stands before its blocks."""

    network: NetworkTemplate
    resolution: int
    stem: Stem

    def frame(self, name: str) -> Architecture:
        """An architecture of this name that has nothing else yet; see `Architecture.with_body`."""
        return Architecture(
            name=name,
            input=Input(channels=self.network.channels, resolution=self.resolution),
            num_classes=self.network.num_classes,
            padding=self.network.padding,
            norm=self.network.norm,
            dropout=self.network.dropout,
            stem=self.stem,
            blocks=(),
            head=(HeadPool(),),
        )

    def fixed(self) -> tuple[Any, ...]:
        """Everything but the network it came from: two options may say the same."""
        of = self.network
        return (
            self.resolution,
            of.channels,
            of.num_classes,
            of.padding,
            of.norm,
            of.dropout,
            self.stem,
        )


class State(NamedTuple):
    """Where in the space a reader is.

    Attributes:
        network: Index of the network option.
        width: The width multiplier.
        stage: Index of the stage; the number of stages stands for the head.
        layer: Index of the next layer; None before the depth is known.
        depth: Layers of this stage; 0 before it is known.
        out_channels: Of this stage; 0 before it is known.
        stride: Of the next layer; 0 before it is known.
        channels: What comes in.
        settled: The stage's own choices that later layers may ask.
    """

    network: int
    width: float
    stage: int
    layer: int | None
    depth: int
    out_channels: int
    stride: int
    channels: int
    settled: frozenset[tuple[str, int]]


class Step(NamedTuple):
    """One way on from a state.

    Attributes:
        block: What is read; None when nothing is (an identity, or the start of a stage).
        state: Where it leads.
        asked: The choices it made.
    """

    block: Block | None
    state: State
    asked: dict[Choice, int]


class Position(NamedTuple):
    """What can be asked at one place of a network, before any of it is.

    Attributes:
        run: Asks choices and gives a result.
        known: Answers that are settled already, by name of the choice.
        arrive: From the answers and the result: what stands there (the architecture but for its
            body, a block, the head; None where nothing does), and the next state, None at the end.
    """

    run: Callable[[Ask], Any]
    known: Mapping[str, int]
    arrive: Callable[[dict[Choice, int], Any], tuple[Any, State | None]]


class Automaton:
    """The automaton of a space; remembers the steps it has worked out."""

    def __init__(self, space: SpaceTemplate) -> None:
        self.space = space
        self.networks = space.networks
        self._steps: dict[State, tuple[Step, ...]] = {}
        self._silent: dict[State, frozenset[State]] = {}

    def starts(self) -> Iterator[tuple[Top, State, dict[Choice, int]]]:
        """Every way to begin: what stands before the blocks, and the state after it."""
        for asked, (top, state) in branches(self._begin):
            yield top, state, asked

    def start(self) -> Position:
        """What stands before the blocks."""
        name = self.space.name

        def arrive(asked: dict[Choice, int], result: tuple[Top, State]) -> tuple[Any, State]:
            top, state = result
            return top.frame(name), state

        return Position(self._begin, {}, arrive)

    def position(self, state: State) -> Position:
        """What comes next in a state: the depth of a stage, a layer, or the head."""
        network = self.networks[state.network]
        sizing = Sizing(state.width, network.rounding)
        if self.is_final(state):
            return Position(
                functools.partial(head_of, network, sizing), {}, lambda asked, head: (head, None)
            )
        stage = network.stages[state.stage]
        return _enter(state, stage, sizing) if state.layer is None else _layer(state, stage, sizing)

    def is_final(self, state: State) -> bool:
        """Whether all blocks are read and the head is next."""
        return state.stage == len(self.networks[state.network].stages)

    def heads(self, state: State) -> Iterator[tuple[tuple[HeadItem, ...], dict[Choice, int]]]:
        """Every head that a final state may have."""
        for asked, head in branches(self.position(state).run):
            yield head, asked

    def steps(self, state: State) -> tuple[Step, ...]:
        """Every way on from a state that is not final, in file order."""
        found = self._steps.get(state)
        if found is None:
            here = self.position(state)
            found = self._steps[state] = tuple(_steps_of(here))
        return found

    def closure(self, states: Iterable[State]) -> frozenset[State]:
        """The states, and all that are reached from them without reading a block."""
        found: set[State] = set()
        for state in states:
            if state not in found:
                found |= self._reached_silently(state)
        return frozenset(found)

    def _begin(self, ask: Ask) -> tuple[Top, State]:
        network: NetworkTemplate = resolve(self.space.network, ask)
        sizing = Sizing(resolve(network.width, ask), network.rounding)
        resolution = resolve(network.resolution, ask)
        stem = resolve(network.stem, ask).at(sizing)
        index = next(i for i, one in enumerate(self.networks) if one is network)
        return Top(network, resolution, stem), _entry(index, sizing.width, 0, stem.out_channels)

    def _reached_silently(self, state: State) -> frozenset[State]:
        known = self._silent.get(state)
        if known is None:
            found = {state}
            waiting = [state]
            while waiting:
                here = waiting.pop()
                for step in () if self.is_final(here) else self.steps(here):
                    if step.block is None and step.state not in found:
                        found.add(step.state)
                        waiting.append(step.state)
            known = self._silent[state] = frozenset(found)
        return known


@functools.lru_cache(maxsize=16)
def automaton_of(space: "Identified") -> Automaton:
    """The automaton of a space, shared between its users."""
    return Automaton(space.template)


class Identified:
    """A template that a cache can hold by identity."""

    __slots__ = ("template",)

    def __init__(self, template: SpaceTemplate) -> None:
        self.template = template


def _entry(network: int, width: float, stage: int, channels: int) -> State:
    return State(network, width, stage, None, 0, 0, 0, channels, frozenset())


def _steps_of(position: Position) -> Iterator[Step]:
    for asked, result in branches(position.run, position.known):
        block, after = position.arrive(asked, result)
        assert after is not None, "only the head is followed by nothing"
        yield Step(block, after, asked)


def _enter(state: State, stage: StageTemplate, sizing: Sizing) -> Position:
    def run(ask: Ask) -> State:
        depth: int = resolve(stage.depth, ask)
        if not depth:
            return _entry(state.network, state.width, state.stage + 1, state.channels)
        out_channels = sizing.scaled(resolve(stage.out_channels, ask), stage.scale)
        stride: int = resolve(stage.stride, ask)
        return state._replace(layer=0, depth=depth, out_channels=out_channels, stride=stride)

    return Position(run, {}, lambda asked, after: (None, after))


def _layer(state: State, stage: StageTemplate, sizing: Sizing) -> Position:
    assert state.layer is not None
    number = state.layer
    layer = stage.layers[number]
    shape = (state.channels, state.out_channels, state.stride)

    def arrive(asked: dict[Choice, int], block: Block | None) -> tuple[Block | None, State]:
        if number + 1 == state.depth:
            after = _entry(state.network, state.width, state.stage + 1, state.out_channels)
            return block, after
        settled = _settled(state.settled, asked)
        return block, state._replace(
            layer=number + 1, stride=1, channels=state.out_channels, settled=settled
        )

    def run(ask: Ask) -> Block | None:
        return layer_of(layer, shape, sizing, stage.scale, ask)

    return Position(run, dict(state.settled), arrive)


def _settled(
    before: frozenset[tuple[str, int]], asked: Mapping[Choice, int]
) -> frozenset[tuple[str, int]]:
    shared = [(c.name, index) for c, index in asked.items() if c.layer is None]
    return before.union(shared) if shared else before
