"""Regularised evolution (Real et al. 2019, arXiv:1802.01548, algorithm 1), within the limits.

The population is the latest networks that have a score: the oldest dies, however good it is.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from mnas.results import non_dominated
from mnas.search.ground import Facts, Ground, Rows
from mnas.search.row_sampler import RandomStrategy, Seen

# Theirs were 100 and 25 for 20 000 trainings; searches here are a hundred times shorter.
POPULATION = 30
TOURNAMENT = 8
_TRIES = 64  # children of one parent, of which the first within the limits is taken


class Evolution:
    """Mutates the best of a few random members of a young population."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._random = RandomStrategy(ground)
        self._population: deque[tuple[Facts, float]] = deque(maxlen=POPULATION)
        self._scored = 0

    def propose(self, number: int, rng: np.random.Generator, seen: Seen, /) -> Rows | None:
        if self._scored < POPULATION:
            return self._random.propose(number, rng, seen)
        ground, rows = self._ground, self._parent(rng).rows
        for _ in range(4):  # further away where all children are known or over a limit
            rows = ground.compiled.mutate(np.repeat(rows[:1], _TRIES, axis=0), rng)
            found = ground.look(rows)
            child = seen.first_new(found.rows[found.is_feasible])
            if child is not None:
                return child
        return self._random.propose(number, rng, seen)

    def learn(self, number: int, row: Rows, scores: Sequence[float] | None, /) -> None:
        if scores is not None:
            self._population.append((self._ground.recall(row[None, :]), scores[-1]))
            self._scored += 1

    def _parent(self, rng: np.random.Generator) -> Facts:
        """The winner of a tournament; with several objectives one of those nobody beats."""
        drawn = rng.choice(len(self._population), size=TOURNAMENT, replace=False)
        members = [self._population[index] for index in drawn]
        costs = np.array([[-facts.factors[0] * score, *facts.costs[0]] for facts, score in members])
        best = np.flatnonzero(non_dominated(costs))
        return members[int(rng.choice(best))][0]
