"""What becomes of candidates: recorded first, then noted, then told the sampler; recalled later."""

from dataclasses import dataclass, field, replace

from mnas.arch import MnasError
from mnas.results import Record, RecordStore
from mnas.search.limits import Assessment, Limits
from mnas.search.objectives import Objectives
from mnas.search.proposing import Proposal, Proposer
from mnas.search.recording import evaluation_record, now, told_of
from mnas.search.standing import ADOPTED, Standing, is_adopted
from mnas.training import Score

# Failures in a row that end a run: one bad candidate is a result, five are a fault of the set-up.
FAILURES_IN_A_ROW = 5


class EvaluationFailuresError(MnasError):
    """So many trainings failed one after the other that going on would waste the time."""

    exit_code = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A proposal on its way up the rungs.

    Attributes:
        rung: Which it is on, from 0.
        scores: Accuracies at the rungs it finished, the lowest first.
        is_replayed: It finished a rung before the sampler is rebuilt, which then hears of it.
    """

    proposal: Proposal
    assessment: Assessment
    rung: int = 0
    scores: tuple[float, ...] = ()
    is_replayed: bool = False

    def after(self, score: Score) -> "Candidate":
        """The candidate on the next rung."""
        assert score.accuracy is not None
        return replace(self, rung=self.rung + 1, scores=(*self.scores, score.accuracy))


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The one place where results of trials are written down, in the order that loses none.

    Attributes:
        limits: What may be trained.
        objectives: What the sampler is told.
        proposer: The sampler.
        store: Where every evaluation goes before the sampler hears of it.
        standing: What is known, and who climbs.
    """

    limits: Limits
    objectives: Objectives
    proposer: Proposer
    store: RecordStore
    standing: Standing
    _failures: list[Score] = field(default_factory=list)  # the latest, with no success in between

    def rule_out(
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
        self.store.add(record, proposal.architecture)
        self.proposer.tell_ruled_out(proposal.number, assessment.violations)

    def keep(
        self, candidate: Candidate, score: Score, started: str, *, origin: str | None = None
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
        self.store.add(record, proposal.architecture)
        if score.accuracy is None:
            self.standing.note_failure()
            self._note_failure(score)
            return False
        self._failures.clear()
        costs = self.objectives.costs(score.accuracy, record.latency_ms, record)
        return self.standing.note_score(candidate.rung, score.accuracy, costs)

    def tell(self, candidate: Candidate, score: Score) -> None:
        """Tell the sampler what a trial came to, unless it is still to be rebuilt from records."""
        if candidate.is_replayed:
            return
        proposal, assessment = candidate.proposal, candidate.assessment
        if score.accuracy is None:
            self.proposer.tell_nothing(proposal.number)
            return
        latency = {name: each.ms for name, each in assessment.latency.items()}
        values = self.objectives.values(score.accuracy, latency, assessment.counts)
        scores = (*candidate.scores, score.accuracy)
        self.proposer.tell_result(proposal.number, values, assessment.violations, scores)

    def _note_failure(self, score: Score) -> None:
        self._failures.append(score)
        if len(self._failures) >= FAILURES_IN_A_ROW:
            first = self._failures[0]
            raise EvaluationFailuresError(
                f"{FAILURES_IN_A_ROW} trainings in a row failed, the first one so: {first.reason}\n"
                f"{first.traceback or ''}\nThey are recorded; mend the cause and run the same "
                "command in another folder."
            )

    def recall(self, trials: int) -> list[Candidate]:
        """Take in what earlier sessions recorded.

        Args:
            trials: How many are to be started; what earlier runs scored climbs only below that.

        Returns:
            The candidates that were cut short between two rungs.
        """
        cut_short: dict[int, Record] = {}
        for record in self.store.trials():
            if self._climbs(record, trials):
                cut_short[record.number] = record
            else:
                cut_short.pop(record.number, None)
        return [self._cut_short(record) for record in cut_short.values()]

    def replay(self) -> None:
        """Tell a new sampler of every trial that was recorded, as it heard of them."""
        self.proposer.replay(
            told_of(self.store.trials(by_number=True), self.objectives, self.limits)
        )

    def _climbs(self, record: Record, trials: int) -> bool:
        """Note a record of an earlier session; gives whether its candidate is to climb."""
        standing = self.standing
        if record.is_filtered:
            standing.note_filtered(record.id)
            return False
        if record.state == "infeasible":
            standing.note_infeasible(record.id, self.limits.violations_of(record))
            return False
        assert record.rung is not None
        standing.known.add(record.id)
        if not is_adopted(record):
            standing.note_started(record.id)
        if record.accuracy is None:
            standing.note_failure()
            return False
        costs = self.objectives.costs(record.accuracy, record.latency_ms, record)
        climbs = standing.note_score(record.rung, record.accuracy, costs)
        return climbs and not (is_adopted(record) and len(standing.started) >= trials)

    def _cut_short(self, record: Record) -> Candidate:
        assert record.rung is not None
        architecture = self.store.architecture(record.id)
        return Candidate(
            proposal=Proposal(
                number=record.number,
                architecture=architecture,
                choices=record.choices,
                memory=record.memory or "{}",
            ),
            assessment=self.limits.assess(architecture),
            rung=record.rung + 1,
            is_replayed=True,
        )
