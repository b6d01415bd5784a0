"""An evaluation as a record, and what a sampler is told of the records of a trial."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from mnas.arch import Architecture
from mnas.results import Kind, Record
from mnas.search.conversing import Outcome
from mnas.search.limits import Assessment, Limits
from mnas.search.objectives import Objectives
from mnas.search.proposing import Told
from mnas.space import Option
from mnas.training import Score


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
    reason: str | None = None,
) -> Record:
    """One evaluation as a row; without a score it is a proposal that was ruled out.

    The reason is the score's where it has one, else the given one, else the limits'.
    """
    return Record(
        number=number,
        id=arch.id,
        kind=kind,
        rung=rung,
        epochs=0 if score is None else score.epochs,
        seed=0 if score is None else score.seed,
        state="infeasible" if score is None else score.state,
        reason=(reason or assessment.reason) if score is None else (score.reason or reason),
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


def told_of(trials: Iterable[Record], objectives: Objectives, limits: Limits) -> Iterator[Told]:
    """What a sampler was told of each trial.

    Args:
        trials: In the order of their numbers; the rungs of each from the lowest.
        objectives: What it was told.
        limits: What it was told of being over.
    """
    for _, rungs in itertools.groupby(trials, key=lambda record: record.number):
        records = list(rungs)
        last, values = records[-1], None
        if last.accuracy is not None:
            values = objectives.values(last.accuracy, last.latency_ms, last)
        yield Told(
            number=last.number,
            memory=last.memory or "{}",
            outcome=Outcome(
                values=values,
                scores=tuple(each.accuracy for each in records if each.accuracy is not None),
                violations=limits.violations_of(last),
                says_nothing=last.state == "failed",
            ),
        )


def now() -> str:
    """The time as records keep it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
