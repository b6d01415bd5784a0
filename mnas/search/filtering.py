"""A first filter: which candidates are worth training, by a score of their untrained weights."""

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from mnas.arch import Architecture, UnknownNameError
from mnas.results import Record
from mnas.results.record import FILTERED
from mnas.search.ladder import WINDOW, is_promoted
from mnas.search.limits import Assessment
from mnas.search.objectives import Objectives
from mnas.search.proposing import Proposal
from mnas.search.seeds import derive_seed
from mnas.search.work import Bench
from mnas.training import FilterRule, Score

# So many candidates are trained whatever they score: a share of fewer says nothing.
FIRST_KEPT = 8
_NOTE = "untrained"  # the key of a score in a record's memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a filter says of a candidate.

    Attributes:
        proposal: The candidate's, with the score in its memory.
        reason: Why it is not worth training; None if it is.
        failure: Why it has no score; None if it has one.
    """

    proposal: Proposal
    reason: str | None = None
    failure: Score | None = None


class CandidateFilter:
    """One more rung below the ladder: the score needs no training, the ranking is the ladder's.

    Its scores stand in the memory of the records, so that a resumed search filters as an
    undisturbed one.

    Args:
        rule: Name of the score, share to keep.
        score: The training-free score of an architecture (in place of an accuracy), or why it has
            none; higher is better.
        objectives: What candidates are ranked by, with the score in place of the accuracy.
    """

    def __init__(
        self, rule: FilterRule, score: Callable[[Architecture], Score], objectives: Objectives
    ) -> None:
        self._rule = rule
        self._score = score
        self._objectives = objectives
        self._costs: deque[tuple[float, ...]] = deque(maxlen=WINDOW)

    def judge(self, proposal: Proposal, assessment: Assessment) -> Judged:
        """Score a candidate and rank it among those before it."""
        score = self._score(proposal.architecture)
        if score.accuracy is None:
            return Judged(proposal=proposal, failure=score)
        latency_ms = {name: each.ms for name, each in assessment.latency.items()}
        self._costs.append(
            self._objectives.untrained_costs(score.accuracy, latency_ms, assessment.counts)
        )
        memory = json.dumps({**json.loads(proposal.memory), _NOTE: score.accuracy})
        return Judged(
            proposal=replace(proposal, memory=memory), reason=self._reason(score.accuracy)
        )

    def recall(self, records: Iterable[Record]) -> None:
        """Take in the scores that earlier sessions recorded."""
        for record in records:
            score = json.loads(record.memory or "{}").get(_NOTE)
            if score is not None and record.rung in (None, 0):  # higher rungs say the same again
                self._costs.append(
                    self._objectives.untrained_costs(score, record.latency_ms, record)
                )

    def _reason(self, score: float) -> str | None:
        costs, rule = self._costs, self._rule
        if len(costs) <= FIRST_KEPT or is_promoted(costs, rule.keep):
            return None
        beside = "" if len(costs[-1]) == 1 else ", the other objectives considered"
        return (
            f"{FILTERED}{rule.score} {score:.6g} is not among the best {100 * rule.keep:g} % of "
            f"{len(costs)} candidates{beside}"
        )


def filter_of(
    rule: FilterRule | None, bench: Bench, objectives: Objectives, *, seed: int
) -> CandidateFilter | None:
    """The filter that an experiment asks for, if it asks for one.

    Its scores are computed here and not by the workers: they take a moment, and their order is
    that of the proposals.

    Args:
        rule: Of the experiment's proxy.
        bench: Whose data and recipe count.
        objectives: What the sampler is told.
        seed: Of the search. All candidates are scored on one minibatch.
    """
    if rule is None:
        return None

    seeded = derive_seed(seed, "filter")
    return CandidateFilter(rule, lambda arch: bench.score_untrained(arch, seeded), objectives)


def refuse_unknown_score(rule: FilterRule | None) -> None:
    """See that the score of a filter is there.

    Raises:
        UnknownNameError: There is none of that name; names the known ones.
        InvalidScoreError: One that a package adds cannot be loaded.
    """
    if rule is None:
        return
    from mnas.training import untrained_scores  # torch, which only this question needs

    if rule.score not in untrained_scores():
        raise UnknownNameError("training-free score", rule.score, untrained_scores())
