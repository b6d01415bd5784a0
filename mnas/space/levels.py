"""A space as a chain of tables, so that many encodings can be walked at once.

The automaton's states become numbers. A level reads one column of an encoding: `after[at + option]`
is where the walk goes on. What a walk passes between two levels is known then and there, so a block
is emitted as soon as the last choice that shapes it is read. One chain for each network option.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnas.arch import HeadItem, PlannedBlock, plan_block, plan_classifier, plan_head, plan_stem
from mnas.space.automaton import Automaton, State
from mnas.space.choices import Choice, choices_in
from mnas.space.errors import TooManyStepsError
from mnas.space.templates import NetworkTemplate, layer_choices

MOST_ENTRIES = 8_000_000


class Chain(NamedTuple):
    """The levels of one network, their entries one after the other: states by options.

    Attributes:
        columns: Which column each level reads; None where nothing is chosen.
        starts: Where the entries of each level begin, and where those of the last one end.
        after: (entries,) where the next level's entries of that state begin; the end for the last.
        asks: (entries,) whether the column is active in that state.
        emits: (entries,) index into `Tables.emissions`.
        is_emitting: Whether some entry of each level emits something.
    """

    columns: tuple[int | None, ...]
    starts: tuple[int, ...]
    after: NDArray[np.intp]
    asks: NDArray[np.bool_]
    emits: NDArray[np.intp]
    is_emitting: tuple[bool, ...]


class Tables(NamedTuple):
    """All chains of a space.

    Attributes:
        chains: One for each network option.
        blocks: The distinct planned blocks that they emit.
        emissions: Runs of indices into `blocks`; the first is empty.
    """

    chains: tuple[Chain, ...]
    blocks: tuple[PlannedBlock, ...]
    emissions: tuple[tuple[int, ...], ...]


class _Level(NamedTuple):
    """One column read: the number of the state after each entry, who asks, what is emitted."""

    column: int | None
    after: list[int]
    asks: NDArray[np.bool_]
    emits: list[int] | None


class _Node(NamedTuple):
    state: State
    size: int


class _Way(NamedTuple):
    """One way through a position: the choices it asks, the blocks it passes, where it leads."""

    asked: Mapping[str, int]
    emitted: int
    after: _Node | None


def tables_of(automaton: Automaton, choices: Sequence[Choice]) -> Tables:
    """Work out the tables of a space.

    Args:
        automaton: Of the space.
        choices: The columns of an encoding.

    Raises:
        TooManyStepsError: The tables would have more than `MOST_ENTRIES` entries.
    """
    return _Builder(automaton, choices).tables()


class _Builder:
    def __init__(self, automaton: Automaton, choices: Sequence[Choice]) -> None:
        self._automaton = automaton
        self._columns = {choice.name: index for index, choice in enumerate(choices)}
        self._radices = [len(choice.options) for choice in choices]
        self._blocks: dict[PlannedBlock, int] = {}
        self._emissions: dict[tuple[int, ...], int] = {(): 0}
        self._entries = 0

    def tables(self) -> Tables:
        chains = tuple(
            self._chain(index, network) for index, network in enumerate(self._automaton.networks)
        )
        return Tables(chains, tuple(self._blocks), tuple(self._emissions))

    def _chain(self, which: int, network: NetworkTemplate) -> Chain:
        ways = [list(self._starts(which))]
        parts = [_names(network.width, network.resolution, network.stem)]
        levels, nodes = self._levels(ways, parts[0])
        for number, stage in enumerate(network.stages):
            columns = _names(stage.depth, stage.out_channels, stage.stride)
            positions: dict[int | None, list[str]] = {None: columns}
            for index, node in enumerate(stage.layers):
                positions[index] = list(dict.fromkeys(c.name for c in layer_choices(node)))
            for layer, columns in positions.items():
                ways = [self._steps(node, number, layer, network) for node in nodes]
                more, nodes = self._levels(ways, columns)
                levels += more
        ways = [list(self._heads(node, network)) for node in nodes]
        more, _ = self._levels(ways, _names(*network.head))
        levels += more
        return _chained(levels, self._radices)

    def _starts(self, which: int) -> Iterator[_Way]:
        for top, state, asked in self._automaton.starts():
            if state.network == which:
                network = top.network
                stem = plan_stem(top.stem, network.channels, top.resolution, network.padding)
                assert stem.out_size is not None
                names = {c.name: i for c, i in asked.items() if c.name != "network"}
                yield _Way(names, self._emission([stem]), _Node(state, stem.out_size))

    def _steps(
        self, node: _Node, stage: int, layer: int | None, network: NetworkTemplate
    ) -> list[_Way]:
        state, size = node
        if (state.stage, state.layer) != (stage, layer):
            return [_Way({}, 0, node)]  # this stage has ended, or is absent
        ways = []
        for step in self._automaton.steps(state):
            asked = {c.name: i for c, i in step.asked.items()}
            if step.block is None:
                ways.append(_Way(asked, 0, _Node(step.state, size)))
            else:
                planned = plan_block(step.block, state.channels, size, network.padding)
                assert planned.out_size is not None
                after = _Node(step.state, planned.out_size)
                ways.append(_Way(asked, self._emission([planned]), after))
        return ways

    def _heads(self, node: _Node, network: NetworkTemplate) -> Iterator[_Way]:
        for head, asked in self._automaton.heads(node.state):
            emitted = self._emission(_planned_head(head, node, network))
            yield _Way({c.name: i for c, i in asked.items()}, emitted, None)

    def _emission(self, planned: Iterable[PlannedBlock]) -> int:
        numbers = tuple(self._blocks.setdefault(block, len(self._blocks)) for block in planned)
        return self._emissions.setdefault(numbers, len(self._emissions))

    def _levels(self, ways: list[list[_Way]], order: list[str]) -> tuple[list[_Level], list[_Node]]:
        """The levels of one position, and the nodes after it.

        Args:
            ways: For each node that may come here, its ways through.
            order: Names of choices, those that decide whether another is asked before it.
        """
        asked = {name for own in ways for way in own for name in way.asked}
        names: list[str | None] = [name for name in order if name in asked] or [None]
        nodes: dict[_Node | None, int] = {}
        levels = []
        groups = ways
        for name in names:
            column = None if name is None else self._columns[name]
            radix = 1 if column is None else self._radices[column]
            self._entries += len(groups) * radix
            if self._entries > MOST_ENTRIES:
                raise TooManyStepsError(
                    f"more than {MOST_ENTRIES} table entries would be needed to walk this space's "
                    "encodings at once; use fewer widths, resolutions, or choices of a whole stage"
                )
            following, after, asks = _split(groups, name, radix)
            emits = None
            if name == names[-1]:  # each group has one way left
                left = [group[0] for group in following]
                to = [nodes.setdefault(way.after, len(nodes)) for way in left]
                emitted = [way.emitted for way in left]
                emits = [emitted[i] for i in after]
                after = [to[i] for i in after]
            levels.append(_Level(column, after, np.repeat(asks, radix), emits))
            groups = following
        return levels, [node for node in nodes if node is not None]


def _split(
    groups: list[list[_Way]], name: str | None, radix: int
) -> tuple[list[list[_Way]], list[int], NDArray[np.bool_]]:
    """Read one choice: the groups after it, which of them follows each entry, and who asks."""
    following: list[list[_Way]] = []
    after: list[int] = []
    asks = np.zeros(len(groups), np.bool_)
    for index, group in enumerate(groups):
        if name is None or name not in group[0].asked:
            after += [len(following)] * radix
            following.append(group)
            continue
        asks[index] = True
        options: list[list[_Way]] = [[] for _ in range(radix)]
        for way in group:
            options[way.asked[name]].append(way)
        after += range(len(following), len(following) + radix)
        following += options
    return following, after, asks


def _chained(levels: list[_Level], radices: Sequence[int]) -> Chain:
    """The levels one after the other; states become the places of their entries."""
    starts = [0, *accumulate(len(level.after) for level in levels)]
    widths = [1 if level.column is None else radices[level.column] for level in levels]
    return Chain(
        columns=tuple(level.column for level in levels),
        starts=tuple(starts),
        after=np.concatenate(
            [
                start + np.array(level.after, np.intp) * width
                for level, start, width in zip(levels, starts[1:], [*widths[1:], 0], strict=True)
            ]
        ),
        asks=np.concatenate([level.asks for level in levels]),
        emits=np.concatenate(
            [np.array(level.emits or [0] * len(level.after), np.intp) for level in levels]
        ),
        is_emitting=tuple(any(level.emits or ()) for level in levels),
    )


def _planned_head(
    head: tuple[HeadItem, ...], node: _Node, network: NetworkTemplate
) -> Iterator[PlannedBlock]:
    channels: int = node.state.channels
    size: int | None = node.size
    for item in head:
        planned = plan_head(item, channels, size)
        channels, size = planned.out_channels, planned.out_size
        yield planned
    yield plan_classifier(network.num_classes, channels, size, network.dropout)


def _names(*nodes: Any) -> list[str]:
    return list(dict.fromkeys(choice.name for node in nodes for choice in choices_in(node)))
