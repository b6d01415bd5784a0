"""Searches whose trainings are looked up: the driver's own loop, on a clock of CPU seconds."""

import functools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from no_op_workers import table_by_macs
from numpy.typing import NDArray
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
from mnas.space import SearchSpace
from mnas.training import FilterRule, Score

Numbers = NDArray[np.float64]
_MOST_TRIALS = 100_000  # no end: the time is one
FRONT = "front"  # in place of a budget: accuracy and latency are both objectives
WITH_LATENCY = "+latency"  # after a budget: latency is an objective too


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


class Trainings(Protocol):
    """What trainings give and cost; accuracies are 0 to 1."""

    @property
    def space(self) -> SearchSpace: ...
    @property
    def epochs(self) -> tuple[int, ...]:
        """The rungs, the lowest first."""
        ...

    @property
    def known(self) -> tuple[Architecture, ...]:
        """Networks among which the best is looked for: all of the space, or many of it."""
        ...

    def seen(self, arch: Architecture, epochs: int, seed: int, /) -> float: ...
    def judged(self, arch: Architecture, seed: int, /) -> float: ...
    def true(self, arch: Architecture, /) -> float: ...
    def seconds(self, arch: Architecture, epochs: int, before: int, seed: int, /) -> float: ...
    def untrained(self, arch: Architecture, /) -> Mapping[str, tuple[float, float]]: ...


class Finished(NamedTuple):
    """A rung that a network finished.

    Attributes:
        at_s: CPU seconds of the search until then.
        name: Id of the network.
        seen: Accuracy at the rung, 0 to 1.
        judged: Accuracy by which the network is judged, 0 to 1.
        ms: Latency in milliseconds.
    """

    at_s: float
    name: str
    epochs: int
    seen: float
    judged: float
    ms: float


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

    def __init__(
        self, question: "Question", ladder: Sequence[int], seed: int, clock: Clock
    ) -> None:
        self._question = question
        self._before = dict(zip(ladder, (0, *ladder), strict=False))
        self._seed = seed
        self._clock = clock
        self._waiting: deque[tuple[int, Task]] = deque()
        self.trace: Trace = []

    def submit(self, ticket: int, task: Task) -> None:
        self._waiting.append((ticket, task))

    def collect(self, timeout: float) -> list[tuple[int, Score]]:
        ticket, task = self._waiting.popleft()
        arch, epochs, seed = task.architecture, task.epochs, self._seed
        trainings = self._question.trainings
        seconds = trainings.seconds(arch, epochs, self._before[epochs], seed)
        self._clock.spend(seconds)
        self.trace.append(self._question.finished(arch, epochs, seed, self._clock.now_s))
        return [(ticket, _score(trainings.seen(arch, epochs, seed), epochs, seconds))]

    def close(self) -> None:
        self._waiting.clear()


@dataclass(frozen=True)
class Question:
    """What is searched for, and how an answer is judged.

    Attributes:
        trainings: What is looked up.
        setting: The percentile of latency that is the budget, such as `50`, or `50+latency` where
            latency is an objective within it; or `FRONT`.
    """

    trainings: Trainings
    setting: str

    @functools.cached_property
    def limits(self) -> Limits:
        """The device, on which a block takes its MACs, and its budget."""
        budgets = {} if self.budget_ms is None else {"cpu": self.budget_ms}
        return Limits(predictors={"cpu": self._table}, budgets_ms=budgets)

    @functools.cached_property
    def budget_ms(self) -> float | None:
        """Highest latency in milliseconds; None without a budget."""
        if self.setting == FRONT:
            return None
        percentile = float(self.setting.removesuffix(WITH_LATENCY))
        return float(np.percentile(self._latencies, percentile))

    @functools.cached_property
    def within(self) -> list[Architecture]:
        """The known networks within the budget."""
        budget = np.inf if self.budget_ms is None else self.budget_ms
        each = zip(self.trainings.known, self._latencies, strict=True)
        return [arch for arch, ms in each if ms <= budget]

    @functools.cached_property
    def whole_s(self) -> float:
        """Mean CPU seconds of training a network within the budget, with no stop on the way."""
        trainings = self.trainings
        return float(
            np.mean(
                [
                    trainings.seconds(arch, trainings.epochs[-1], 0, seed)
                    for arch in self.within
                    for seed in range(8)
                ]
            )
        )

    @functools.cached_property
    def _table(self) -> LatencyTable:
        return table_by_macs(self.trainings.space)

    @functools.cached_property
    def _latencies(self) -> list[float]:
        return [self._table.predict(arch).ms for arch in self.trainings.known]

    @functools.cached_property
    def _truths(self) -> list[float]:
        """Of the networks within the budget."""
        return [self.trainings.true(arch) for arch in self.within]

    @functools.cached_property
    def _reference(self) -> tuple[float, float]:
        """The worst latency and the worst accuracy, so that every network counts."""
        return max(self._latencies), min(self._truths)

    @functools.cached_property
    def _true_area(self) -> float:
        return hypervolume([*zip(self._latencies, self._truths, strict=True)], self._reference)

    def search(self, arm: Arm, sampler: str, seed: int, *, limit_s: float) -> Trace:
        """One search, until the space or the time is used up."""
        space = self.trainings.space
        is_front = self.setting == FRONT or self.setting.endswith(WITH_LATENCY)
        objectives = Objectives(targets=("cpu",), with_latency=is_front)
        make_sampler = sampler_factory(sampler, Ground(space, self.limits, objectives))
        clock = Clock(limit_s)
        worker = Replay(self, arm.ladder, seed, clock)
        with RecordStore(":memory:") as store:
            TrialLoop(
                Plan(trials=_MOST_TRIALS, epochs=arm.ladder, seed=seed),
                space=space,
                limits=self.limits,
                objectives=objectives,
                proposer=Proposer(space, make_sampler, seed=seed, directions=objectives.directions),
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
            value, seconds = self.trainings.untrained(arch)[rule.score]
            clock.spend(seconds)
            return _score(value, 0, seconds)

        return CandidateFilter(rule, score, objectives)

    def finished(self, arch: Architecture, epochs: int, seed: int, at_s: float = 0.0) -> Finished:
        """What is to be known of a rung that a network finished."""
        seen, judged = self.trainings.seen(arch, epochs, seed), self.trainings.judged(arch, seed)
        ms = self._table.predict(arch).ms
        return Finished(round(at_s, 4), arch.id, epochs, round(seen, 6), round(judged, 6), ms)

    def judge(self, whole: Sequence[Finished]) -> float:
        """What a search has that trained these networks to the highest rung.

        Returns:
            With a budget the regret in points, lower is better: how far the network with the
            highest accuracy seen is, by the accuracy that judges, from the truly best one. For a
            front its hypervolume, by the accuracies that judge, as a share of the true front's.
        """
        if self.setting == FRONT:
            return self._share_of_front(whole)
        if not whole:
            return 100 * (max(self._truths) - min(self._truths))
        best = max(whole, key=lambda each: each.seen)
        return 100 * (max(self._truths) - best.judged)

    def _share_of_front(self, whole: Sequence[Finished]) -> float:
        front: list[Finished] = []
        for each in sorted(whole, key=lambda each: (each.ms, -each.seen)):
            if not front or each.seen > front[-1].seen:
                front.append(each)
        points = [(each.ms, each.judged) for each in front]
        return hypervolume(points, self._reference) / self._true_area

    def curve(self, trace: Trace, trainings: Sequence[int]) -> Numbers:
        """(n,) what `judge` says after the CPU seconds of so many whole trainings."""
        whole = [each for each in trace if each.epochs == self.trainings.epochs[-1]]
        ended = np.searchsorted(
            [each.at_s for each in whole], np.array(trainings) * self.whole_s, side="right"
        )
        judged = {count: self.judge(whole[:count]) for count in set(ended.tolist())}
        return np.array([judged[count] for count in ended.tolist()])


def _score(value: float, epochs: int, seconds: float) -> Score:
    return Score(accuracy=value, epochs=epochs, seed=0, seconds=seconds, state="complete")
