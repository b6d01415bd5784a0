"""How the front grew, over trials and over wall time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mnas.results.candidates import rungs
from mnas.results.fronts import hypervolume, non_dominated
from mnas.results.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The hypervolume after each trial that reached the highest rung.

    Attributes:
        target: The device whose latency it is about.
        reference_ms: Latency of the reference point: the budget, or the slowest trial without one.
        reference_accuracy: Accuracy of the reference point: that of the worst trial.
        trials: Architectures whose scoring had ended, at each step.
        hours: Since the first evaluation began, at each step; empty where a time cannot be read.
        volumes: As a fraction of the box between the reference point and the best latency and
            accuracy found; reaches at most 1.
        best: The highest accuracy so far.
    """

    target: str
    reference_ms: float
    reference_accuracy: float
    trials: tuple[int, ...]
    hours: tuple[float, ...]
    volumes: tuple[float, ...]
    best: tuple[float, ...]


def growth(records: Sequence[Record], target: str, budget_ms: float | None) -> Growth | None:
    """Follow the front of one target through the run.

    Args:
        records: Of one run.
        target: Whose latency counts.
        budget_ms: Its budget, in milliseconds.

    Returns:
        The growth; None where fewer than two trials reached the highest rung.
    """
    rows = [row for row in records if row.kind == "trial" and row.state != "infeasible"]
    top = _top_points(rows, target)
    if len(top) < 2:
        return None
    latencies = [latency for latency, _ in top.values()]
    accuracies = [accuracy for _, accuracy in top.values()]
    corner_ms, corner_accuracy = budget_ms or max(latencies), min(accuracies)
    box = (corner_ms - min(latencies)) * (max(accuracies) - corner_accuracy)
    seen: set[str] = set()
    steps: list[tuple[int, float | None, float, float]] = []
    front: list[tuple[float, float]] = []
    best = corner_accuracy
    for index in _in_order_of_ending(rows):
        seen.add(rows[index].id)
        if index not in top:
            continue
        latency, accuracy = top[index]
        best = max(best, accuracy)
        front.append((latency, -accuracy))
        front = [cost for cost, wins in zip(front, non_dominated(front), strict=True) if wins]
        volume = hypervolume(front, (corner_ms, -corner_accuracy))
        steps.append((len(seen), ended(rows[index]), volume / box if box > 0 else 0.0, best))
    starts = [start for row in rows if (start := began(row)) is not None]
    ends = [end for _, end, _, _ in steps if end is not None]
    return Growth(
        target=target,
        reference_ms=corner_ms,
        reference_accuracy=corner_accuracy,
        trials=tuple(trials for trials, *_ in steps),
        hours=tuple((end - min(starts)) / 3600 for end in ends) if len(ends) == len(steps) else (),
        volumes=tuple(volume for _, _, volume, _ in steps),
        best=tuple(best for *_, best in steps),
    )


def _top_points(rows: Sequence[Record], target: str) -> dict[int, tuple[float, float]]:
    """Latency and accuracy of the rows at the highest rung, by their place in `rows`."""
    ladder = rungs(rows)
    return {
        index: (row.latency_ms[target], row.accuracy)
        for index, row in enumerate(rows)
        if ladder and row.epochs == ladder[-1] and row.accuracy is not None
        if target in row.latency_ms
    }


def _in_order_of_ending(rows: Sequence[Record]) -> list[int]:
    ends = [ended(row) for row in rows]
    return sorted(range(len(rows)), key=lambda index: (ends[index] or 0.0, index))


def began(record: Record) -> float | None:
    """When the evaluation began, in seconds since 1970; None where the text is no time."""
    try:
        moment = datetime.fromisoformat(record.started)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def wall_seconds(records: Sequence[Record]) -> float | None:
    """From the first beginning to the last end, pauses between two starts included."""
    starts = [began(row) for row in records]
    ends = [ended(row) for row in records]
    known = [value for value in (*starts, *ends) if value is not None]
    return max(known) - min(known) if known else None


def ended(record: Record) -> float | None:
    """When the evaluation ended, in seconds since 1970; None where its beginning is not known."""
    start = began(record)
    return None if start is None else start + record.seconds
