"""The loop over trials: propose, rule out, train rung by rung, record, tell. It loses no work."""

import itertools
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mnas.arch import Architecture
from mnas.results import RecordStore
from mnas.search.drawing import draw_unseen
from mnas.search.executors import Executor
from mnas.search.filtering import CandidateFilter
from mnas.search.ledger import Candidate, Ledger
from mnas.search.limits import Assessment, BudgetError, Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import Observer, Step
from mnas.search.proposing import Proposal, Proposer
from mnas.search.recording import now
from mnas.search.seeds import derive_seed
from mnas.search.standing import FILTERED_IN_A_ROW, Standing
from mnas.search.stopping import StopRequest
from mnas.search.warm_start import NOTHING_EARLIER, Earlier
from mnas.search.work import Task
from mnas.space import SearchSpace
from mnas.training import Score

logger = logging.getLogger(__name__)


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
        self._proposer = proposer
        self._executor = executor
        self._observer = observer
        self._stop = stop
        self._questions = questions
        self._earlier = earlier
        self._filter = candidate_filter
        self._first = deque(earlier.first)
        self._architectures = space.size().architectures
        self._in_flight: dict[int, tuple[Candidate, str]] = {}
        self._tickets = itertools.count()
        self._standing = Standing(len(plan.epochs))
        self._ledger = Ledger(
            limits=limits,
            objectives=objectives,
            proposer=proposer,
            store=store,
            standing=self._standing,
        )

    def run(self) -> None:
        """Do the trials; on return everything in flight has ended and is recorded.

        Raises:
            EvaluationFailuresError: Too many trainings in a row failed.
            BudgetError: No network within the limits was found at all.
        """
        if self._filter is not None:
            self._filter.recall(self._ledger.store.trials())
        self._drain(self._ledger.recall(self._plan.trials))
        self._ledger.replay()
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

    def _next_candidate(self) -> Candidate | None:
        """The next candidate worth training; None when there is none left, or no time for it."""
        while self._may_start():
            if self._is_used_up():
                return None
            if not self._enqueue():
                return None
            proposal = self._proposer.propose()
            if proposal is None:
                if not self._enqueue_drawn():
                    return None
                continue
            candidate_id = proposal.architecture.id
            assessment = self._limits.assess(proposal.architecture)
            if assessment.is_feasible and candidate_id in self._standing.known:
                self._proposer.tell_nothing(proposal.number)
                continue
            if assessment.is_feasible:
                candidate = self._adopted(Candidate(proposal=proposal, assessment=assessment))
                if candidate is not None and self._filter is not None and candidate.rung == 0:
                    candidate = self._filtered(candidate, self._filter)
                if candidate is not None:
                    return candidate
                continue
            self._standing.note_infeasible(candidate_id, assessment.violations)
            self._rule_out(proposal, assessment)
        return None

    def _filtered(self, candidate: Candidate, by: CandidateFilter) -> Candidate | None:
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
        self._ledger.rule_out(proposal, assessment, reason)
        if (self._standing.infeasible + self._standing.filtered) % 25 == 0:
            self._show()

    def _enqueue(self) -> bool:
        """Say what is proposed next where the sampler is not asked; False if nothing is left."""
        while self._first:
            arch = self._first.popleft()
            if arch.id not in self._standing.known:
                self._proposer.enqueue(arch)
                return True
        return not self._proposer.wants_direct or self._enqueue_drawn()

    def _enqueue_drawn(self) -> bool:
        """Propose a feasible network that is drawn without the sampler; False if none is left."""
        drawn = self._draw()
        if drawn is not None:
            self._proposer.enqueue(drawn)
        return drawn is not None

    def _adopted(self, candidate: Candidate) -> Candidate | None:
        """Take the scores that earlier runs have; gives what is still to be trained, if any is."""
        arch = candidate.proposal.architecture
        while known := self._earlier.find(arch.id, self._plan.epochs[candidate.rung]):
            self._standing.known.add(arch.id)
            if not candidate.is_replayed:
                self._proposer.note_started(candidate.proposal.number)
            climbs = self._ledger.keep(candidate, known.score, now(), origin=known.run)
            if not (climbs and self._may_start()):
                self._ledger.tell(candidate, known.score)
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
            is_feasible=lambda arch: self._excess(arch) <= 0,
            excess=self._excess,
            questions=self._questions,
        )

    def _excess(self, arch: Architecture) -> float:
        """How far a network that is drawn is over the limits; 0 or less within all of them."""
        over = self._limits.assess(arch).violations
        excess = max(over.values(), default=0.0)
        if excess > 0:
            self._standing.note_over(lambda: arch.id, over)
        return excess

    def _start(self, candidate: Candidate) -> None:
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

    def _finish(self, candidate: Candidate, score: Score, started: str) -> None:
        if not self._ledger.keep(candidate, score, started):
            self._ledger.tell(candidate, score)
            return
        following = self._adopted(candidate.after(score))
        if following is not None:
            self._start(following)

    def _drain(self, pending: Sequence[Candidate]) -> None:
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
