"""Record: one evaluation of one architecture, and what it gave."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from mnas.results.errors import InvalidRecordError

if TYPE_CHECKING:
    from mnas.space import Option

Kind = Literal["trial", "baseline", "confirm"]
State = Literal["complete", "infeasible", "failed"]

# How the reason begins where a training-free score ruled a candidate out, and no limit did.
FILTERED = "filtered: "
_LARGEST = 2**63 - 1  # of an SQLite integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One evaluation: a rung of a trial, or one seed of a confirmation.

    Attributes:
        number: Number of the proposal, from 0; the rungs of a trial share it.
        id: `Architecture.id`.
        kind: `trial` is scored by the proxy, `confirm` and `baseline` by the longer recipe that
            decides between the best candidates and the published networks.
        rung: Step of the proxy's ladder, from 0; None outside the ladder.
        epochs: Epochs of training behind `accuracy`; 0 when nothing was trained.
        seed: Seed of the training.
        state: `infeasible` was ruled out before anything was trained: over a budget or a
            constraint, or by a training-free score (`is_filtered`).
        reason: Why it is infeasible or failed; None for a complete one.
        accuracy: On the validation split, higher is better; a fraction for the scores of mnas,
            any finite number for one's own scoring function. None unless complete.
        latency_ms: Predicted latency for each target, in milliseconds.
        measured_ms: Latency of the exported file measured end to end, for each target measured.
        params: Learnable parameters.
        macs: Multiply-accumulates of convolutions and linear layers, batch 1.
        peak_activation_bytes: As `Counts.peak_activation_bytes`.
        seconds: Wall time of the evaluation.
        started: When it began, ISO 8601 in UTC.
        choices: The active choices of the space; empty for a network from outside it.
        memory: JSON that sampler and filter must find again on resume; in no table for people.
        margin_ms: (low, high) of the prediction for each target, where the table knows it.

    Raises:
        InvalidRecordError: State, accuracy and reason contradict each other, a number is not
            finite, or one is out of range.
    """

    number: int
    id: str
    kind: Kind
    rung: int | None
    epochs: int
    seed: int
    state: State
    reason: str | None
    accuracy: float | None
    latency_ms: Mapping[str, float]
    measured_ms: Mapping[str, float]
    params: int
    macs: int
    peak_activation_bytes: int
    seconds: float
    started: str
    choices: "Mapping[str, Option]"
    memory: str | None = None
    margin_ms: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_words(self)
        _check_numbers(self)

    @property
    def is_filtered(self) -> bool:
        """Whether a training-free score kept it from being trained, within every limit."""
        return self.state == "infeasible" and (self.reason or "").startswith(FILTERED)


def _check_words(record: Record) -> None:
    for name, value, allowed in (
        ("kind", record.kind, get_args(Kind)),
        ("state", record.state, get_args(State)),
    ):
        if value not in allowed:
            raise InvalidRecordError(
                f"record.{name} must be one of {', '.join(allowed)}; got {value!r}"
            )
    if (record.state == "complete") != (record.accuracy is not None):
        raise InvalidRecordError(
            "record.accuracy is there exactly when the state is complete; "
            f"got {record.accuracy!r} with state {record.state}"
        )
    if record.state != "complete" and not record.reason:
        raise InvalidRecordError(f"record.reason must say why it is {record.state}; got none")


def _check_numbers(record: Record) -> None:
    for name in ("number", "epochs", "seed", "params", "macs", "peak_activation_bytes"):
        value = getattr(record, name)
        if not 0 <= value <= _LARGEST:
            raise InvalidRecordError(f"record.{name} must be 0 to 2^63 - 1; got {value!r}")
    numbers = {
        "accuracy": record.accuracy or 0.0,
        "seconds": record.seconds,
        **{f"latency_ms.{target}": ms for target, ms in record.latency_ms.items()},
        **{f"measured_ms.{target}": ms for target, ms in record.measured_ms.items()},
    }
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise InvalidRecordError(f"record.{name} must be finite; got {number!r}")
