"""What a candidate costs and whether it may be trained: asked before anything is spent on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mnas.arch import Architecture, Counts, MnasError, count
from mnas.latency import Latency
from mnas.results import Record


class BudgetError(MnasError):
    """No network of the space can meet the budget, or none that was trained did."""

    exit_code = 3


class Predictor(Protocol):
    """Says how fast an architecture is on one device; lower is better."""

    def predict(self, arch: Architecture, /) -> Latency: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What is known of a candidate without training it.

    Attributes:
        latency: Predicted latency for each target.
        counts: Parameters, MACs, memory.
        violations: For each limit value / limit - 1: above 0 is over the limit.
    """

    latency: Mapping[str, Latency]
    counts: Counts
    violations: Mapping[str, float]

    @property
    def is_feasible(self) -> bool:
        return all(value <= 0 for value in self.violations.values())

    @property
    def reason(self) -> str:
        """What is over its limit, in words; empty if nothing is."""
        over = [
            f"{name} {100 * value:+.1f} %" for name, value in self.violations.items() if value > 0
        ]
        return "over the limit: " + ", ".join(over) if over else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The devices and the hard limits of a search.

    Attributes:
        predictors: Latency tables (or one's own functions) by the target's name.
        budgets_ms: Highest latency by the target's name, in milliseconds.
        ceilings: Highest `params`, `macs`, `peak_activation_bytes`.
    """

    predictors: Mapping[str, Predictor]
    budgets_ms: Mapping[str, float] = field(default_factory=dict)
    ceilings: Mapping[str, int] = field(default_factory=dict)

    def assess(self, arch: Architecture) -> Assessment:
        """Predict and count; nothing is trained."""
        latency = {name: each.predict(arch) for name, each in self.predictors.items()}
        counts = count(arch)
        return Assessment(
            latency=latency,
            counts=counts,
            violations=self.violations({name: each.ms for name, each in latency.items()}, counts),
        )

    def violations(
        self, latency_ms: Mapping[str, float], counts: Counts | Record
    ) -> dict[str, float]:
        """For each limit value / limit - 1, from figures that are known already."""
        over = {
            f"latency.{name}": latency_ms[name] / budget - 1
            for name, budget in self.budgets_ms.items()
        }
        return over | {
            name: getattr(counts, name) / ceiling - 1 for name, ceiling in self.ceilings.items()
        }
