"""What is measured and what comes out, as values: target, latency, verification. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from mnas.arch import MnasError

Verdict = Literal["trusted", "inconclusive", "not trusted"]
STEADY, COLD = "steady", "cold"
REGIMES = (STEADY, COLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a latency belongs to, beside the device itself.

    Attributes:
        name: For people and for column names; not compared between targets.
        runtime: Which runtime executes the network.
        threads: Threads of the runtime.
        dtype: Numbers the network computes with.
        batch: Images at a time.
        regime: `steady`: consecutive runs, with warm caches. `cold`: before each run the caches
            are filled with something else, as on a device that does other work between images.

    Raises:
        MnasError: A number below 1, a regime that is not known, or `cold` with several threads:
            only the calling thread's core would be cold.
    """

    name: str = "local"
    runtime: str = "onnxruntime"
    threads: int = 1
    dtype: str = "fp32"
    batch: int = 1
    regime: str = "steady"

    def __post_init__(self) -> None:
        for name, value in (("threads", self.threads), ("batch", self.batch)):
            if value < 1:
                raise MnasError(f"a target's {name} must be at least 1; got {value}")
        if self.regime not in REGIMES:
            raise MnasError(
                f"unknown regime of a target {self.regime!r}; known: {', '.join(REGIMES)}"
            )
        if self.regime == COLD and self.threads > 1:
            raise MnasError(
                f"the regime cold takes one thread; got {self.threads}: the caches of the other "
                "cores would stay warm"
            )

    def differences(self, other: "Target") -> tuple[str, ...]:
        """Names of the fields, but for `name`, in which two targets differ."""
        return tuple(
            field.name
            for field in fields(self)
            if field.name != "name" and getattr(self, field.name) != getattr(other, field.name)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long one run of a network takes; lower is better.

    Attributes:
        ms: Predicted milliseconds for one batch.
        low_ms: Lower end of a 90 % interval; None where the table is unverified.
        high_ms: Upper end of it.
        predicted_share: Part of `ms`, in [0, 1], that comes from blocks which were not measured
            but predicted from the measured ones.
    """

    ms: float
    low_ms: float | None
    high_ms: float | None
    predicted_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What timing one thing gave.

    Attributes:
        ms: Thread CPU milliseconds with one thread, wall milliseconds with several.
        spread: How far the slowest pass lies above the fastest, relative to `ms`; one pass in
            four (rounded down) is left out.
        wall_ms: Wall milliseconds.
    """

    ms: float
    spread: float
    wall_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Affine correction of the sum of a network's blocks: scale * sum + offset."""

    scale: float
    offset_ms: float

    def apply(self, raw_ms: float) -> float:
        """Correct a sum of blocks; never below a tenth of it, whatever the offset."""
        return max(self.scale * raw_ms + self.offset_ms, raw_ms / 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its 90 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedNetwork:
    """One whole network that was timed to verify a table.

    Attributes:
        id: The architecture's id.
        resolution: Side of its input, in pixels.
        macs: Its multiply-accumulates.
        predicted_ms: The table's sum, before any correction.
        measured_ms: End to end.
        fitted: Whether the correction was fitted on it; errors are reported on the others.
    """

    id: str
    resolution: int
    macs: int
    predicted_ms: float
    measured_ms: float
    fitted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How far a table can be trusted, on networks that its correction was not fitted on.

    Errors are relative to the measured time, as fractions (0.03 is 3 %).

    Attributes:
        mape: Mean absolute relative error after the correction.
        mape_raw: The same before it.
        within_5_percent: Share of networks whose error is at most 5 %.
        within_10_percent: Share of networks whose error is at most 10 %.
        spearman: Rank correlation of predicted and measured time.
        spearman_by_resolution: The same among networks of one resolution, where at least five.
        macs_mape: What multiply-accumulates reach with the same correction: the baseline.
        macs_spearman: Their rank correlation.
        noise_floor: Mean relative difference of a network's two halves of rounds; no error below
            it can be claimed.
        verdict: In one word.
        reason: In a sentence.
        networks: What was timed.
        space: Name and digest of the space that the networks come from; empty if unknown.
        predicted_share: Mean part of the tested networks' sums that the table did not measure.
    """

    mape: Interval
    mape_raw: Interval
    within_5_percent: Interval
    within_10_percent: Interval
    spearman: Interval
    spearman_by_resolution: Mapping[int, Interval]
    macs_mape: Interval
    macs_spearman: Interval
    noise_floor: float
    verdict: Verdict
    reason: str
    networks: tuple[VerifiedNetwork, ...]
    space: Mapping[str, str] = field(default_factory=dict)
    predicted_share: float = 0.0
