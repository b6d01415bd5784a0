"""What a sampler may know before anything is trained: the exact costs of many networks at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnas.latency import CompiledLatency, LatencyTable
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.space import CompiledSpace, SearchSpace

Rows = NDArray[np.uint8]
Numbers = NDArray[np.float64]
# Rows that one proposal may look at where a latency is no table but a function.
MOST_ASKED = 900
# Answers of such functions that are remembered, the latest ones.
_MOST_REMEMBERED = 200_000
# Tries to walk down to the limits where random networks are all over them.
_MOST_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known exactly of n networks.

    Attributes:
        rows: (n, choices) canonical encodings; see `CompiledSpace`.
        excess: (n,) the largest value / limit - 1: above 0 is over a limit.
        factors: (n,) what turns an accuracy into the first objective; 1 but for a reward.
        costs: (n, m) the other objectives, lower is better.
        sizes: (n, 2) natural logarithms of parameters and MACs.
    """

    rows: Rows
    excess: Numbers
    factors: Numbers
    costs: Numbers
    sizes: Numbers

    @property
    def is_feasible(self) -> NDArray[np.bool_]:
        """(n,) within every limit."""
        return self.excess <= 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Facts":
        return Facts(
            rows=self.rows[chosen],
            excess=self.excess[chosen],
            factors=self.factors[chosen],
            costs=self.costs[chosen],
            sizes=self.sizes[chosen],
        )

    def stacked(self, other: "Facts") -> "Facts":
        """These, then others."""
        return Facts(
            rows=np.concatenate([self.rows, other.rows]),
            excess=np.concatenate([self.excess, other.excess]),
            factors=np.concatenate([self.factors, other.factors]),
            costs=np.concatenate([self.costs, other.costs]),
            sizes=np.concatenate([self.sizes, other.sizes]),
        )

    def joined(self, other: "Facts") -> "Facts":
        """These and others, each encoding once."""
        both = self.stacked(other)
        return both[first_of_each(both.rows)]


class Counted(NamedTuple):
    """Counts of many networks; each `int64` (n,)."""

    params: NDArray[np.int64]
    macs: NDArray[np.int64]
    peak_activation_bytes: NDArray[np.int64]


class Ground:
    """The space of a search with its limits and objectives, as arrays over encodings.

    Args:
        space: Where candidates come from.
        limits: What may be trained.
        objectives: What the sampler is told.
    """

    def __init__(self, space: SearchSpace, limits: Limits, objectives: Objectives) -> None:
        self.space = space
        self._limits = limits
        self._objectives = objectives
        self._allowance = MOST_ASKED
        self._remembered: dict[bytes, tuple[float, ...]] = {}

    @cached_property
    def compiled(self) -> CompiledSpace:
        return self.space.compile()

    @cached_property
    def is_free(self) -> bool:
        """Whether every latency comes from a table, so that looking at a network costs nothing."""
        return len(self._tables) == len(self._limits.predictors)

    def begin_proposal(self) -> None:
        """Give a new proposal its own number of questions."""
        self._allowance = MOST_ASKED

    def look(self, rows: Rows) -> Facts:
        """What is known of some rows; of the first ones only, where functions must be asked.

        How many may be asked for one proposal is counted in rows, also those that were asked
        before: a resumed search, which remembers none, then looks at the same ones.
        """
        if not self.is_free:
            rows = rows[: self._allowance]
            self._allowance -= len(rows)
        return self.recall(rows)

    def recall(self, rows: Rows) -> Facts:
        """What is known of rows that were proposed; asks of functions only what is forgotten."""
        latency_ms = self._latency_ms(rows)
        counted = Counted(
            params=self.compiled.params(rows),
            macs=self.compiled.macs(rows),
            peak_activation_bytes=self.compiled.peak_activation_bytes(rows),
        )
        factors, costs = self._objectives.exact(latency_ms, counted)
        return Facts(
            rows=rows,
            excess=self._limits.excess(latency_ms, self._high_ms(rows), counted),
            factors=factors,
            costs=costs,
            sizes=np.log(np.stack([counted.params, counted.macs], axis=1).astype(np.float64)),
        )

    def feasible(self, wanted: int, rng: np.random.Generator, near: Rows | None = None) -> Facts:
        """Some networks within every limit: random ones, and where those are rare, led there.

        Args:
            wanted: How many to look at first; fewer of them, or none, are within the limits.
            rng: Randomness.
            near: Rows to start from beside random ones, where random ones are over the limits.
        """
        found = self.look(self.compiled.sample(wanted, rng))
        good = found[found.is_feasible]
        if 16 * len(good) >= wanted:
            return good
        lead = found[np.argsort(found.excess, kind="stable")[: max(8, wanted // 16)]]
        if near is not None and len(near):
            lead = lead.joined(self.look(near))
        for _ in range(_MOST_STEPS):
            if 16 * len(good) >= wanted or not len(lead) or not self._may_ask:
                break
            moved = self.look(self.compiled.mutate(lead.rows, rng))
            good = good.joined(moved[moved.is_feasible])
            lead = _nearer(lead[: len(moved)], moved)
        return good

    @property
    def _may_ask(self) -> bool:
        return self.is_free or self._allowance > 0

    @cached_property
    def _tables(self) -> Mapping[str, CompiledLatency]:
        return {
            name: predictor.compile(self.space)
            for name, predictor in self._limits.predictors.items()
            if isinstance(predictor, LatencyTable)
        }

    def _latency_ms(self, rows: Rows) -> dict[str, Numbers]:
        names = [name for name in self._limits.predictors if name not in self._tables]
        asked = np.array([self._ask(row, names) for row in rows]).reshape(len(rows), len(names))
        return {name: table(rows) for name, table in self._tables.items()} | {
            name: asked[:, column] for column, name in enumerate(names)
        }

    def _high_ms(self, rows: Rows) -> dict[str, Numbers]:
        return {
            name: table.high_ms(rows)
            for name, table in self._tables.items()
            if name in self._limits.margins
        }

    def _ask(self, row: Rows, names: Sequence[str]) -> tuple[float, ...]:
        if not names:
            return ()
        key = row.tobytes()
        if key not in self._remembered:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            arch = self.compiled.decode(row)
            self._remembered[key] = tuple(
                self._limits.predictors[name].predict(arch).ms for name in names
            )
        return self._remembered[key]


def first_of_each(rows: Rows) -> NDArray[np.intp]:
    """Indices of rows, each encoding once, in the order of rows."""
    first: dict[bytes, int] = {}
    for index, row in enumerate(rows):
        first.setdefault(row.tobytes(), index)
    return np.array(list(first.values()), np.intp)


def _nearer(before: Facts, after: Facts) -> Facts:
    """For each pair of networks the one that is less over the limits; the later one of equals."""
    both = before.stacked(after)
    index = np.arange(len(before))
    return both[np.where(after.excess <= before.excess, index + len(before), index)]
