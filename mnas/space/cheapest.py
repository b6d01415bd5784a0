"""The cheapest network of a space for a cost that adds up block by block: a shortest path."""

import functools
import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mnas.arch import PlannedBlock, plan_block, plan_classifier, plan_head, plan_stem
from mnas.arch.layers import halved
from mnas.space.automaton import Automaton, State
from mnas.space.choices import Choice, Option

Cost = Callable[[PlannedBlock], float]


class _Node(NamedTuple):
    state: State
    size: int
    ended: bool


class _Edge(NamedTuple):
    cost: float
    after: _Node
    asked: dict[Choice, int]


def cheapest_choices(automaton: Automaton, cost: Cost) -> dict[str, Option]:
    """The choices whose network has the least sum of costs (Dijkstra's algorithm).

    Args:
        automaton: Of the space.
        cost: Of one planned block, not below zero.
    """
    price = functools.cache(lambda block: float(cost(block)))
    ticket = itertools.count()
    queue: list[tuple[float, int, _Node, tuple[dict[Choice, int], ...]]] = []
    for top, state, asked in automaton.starts():
        network = top.network
        stem = plan_stem(top.stem, network.channels, top.resolution, network.padding)
        assert stem.out_size is not None
        start = _Node(state, stem.out_size, False)
        heapq.heappush(queue, (price(stem), next(ticket), start, (asked,)))
    done: set[_Node] = set()
    while True:
        spent, _, node, path = heapq.heappop(queue)
        if node in done:
            continue
        if node.ended:
            return {c.name: c.options[i] for part in path for c, i in part.items()}
        done.add(node)
        for edge in _edges(automaton, node, price):
            following = (spent + edge.cost, next(ticket), edge.after, (*path, edge.asked))
            heapq.heappush(queue, following)


def _edges(automaton: Automaton, node: _Node, price: Cost) -> Iterator[_Edge]:
    state, network = node.state, automaton.networks[node.state.network]
    if automaton.is_final(state):
        for head, asked in automaton.heads(state):
            channels, total = state.channels, 0.0
            size: int | None = node.size
            for item in head:
                planned = plan_head(item, channels, size)
                channels, size = planned.out_channels, planned.out_size
                total += price(planned)
            last = plan_classifier(network.num_classes, channels, size, network.dropout)
            yield _Edge(total + price(last), node._replace(ended=True), asked)
        return
    for step in automaton.steps(state):
        if step.block is None:
            yield _Edge(0.0, _Node(step.state, node.size, False), step.asked)
        else:
            planned = plan_block(step.block, state.channels, node.size, network.padding)
            after = _Node(step.state, halved(node.size, step.block.stride), False)
            yield _Edge(price(planned), after, step.asked)
