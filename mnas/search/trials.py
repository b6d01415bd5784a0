"""The loop over trials: propose, rule out, train rung by rung, record, tell. It loses no work."""

import itertools
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mnas.arch import Architecture, MnasError
from mnas.results import Record, RecordStore
from mnas.search.executors import Executor
from mnas.search.filtering import CandidateFilter
from mnas.search.limits import Assessment, BudgetError, Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import Observer, Step
from mnas.search.proposing import Proposal, Proposer, draw_unseen
from mnas.search.recording import evaluation_record, now, told_of
from mnas.search.seeds import derive_seed
from mnas.search.standing import ADOPTED, FILTERED_IN_A_ROW, Standing, is_adopted
from mnas.search.stopping import StopRequest
from mnas.search.warm_start import NOTHING_EARLIER, Earlier
from mnas.search.work import Task
from mnas.space import SearchSpace
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
        patience: Trials in a row that leave the front as it is, after which nothing new starts;
            None for no such end.
    """

    trials: int
    epochs: tuple[int, ...]
    seed: int
    deadline: float | None = None
    patience: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    proposal: Proposal
    assessment: Assessment
    rung: int = 0
    scores: tuple[float, ...] = ()  # of the rungs that ended
    is_replayed: bool = False  # finished before the sampler is rebuilt, which then hears of it

    def after(self, score: Score) -> "_Candidate":
        """The candidate on the next rung."""
        assert score.accuracy is not None
        return replace(self, rung=self.rung + 1, scores=(*self.scores, score.accuracy))


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
        earlier: What to propose first, and scores that need no training.
        candidate_filter: What turns candidates away before they are trained; None for nothing.
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
        earlier: Earlier = NOTHING_EARLIER,
        candidate_filter: CandidateFilter | None = None,
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
        self._earlier = earlier
        self._filter = candidate_filter
        self._first = deque(earlier.first)
        self._architectures = space.size().architectures
        self._in_flight: dict[int, tuple[_Candidate, str]] = {}
        self._tickets = itertools.count()
        self._standing = Standing(len(plan.epochs))
        self._failures: list[Score] = []

    def run(self) -> None:
        """Do the trials; on return everything in flight has ended and is recorded.

        Raises:
            EvaluationFailuresError: Too many trainings in a row failed.
            BudgetError: No network within the limits was found at all.
        """
        self._drain(self._recall(self._trials()))
        self._proposer.replay(told_of(self._trials(), self._objectives, self._limits))
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
        if self._is_still:
            self._tell_early(f"the front has not moved for {self._plan.patience} trials")
        elif self._standing.is_filtered_out:
            self._tell_early(f"the filter turned {FILTERED_IN_A_ROW} candidates in a row away")
        elif is_exhausted and self._may_start():
            self._tell_exhausted()

    def _trials(self) -> list[Record]:
        return [record for record in self._store.all() if record.kind == "trial"]

    def _tell_exhausted(self) -> None:
        """Say that there was nothing left to start, before as many were started as asked."""
        nearest = self._standing.nearest
        if not self._standing.started and nearest is not None:
            raise BudgetError(
                f"no network of {self._space.name} was found within the limits: the nearest, "
                f"{nearest[1]}, has {self._limits.in_words(nearest[2])}. Raise the limits, or "
                "give the space smaller options."
            )
        self._tell_early(f"no other network of {self._space.name} was found within the limits")

    def _tell_early(self, why: str) -> None:
        text = f"ended early: {why}"
        logger.warning("%s", text)
        started = len(self._standing.started)
        self._observer(Step(phase="search", done=started, total=self._plan.trials, text=text))

    @property
    def _is_still(self) -> bool:
        patience = self._plan.patience
        return patience is not None and self._standing.idle_trials >= patience

    def _may_start(self) -> bool:
        plan = self._plan
        in_time = plan.deadline is None or time.monotonic() < plan.deadline
        is_over = self._stop.is_requested or self._is_still or self._standing.is_filtered_out
        return in_time and not is_over and len(self._standing.started) < plan.trials

    def _has_slot(self) -> bool:
        return len(self._in_flight) < self._executor.slots

    def _next_candidate(self) -> _Candidate | None:
        """The next candidate worth training; None when there is none left, or no time for it."""
        while self._may_start():
            if self._is_used_up():
                return None
            if not self._enqueue():
                return None
            proposal = self._proposer.propose()
            candidate_id = proposal.architecture.id
            assessment = self._limits.assess(proposal.architecture)
            if assessment.is_feasible and candidate_id in self._standing.known:
                self._proposer.tell_nothing(proposal.number)
                continue
            if assessment.is_feasible:
                candidate = self._adopted(_Candidate(proposal=proposal, assessment=assessment))
                if candidate is not None and self._filter is not None and candidate.rung == 0:
                    candidate = self._filtered(candidate, self._filter)
                if candidate is not None:
                    return candidate
                continue
            self._standing.note_infeasible(candidate_id, assessment.violations)
            self._rule_out(proposal, assessment)
        return None

    def _filtered(self, candidate: _Candidate, by: CandidateFilter) -> _Candidate | None:
        """The candidate with its training-free score noted; None if it is not to be trained."""
        started = now()
        judged = by.judge(candidate.proposal, candidate.assessment)
        candidate = replace(candidate, proposal=judged.proposal)
        if judged.failure is not None:
            self._standing.note_started(judged.proposal.architecture.id)
            self._proposer.note_started(judged.proposal.number)
            self._finish(candidate, judged.failure, started)
            return None
        if judged.reason is None:
            return candidate
        self._standing.note_filtered(judged.proposal.architecture.id)
        self._rule_out(judged.proposal, candidate.assessment, judged.reason)
        return None

    def _rule_out(
        self, proposal: Proposal, assessment: Assessment, reason: str | None = None
    ) -> None:
        """Record that a candidate is not trained, before the sampler hears of it."""
        record = evaluation_record(
            proposal.architecture,
            assessment,
            number=proposal.number,
            kind="trial",
            score=None,
            rung=None,
            started=now(),
            choices=proposal.choices,
            memory=proposal.memory,
            reason=reason,
        )
        self._store.add(record, proposal.architecture)
        self._proposer.tell_ruled_out(proposal.number, assessment.violations)
        if (self._standing.infeasible + self._standing.filtered) % 25 == 0:
            self._show()

    def _enqueue(self) -> bool:
        """Say what is proposed next where the sampler is not asked; False if nothing is left."""
        while self._first:
            arch = self._first.popleft()
            if arch.id not in self._standing.known:
                self._proposer.enqueue(arch)
                return True
        if self._proposer.wants_direct:
            drawn = self._draw()
            if drawn is None:
                return False
            self._proposer.enqueue(drawn)
        return True

    def _adopted(self, candidate: _Candidate) -> _Candidate | None:
        """Take the scores that earlier runs have; gives what is still to be trained, if any is."""
        arch = candidate.proposal.architecture
        while known := self._earlier.find(arch.id, self._plan.epochs[candidate.rung]):
            self._standing.known.add(arch.id)
            if not candidate.is_replayed:
                self._proposer.note_started(candidate.proposal.number)
            climbs = self._keep(candidate, known.score, now(), origin=known.run)
            if not (climbs and self._may_start()):
                self._tell(candidate, known.score)
                return None
            candidate = candidate.after(known.score)
        return candidate

    def _is_used_up(self) -> bool:
        return self._architectures is not None and len(self._standing.known) >= self._architectures

    def _draw(self) -> Architecture | None:
        return draw_unseen(
            self._space,
            self._proposer.direct_rng(),
            seen=self._standing.known,
            is_feasible=lambda arch: self._limits.assess(arch).is_feasible,
            excess=lambda arch: max(self._limits.assess(arch).violations.values(), default=0.0),
            questions=self._questions,
        )

    def _start(self, candidate: _Candidate) -> None:
        arch = candidate.proposal.architecture
        self._standing.note_started(arch.id)
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
        if not self._keep(candidate, score, started):
            self._tell(candidate, score)
            return
        following = self._adopted(candidate.after(score))
        if following is not None:
            self._start(following)

    def _keep(
        self, candidate: _Candidate, score: Score, started: str, *, origin: str | None = None
    ) -> bool:
        """Record a score before anybody hears of it; gives whether the candidate climbs."""
        proposal = candidate.proposal
        record = evaluation_record(
            proposal.architecture,
            candidate.assessment,
            number=proposal.number,
            kind="trial",
            score=score,
            rung=candidate.rung,
            started=started,
            choices=proposal.choices,
            memory=proposal.memory,
            reason=None if origin is None else f"{ADOPTED}{origin}",
        )
        self._store.add(record, proposal.architecture)
        if score.accuracy is None:
            self._standing.note_failure()
            self._note_failure(score)
            return False
        self._failures.clear()
        costs = self._objectives.costs(score.accuracy, record.latency_ms, record)
        return self._standing.note_score(candidate.rung, score.accuracy, costs)

    def _tell(self, candidate: _Candidate, score: Score) -> None:
        """Tell the sampler what a trial came to, unless it is still to be rebuilt from records."""
        if candidate.is_replayed:
            return
        proposal, assessment = candidate.proposal, candidate.assessment
        if score.accuracy is None:
            self._proposer.tell_nothing(proposal.number)
            return
        latency = {name: each.ms for name, each in assessment.latency.items()}
        values = self._objectives.values(score.accuracy, latency, assessment.counts)
        scores = (*candidate.scores, score.accuracy)
        self._proposer.tell_result(proposal.number, values, assessment.violations, scores)

    def _note_failure(self, score: Score) -> None:
        self._failures.append(score)
        if len(self._failures) >= FAILURES_IN_A_ROW:
            first = self._failures[0]
            raise EvaluationFailuresError(
                f"{FAILURES_IN_A_ROW} trainings in a row failed, the first one so: {first.reason}\n"
                f"{first.traceback or ''}\nThey are recorded; mend the cause and run the same "
                "command in another folder."
            )

    def _recall(self, records: Sequence[Record]) -> list[_Candidate]:
        """Take in what earlier sessions recorded; gives the candidates that were cut short."""
        last: dict[int, tuple[Record, bool]] = {}
        standing = self._standing
        if self._filter is not None:
            self._filter.recall(records)
        for record in records:
            if record.is_filtered:
                standing.note_filtered(record.id)
                continue
            if record.state == "infeasible":
                standing.note_infeasible(record.id, self._limits.violations_of(record))
                continue
            assert record.rung is not None
            standing.known.add(record.id)
            if not is_adopted(record):
                standing.note_started(record.id)
            if record.accuracy is None:
                standing.note_failure()
                climbs = False
            else:
                costs = self._objectives.costs(record.accuracy, record.latency_ms, record)
                climbs = standing.note_score(record.rung, record.accuracy, costs)
            if is_adopted(record):
                climbs = climbs and len(standing.started) < self._plan.trials
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
        waiting = deque(pending)
        while (waiting and not self._stop.is_requested) or self._in_flight:
            while waiting and self._has_slot() and not self._stop.is_requested:
                candidate = self._adopted(waiting.popleft())
                if candidate is not None:
                    self._start(candidate)
            if self._in_flight:
                self._collect()

    def _show(self) -> None:
        standing = self._standing
        best = "" if standing.best is None else f", best {100 * standing.best:.1f} %"
        over, filtered = standing.infeasible, standing.filtered
        ruled_out = f", {over} ruled out by the table" if over else ""
        ruled_out += f", {filtered} filtered" if filtered else ""
        self._observer(
            Step(
                phase="search",
                done=len(standing.started) - len(self._in_flight),
                total=self._plan.trials,
                text=f"{len(self._in_flight)} in training{ruled_out}{best}",
            )
        )
