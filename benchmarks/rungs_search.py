"""Searches whose trainings are looked up: the driver's own loop, on a clock of CPU seconds."""

import functools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from no_op_workers import table_by_macs
from numpy.typing import NDArray
from rungs_pool import Pool
from search_problems import hypervolume

from mnas.arch import Architecture
from mnas.latency import LatencyTable
from mnas.results import RecordStore
from mnas.search.filtering import CandidateFilter
from mnas.search.ground import Ground
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import ignore
from mnas.search.proposing import Proposer
from mnas.search.samplers import sampler_factory
from mnas.search.stopping import StopRequest
from mnas.search.trials import Plan, TrialLoop
from mnas.search.work import Task
from mnas.training import FilterRule, Score

Numbers = NDArray[np.float64]
FRONT = "front"  # in place of a budget: accuracy and latency are both objectives


@dataclass(frozen=True, slots=True)
class Arm:
    """How a search decides what is trained, and how far.

    Attributes:
        ladder: Its rungs, in epochs.
        filter: What turns candidates away before that; None for nothing.
    """

    ladder: tuple[int, ...]
    filter: FilterRule | None = None

    @classmethod
    def read(cls, text: str) -> "Arm":
        """Of a text such as `9`, `3,9` or `3,9+naswot:0.5`."""
        ladder, _, rule = text.partition("+")
        score, _, keep = rule.partition(":")
        return cls(
            tuple(int(each) for each in ladder.split(",")),
            FilterRule(score=score, keep=float(keep or 0.5)) if score else None,
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """A rung that a network finished.

    Attributes:
        at_s: CPU seconds of the search until then.
        name: Id of the network.
    """

    at_s: float
    name: str
    epochs: int


Trace = list[Finished]


@dataclass(slots=True)
class Clock:
    """CPU seconds that a search spent, and its end.

    Attributes:
        limit_s: After that nothing new is started.
    """

    limit_s: float
    now_s: float = 0.0
    stop: StopRequest = field(default_factory=StopRequest)

    def spend(self, seconds: float) -> None:
        self.now_s += seconds
        self.stop.is_requested = self.now_s >= self.limit_s


class Replay:
    """One worker that looks up what training would give, and what it would cost."""

    slots = 1

    def __init__(self, pool: Pool, ladder: Sequence[int], seed: int, clock: Clock) -> None:
        self._pool = pool
        self._before = dict(zip(ladder, (0, *ladder), strict=False))
        self._seed = seed
        self._clock = clock
        self._waiting: deque[tuple[int, Task]] = deque()
        self.trace: Trace = []

    def submit(self, ticket: int, task: Task) -> None:
        self._waiting.append((ticket, task))

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        ticket, task = self._waiting.popleft()
        name, epochs, seed = task.architecture.id, task.epochs, self._seed
        seconds = self._pool.seconds(name, epochs, self._before[epochs], seed)
        self._clock.spend(seconds)
        self.trace.append(Finished(round(self._clock.now_s, 4), name, epochs))
        return [(ticket, _score(self._pool.seen(name, epochs, seed), epochs, seconds))]

    def close(self) -> None:
        self._waiting.clear()


@dataclass(frozen=True)
class Question:
    """What is searched for, and how an answer is judged.

    Attributes:
        setting: The percentile of latency that is the budget, or `FRONT`.
    """

    pool: Pool
    setting: int | str

    @functools.cached_property
    def limits(self) -> Limits:
        """The device, on which a block takes its MACs, and its budget."""
        budgets = {} if self.budget_ms is None else {"cpu": self.budget_ms}
        return Limits(predictors={"cpu": self._table}, budgets_ms=budgets)

    @functools.cached_property
    def budget_ms(self) -> float | None:
        if self.setting == FRONT:
            return None
        return float(np.percentile([*self.latency_ms.values()], int(self.setting)))

    @functools.cached_property
    def latency_ms(self) -> Mapping[str, float]:
        """By id, of every network."""
        return {name: self._table.predict(arch).ms for name, arch in self.pool.networks.items()}

    @functools.cached_property
    def within(self) -> list[str]:
        """The networks within the budget."""
        budget = np.inf if self.budget_ms is None else self.budget_ms
        return [name for name, ms in self.latency_ms.items() if ms <= budget]

    @functools.cached_property
    def whole_s(self) -> float:
        """Mean CPU seconds of training a network within the budget, with no stop on the way."""
        pool, top = self.pool, self.pool.epochs[-1]
        return float(
            np.mean([pool.seconds(name, top, 0, seed) for name in self.within for seed in range(8)])
        )

    @functools.cached_property
    def _table(self) -> LatencyTable:
        return table_by_macs(self.pool.space)

    @functools.cached_property
    def _truths(self) -> list[float]:
        return [self.pool.true(name) for name in self.within]

    @functools.cached_property
    def _reference(self) -> tuple[float, float]:
        """The worst latency, and the 10th percentile of the accuracies."""
        return max(self.latency_ms.values()), float(np.percentile(self._truths, 10))

    @functools.cached_property
    def _true_area(self) -> float:
        points = [*zip(self.latency_ms.values(), self._truths, strict=True)]
        return hypervolume(points, self._reference)

    def search(self, arm: Arm, sampler: str, seed: int, *, limit_s: float) -> Trace:
        """One search, until the space or the time is used up."""
        objectives = Objectives(targets=("cpu",), with_latency=self.budget_ms is None)
        ground = Ground(self.pool.space, self.limits, objectives)
        clock = Clock(limit_s)
        worker = Replay(self.pool, arm.ladder, seed, clock)
        with RecordStore(":memory:") as store:
            TrialLoop(
                Plan(trials=len(self.pool.networks), epochs=arm.ladder, seed=seed),
                space=self.pool.space,
                limits=self.limits,
                objectives=objectives,
                proposer=Proposer(
                    self.pool.space,
                    sampler_factory(sampler, ground),
                    seed=seed,
                    directions=objectives.directions,
                ),
                store=store,
                executor=worker,
                observer=ignore,
                stop=clock.stop,
                candidate_filter=self._filter(arm.filter, objectives, clock),
            ).run()
        return worker.trace

    def _filter(
        self, rule: FilterRule | None, objectives: Objectives, clock: Clock
    ) -> CandidateFilter | None:
        if rule is None:
            return None

        def score(arch: Architecture) -> Score:
            value, seconds = self.pool.untrained[arch.id][rule.score]
            clock.spend(seconds)
            return _score(value, 0, seconds)

        return CandidateFilter(rule, score, objectives)

    def judge(self, names: Sequence[str], seed: int) -> float:
        """What a search has that trained these networks to the highest rung.

        Returns:
            With a budget the regret in points, lower is better: what the network with the
            highest accuracy seen has in its other training, against the truly best one. For a
            front its hypervolume, judged by the other training, as a share of the true front's.
        """
        if self.setting == FRONT:
            return self._share_of_front(names, seed)
        if not names:
            return max(self._truths) - min(self._truths)
        top = self.pool.epochs[-1]
        best = max(names, key=lambda name: self.pool.seen(name, top, seed))
        return max(self._truths) - self.pool.judged(best, seed)

    def _share_of_front(self, names: Sequence[str], seed: int) -> float:
        pool, ms, top = self.pool, self.latency_ms, self.pool.epochs[-1]
        points = [(ms[name], pool.seen(name, top, seed), name) for name in names]
        front = [
            (at, pool.judged(name, seed))
            for at, seen, name in points
            if not any(m <= at and s >= seen and (m, s) != (at, seen) for m, s, _ in points)
        ]
        return hypervolume(front, self._reference) / self._true_area

    def curve(self, trace: Trace, seed: int, trainings: Sequence[int]) -> Numbers:
        """(n,) what `judge` says after the CPU seconds of so many whole trainings."""
        top = [each for each in trace if each.epochs == self.pool.epochs[-1]]
        names = [each.name for each in top]
        ended = np.searchsorted(
            [each.at_s for each in top], np.array(trainings) * self.whole_s, side="right"
        )
        judged = {count: self.judge(names[:count], seed) for count in set(ended.tolist())}
        return np.array([judged[count] for count in ended.tolist()])


def _score(value: float, epochs: int, seconds: float) -> Score:
    return Score(accuracy=value, epochs=epochs, seed=0, seconds=seconds, state="complete")
