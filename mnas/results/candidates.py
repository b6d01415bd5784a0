"""Records to candidates: one value per architecture at the highest stage it can be compared at."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mnas.results.errors import RunError
from mnas.results.fronts import non_dominated
from mnas.results.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An architecture at one stage of the run.

    Attributes:
        record: Its first record at this stage, for the figures that do not depend on the seed.
        accuracies: One for each seed, in the order of the records.
    """

    record: Record
    accuracies: tuple[float, ...]

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def accuracy(self) -> float:
        """Mean over the seeds, on validation; higher is better."""
        return statistics.fmean(self.accuracies)


def candidates(records: Iterable[Record]) -> list[Candidate]:
    """One candidate for each architecture among complete records, in order of appearance."""
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.state == "complete":
            grouped[record.id].append(record)
    return [
        Candidate(
            record=rows[0],
            accuracies=tuple(row.accuracy for row in rows if row.accuracy is not None),
        )
        for rows in grouped.values()
    ]


def rungs(records: Iterable[Record]) -> list[int]:
    """Epochs of the rungs that some trial completed, from the lowest."""
    return sorted(
        {row.epochs for row in records if row.kind == "trial" and row.accuracy is not None}
    )


def at_rung(records: Iterable[Record], epochs: int) -> list[Candidate]:
    """The trials that completed the rung of that many epochs."""
    return candidates(row for row in records if row.kind == "trial" and row.epochs == epochs)


def at_top_rung(records: Sequence[Record]) -> list[Candidate]:
    """The trials that completed the highest rung that any trial completed.

    Accuracies of different rungs are not compared: more epochs alone would win.
    """
    epochs = rungs(records)
    return at_rung(records, epochs[-1]) if epochs else []


def confirmed(records: Sequence[Record], *, seeds: int = 1) -> list[Candidate]:
    """The candidates all of whose confirming trainings have ended, baselines left out.

    Args:
        records: Of one run.
        seeds: Trainings that each confirmed candidate gets; one that failed has ended too.
    """
    ended: dict[str, int] = defaultdict(int)
    rows = [row for row in records if row.kind == "confirm"]
    for row in rows:
        ended[row.id] += 1
    return candidates(row for row in rows if ended[row.id] >= seeds)


def costs_of(
    candidate: Candidate, targets: Sequence[str], objectives: Sequence[str]
) -> tuple[float, ...]:
    """What a front compares, lower is better: minus accuracy, each latency, each count asked for.

    Raises:
        RunError: The candidate has no latency for a target.
    """
    record = candidate.record
    missing = [target for target in targets if target not in record.latency_ms]
    if missing:
        raise RunError(f"the records of {record.id} have no latency for {', '.join(missing)}")
    counts = (name for name in ("params", "macs", "peak_activation_bytes") if name in objectives)
    return (
        -candidate.accuracy,
        *(record.latency_ms[target] for target in targets),
        *(float(getattr(record, name)) for name in counts),
    )


def front_of(
    found: Sequence[Candidate], targets: Sequence[str], objectives: Sequence[str] = ()
) -> list[Candidate]:
    """The candidates that no other beats, from the fastest; the order of `found` does not matter.

    Args:
        found: Candidates of one stage.
        targets: Devices whose latency counts.
        objectives: Counts that are objectives too, such as `params`.
    """
    if not found:
        return []
    costs = [costs_of(candidate, targets, objectives) for candidate in found]
    front = [candidate for candidate, wins in zip(found, non_dominated(costs), strict=True) if wins]
    return sorted(
        front,
        key=lambda candidate: (
            [candidate.record.latency_ms[target] for target in targets],
            -candidate.accuracy,
            candidate.id,
        ),
    )


def as_record(candidate: Candidate) -> Record:
    """The candidate as one record, with the mean accuracy of its seeds."""
    return replace(candidate.record, accuracy=candidate.accuracy)


def best_of(
    stages: Iterable[tuple[str, Sequence[Candidate]]],
    *,
    within: Mapping[str, float],
    dropped: frozenset[str] = frozenset(),
) -> tuple[str, Candidate] | None:
    """The most accurate candidate of the first stage that has one within the limits.

    Args:
        stages: Name and candidates, the most trustworthy stage first.
        within: Milliseconds for each target; a measured latency counts before a predicted one.
        dropped: Ids that measured over the budget.

    Returns:
        The stage's name and the candidate, ties going to the faster one and then to the smaller
        id; None where no stage has a candidate.
    """
    for name, found in stages:
        fitting = [
            candidate
            for candidate in found
            if candidate.id not in dropped
            and all(latency_of(candidate.record, target) <= ms for target, ms in within.items())
        ]
        if fitting:
            return name, min(
                fitting,
                key=lambda one: (-one.accuracy, sum(one.record.latency_ms.values()), one.id),
            )
    return None


def latency_of(record: Record, target: str) -> float:
    """Milliseconds on that target: measured if it was, else predicted; infinite if unknown."""
    return record.measured_ms.get(target, record.latency_ms.get(target, float("inf")))
