"""The verdict of a confirmation, read from `verdict.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mnas.results.errors import RunError

_LENIENT = ConfigDict(extra="ignore")  # a later mnas may say more


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Test accuracy of the winner minus that of the baseline, with a 95 % interval; fractions."""

    value: float
    low: float
    high: float

    __pydantic_config__ = _LENIENT

    @property
    def is_distinguishable(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A network that could not win: it measured over the budget, or could not be timed.

    Attributes:
        reason: Why it has no time; None where it has one.
    """

    id: str
    name: str
    measured_ms: float | None = None
    reason: str | None = None

    __pydantic_config__ = _LENIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOn:
    """Where the end-to-end times come from.

    Attributes:
        address: `local`, or how the device was reached; None where an older mnas did not say.
        waits: Why some networks have no time; None where all have.
    """

    address: str | None = None
    device: str | None = None
    runtime_version: str | None = None
    waits: str | None = None

    __pydantic_config__ = _LENIENT

    @property
    def words(self) -> str:
        """Such as ` (A board, reached by ssh:pi)`; empty for the machine of the search."""
        if self.address in (None, "local"):
            return ""
        return f" ({self.device}, reached by {self.address})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A network that was trained for the comparison; test figures only where test was read.

    Attributes:
        kind: `confirm` for one that the search found, `baseline` for a published one.
        val_accuracy: Mean over the seeds, a fraction.
        predicted_ms: By the table, with its 90 % margin `low_ms` to `high_ms`.
        measured_ms: Of the exported file, end to end.
    """

    id: str
    name: str
    kind: str
    val_accuracy: float | None = None
    val_accuracies: tuple[float, ...] = ()
    test_accuracy: float | None = None
    test_low: float | None = None
    test_high: float | None = None
    test_images: int | None = None
    predicted_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    measured_ms: float | None = None
    within_budget: bool | None = None
    params: int | None = None
    macs: int | None = None

    __pydantic_config__ = _LENIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who won, against whom, and by how much.

    Attributes:
        target: The device whose latency was measured.
        noise_floor: Relative repeatability of that measurement.
        timed_on: Where it was measured; None where nothing was.
        gain: None without a baseline.
        reason: Why there is no winner: `over_budget` (measured), `not_timed` (every candidate
            failed on the device) or `failed` (training).
    """

    winner: Confirmed | None = None
    baseline: Confirmed | None = None
    target: str | None = None
    budget_ms: float | None = None
    noise_floor: float | None = None
    timed_on: TimedOn | None = None
    gain: Gain | None = None
    dropped: tuple[Dropped, ...] = ()
    confirmed: tuple[Confirmed, ...] = ()
    reason: str | None = None

    __pydantic_config__ = _LENIENT


def read_verdict(document: Mapping[str, Any] | None) -> Verdict | None:
    """The verdict of a run, or None for a run that has none yet.

    Raises:
        RunError: The document is no verdict; names each place.
    """
    if document is None:
        return None
    try:
        return TypeAdapter(Verdict).validate_python(document)
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise RunError(f"verdict.json is no verdict: {places}") from None
