"""The loop over trials: propose, rule out, train rung by rung, record, tell. It loses no work."""

import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mnas.arch import Architecture, MnasError
from mnas.results import Kind, Record, RecordStore
from mnas.search.executors import Executor
from mnas.search.ladder import is_promoted
from mnas.search.limits import Assessment, BudgetError, Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import Observer, Step
from mnas.search.proposing import Proposal, Proposer, Told, draw_unseen
from mnas.search.seeds import derive_seed
from mnas.search.stopping import StopRequest
from mnas.search.work import Task
from mnas.space import Option, SearchSpace
from mnas.training import Score

logger = logging.getLogger(__name__)
# Failures in a row that end a run: one bad candidate is a result, five are a fault of the set-up.
FAILURES_IN_A_ROW = 5


class EvaluationFailuresError(MnasError):
    """So many trainings failed one after the other that going on would waste the time."""

    exit_code = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a loop over trials is to do.

    Attributes:
        trials: Distinct architectures to start scoring, in all, earlier ones included.
        epochs: The rungs.
        seed: Of the experiment.
        deadline: `time.monotonic()` after which nothing new starts; None for none.
    """

    trials: int
    epochs: tuple[int, ...]
    seed: int
    deadline: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    proposal: Proposal
    assessment: Assessment
    rung: int = 0
    is_replayed: bool = False  # finished before the sampler is rebuilt, which then hears of it


class TrialLoop:
    """Runs trials until enough were started, the time is over, or the space is used up.

    Args:
        plan: How many, how long, which rungs.
        space: Where candidates come from.
        limits: What may be trained.
        objectives: What the sampler is told.
        proposer: The sampler.
        store: Where every evaluation goes before the sampler hears of it.
        executor: Who trains.
        observer: Who is shown the progress.
        stop: Whether to start nothing new.
        questions: How often the limits may be asked to draw one network directly; few where a
            person's own latency function is slow.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        space: SearchSpace,
        limits: Limits,
        objectives: Objectives,
        proposer: Proposer,
        store: RecordStore,
        executor: Executor,
        observer: Observer,
        stop: StopRequest,
        questions: int = 200_000,
    ) -> None:
        self._plan = plan
        self._space = space
        self._limits = limits
        self._objectives = objectives
        self._proposer = proposer
        self._store = store
        self._executor = executor
        self._observer = observer
        self._stop = stop
        self._questions = questions
        self._architectures = space.size().architectures
        self._in_flight: dict[int, tuple[_Candidate, str]] = {}
        self._tickets = itertools.count()
        self._started: set[str] = set()
        self._known: set[str] = set()
        self._rungs: defaultdict[int, list[tuple[float, ...]]] = defaultdict(list)
        self._failures: list[Score] = []
        self._best: float | None = None
        self._infeasible = 0
        self._fastest: tuple[float, str, str] | None = None  # excess, id, words

    def run(self) -> None:
        """Do the trials; on return everything in flight has ended and is recorded.

        Raises:
            EvaluationFailuresError: Too many trainings in a row failed.
            BudgetError: No network within the limits was found at all.
        """
        pending = self._recall()
        self._drain(pending)
        self._proposer.replay(self._told())
        self._show()
        is_exhausted = False
        while True:
            while not is_exhausted and self._may_start() and self._has_slot():
                candidate = self._next_candidate()
                is_exhausted = candidate is None
                if candidate is not None:
                    self._start(candidate)
            if not self._in_flight:
                break
            self._collect()
        if is_exhausted and len(self._started) < self._plan.trials:
            self._tell_exhausted()

    def _tell_exhausted(self) -> None:
        """Say that there was nothing left to start, before as many were started as asked."""
        if not self._started and self._fastest is not None:
            raise BudgetError(
                f"no network of {self._space.name} was found within the limits: the nearest, "
                f"{self._fastest[1]}, is {self._fastest[2]}. Raise the limits, or give the space "
                "smaller options."
            )
        text = f"ended early: no other network of {self._space.name} was found within the limits"
        logger.warning("%s", text)
        started = len(self._started)
        self._observer(Step(phase="search", done=started, total=self._plan.trials, text=text))

    def _may_start(self) -> bool:
        plan = self._plan
        in_time = plan.deadline is None or time.monotonic() < plan.deadline
        return not self._stop.is_requested and in_time and len(self._started) < plan.trials

    def _has_slot(self) -> bool:
        return len(self._in_flight) < self._executor.slots

    def _next_candidate(self) -> _Candidate | None:
        """The next candidate worth training; None when there is none left, or no time for it."""
        while self._may_start():
            if self._is_used_up():
                return None
            if self._proposer.wants_direct:
                drawn = self._draw()
                if drawn is None:
                    return None
                self._proposer.enqueue(drawn)
            proposal = self._proposer.propose()
            candidate_id = proposal.architecture.id
            if candidate_id in self._started:
                self._proposer.tell_nothing(proposal.number)
                continue
            assessment = self._limits.assess(proposal.architecture)
            if assessment.is_feasible:
                return _Candidate(proposal=proposal, assessment=assessment)
            self._note_infeasible(candidate_id, assessment.violations)
            self._store.add(self._record(proposal, assessment), proposal.architecture)
            self._proposer.tell_infeasible(proposal.number, assessment.violations)
            if self._infeasible % 25 == 0:
                self._show()
        return None

    def _note_infeasible(self, candidate_id: str, over: Mapping[str, float]) -> None:
        self._known.add(candidate_id)
        self._infeasible += 1
        excess = max(over.values())
        if self._fastest is None or excess < self._fastest[0]:
            words = ", ".join(f"{100 * v:.1f} % over {k}" for k, v in over.items() if v > 0)
            self._fastest = excess, candidate_id, words

    def _is_used_up(self) -> bool:
        return self._architectures is not None and len(self._known) >= self._architectures

    def _draw(self) -> Architecture | None:
        return draw_unseen(
            self._space,
            self._proposer.direct_rng(),
            seen=self._known,
            is_feasible=lambda arch: self._limits.assess(arch).is_feasible,
            excess=lambda arch: max(self._limits.assess(arch).violations.values(), default=0.0),
            questions=self._questions,
        )

    def _start(self, candidate: _Candidate) -> None:
        arch = candidate.proposal.architecture
        self._started.add(arch.id)
        self._known.add(arch.id)
        if not candidate.is_replayed:
            self._proposer.note_started(candidate.proposal.number)
        ticket = next(self._tickets)
        task = Task(
            architecture=arch,
            stage="proxy",
            epochs=self._plan.epochs[candidate.rung],
            seed=derive_seed(self._plan.seed, arch.id, 0),
        )
        self._in_flight[ticket] = candidate, now()
        self._executor.submit(ticket, task)

    def _collect(self) -> None:
        for ticket, score in self._executor.collect(timeout=0.2):
            candidate, started = self._in_flight.pop(ticket)
            self._finish(candidate, score, started)
            self._show()

    def _finish(self, candidate: _Candidate, score: Score, started: str) -> None:
        proposal, assessment = candidate.proposal, candidate.assessment
        record = self._record(
            proposal, assessment, score=score, rung=candidate.rung, started=started
        )
        self._store.add(record, proposal.architecture)
        if score.accuracy is None:
            self._note_failure(score)
            if not candidate.is_replayed:
                self._proposer.tell_nothing(proposal.number)
            return
        self._failures.clear()
        self._best = max(self._best or 0.0, score.accuracy)
        latency = record.latency_ms
        self._rungs[candidate.rung].append(self._objectives.costs(score.accuracy, latency))
        if self._climbs(candidate.rung):
            self._start(replace(candidate, rung=candidate.rung + 1))
        elif not candidate.is_replayed:
            values = self._objectives.values(score.accuracy, latency)
            self._proposer.tell_result(proposal.number, values, assessment.violations)

    def _climbs(self, rung: int) -> bool:
        return rung + 1 < len(self._plan.epochs) and is_promoted(self._rungs[rung])

    def _note_failure(self, score: Score) -> None:
        self._failures.append(score)
        if len(self._failures) >= FAILURES_IN_A_ROW:
            first = self._failures[0]
            raise EvaluationFailuresError(
                f"{FAILURES_IN_A_ROW} trainings in a row failed, the first one so: {first.reason}\n"
                f"{first.traceback or ''}\nThey are recorded; mend the cause and run the same "
                "command in another folder."
            )

    def _record(
        self,
        proposal: Proposal,
        assessment: Assessment,
        *,
        score: Score | None = None,
        rung: int | None = None,
        started: str | None = None,
    ) -> Record:
        return evaluation_record(
            proposal.architecture,
            assessment,
            number=proposal.number,
            kind="trial",
            score=score,
            rung=rung,
            started=started or now(),
            choices=proposal.choices,
            memory=proposal.memory,
        )

    def _recall(self) -> list[_Candidate]:
        """Take in what earlier sessions recorded; gives the candidates that were cut short."""
        last: dict[int, tuple[Record, bool]] = {}
        for record in self._store.all():
            if record.kind != "trial":
                continue
            self._known.add(record.id)
            if record.state == "infeasible":
                over = self._limits.violations(record.latency_ms, record)
                self._note_infeasible(record.id, over)
                continue
            self._started.add(record.id)
            assert record.rung is not None
            climbs = False
            if record.accuracy is not None:
                self._best = max(self._best or 0.0, record.accuracy)
                costs = self._objectives.costs(record.accuracy, record.latency_ms)
                self._rungs[record.rung].append(costs)
                climbs = self._climbs(record.rung)
            last[record.number] = record, climbs
        return [self._cut_short(record) for record, climbs in last.values() if climbs]

    def _cut_short(self, record: Record) -> _Candidate:
        assert record.rung is not None
        architecture = self._store.architecture(record.id)
        return _Candidate(
            proposal=Proposal(
                number=record.number,
                architecture=architecture,
                choices=record.choices,
                memory=record.memory or "{}",
            ),
            assessment=self._limits.assess(architecture),
            rung=record.rung + 1,
            is_replayed=True,
        )

    def _drain(self, pending: Sequence[_Candidate]) -> None:
        """Finish what was cut short, before the sampler is asked for anything new."""
        waiting = list(pending)
        while (waiting and not self._stop.is_requested) or self._in_flight:
            while waiting and self._has_slot() and not self._stop.is_requested:
                self._start(waiting.pop(0))
            self._collect()

    def _told(self) -> list[Told]:
        last: dict[int, Record] = {}
        for record in self._store.all():
            if record.kind == "trial":
                last[record.number] = record
        return [self._told_of(record) for record in last.values()]

    def _told_of(self, record: Record) -> Told:
        memory = record.memory or "{}"
        values = None
        if record.accuracy is not None:
            values = self._objectives.values(record.accuracy, record.latency_ms)
        return Told(
            number=record.number,
            memory=memory,
            values=values,
            violations=self._limits.violations(record.latency_ms, record),
            failed=record.state == "failed",
        )

    def _show(self) -> None:
        best = "" if self._best is None else f", best {100 * self._best:.1f} %"
        ruled_out = f", {self._infeasible} ruled out by the table" if self._infeasible else ""
        running = f"{len(self._in_flight)} in training"
        self._observer(
            Step(
                phase="search",
                done=len(self._started) - len(self._in_flight),
                total=self._plan.trials,
                text=f"{running}{ruled_out}{best}",
            )
        )


def evaluation_record(
    arch: Architecture,
    assessment: Assessment,
    *,
    number: int,
    kind: Kind,
    score: Score | None,
    rung: int | None,
    started: str,
    choices: Mapping[str, Option] | None = None,
    memory: str | None = None,
    measured_ms: Mapping[str, float] | None = None,
) -> Record:
    """One evaluation as a row; without a score it is a proposal that was over a limit."""
    return Record(
        number=number,
        id=arch.id,
        kind=kind,
        rung=rung,
        epochs=0 if score is None else score.epochs,
        seed=0 if score is None else score.seed,
        state="infeasible" if score is None else score.state,
        reason=assessment.reason if score is None else score.reason,
        accuracy=None if score is None else score.accuracy,
        latency_ms={name: each.ms for name, each in assessment.latency.items()},
        margin_ms={
            name: (each.low_ms, each.high_ms)
            for name, each in assessment.latency.items()
            if each.low_ms is not None and each.high_ms is not None
        },
        measured_ms=dict(measured_ms or {}),
        params=assessment.counts.params,
        macs=assessment.counts.macs,
        peak_activation_bytes=assessment.counts.peak_activation_bytes,
        seconds=0.0 if score is None else score.seconds,
        started=started,
        choices=dict(choices or {}),
        memory=memory,
    )


def now() -> str:
    """The time as records keep it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
