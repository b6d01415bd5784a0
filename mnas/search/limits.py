"""What a candidate costs and whether it may be trained: asked before anything is spent on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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
        budgets_ms: Highest predicted latency by the target's name, in milliseconds; for a budget
            with a confidence less than the budget itself, by the table's margin.
        margins: For a budget with a confidence the table's own 90 % margin, as a fraction. What
            the margin of a network has beyond it, since some of its blocks were not measured,
            counts as latency.
        ceilings: Highest `params`, `macs`, `peak_activation_bytes`.
    """

    predictors: Mapping[str, Predictor]
    budgets_ms: Mapping[str, float] = field(default_factory=dict)
    margins: Mapping[str, float] = field(default_factory=dict)
    ceilings: Mapping[str, int] = field(default_factory=dict)

    def assess(self, arch: Architecture) -> Assessment:
        """Predict and count; nothing is trained."""
        latency = {name: each.predict(arch) for name, each in self.predictors.items()}
        counts = count(arch)
        return Assessment(
            latency=latency,
            counts=counts,
            violations=self._violations(
                {name: (each.ms, each.high_ms) for name, each in latency.items()}, counts
            ),
        )

    def violations_of(self, record: Record) -> dict[str, float]:
        """For each limit value / limit - 1, from what a record says."""
        known = {
            name: (ms, record.margin_ms[name][1] if name in record.margin_ms else None)
            for name, ms in record.latency_ms.items()
        }
        return self._violations(known, record)

    def in_words(self, violations: Mapping[str, float]) -> str:
        """What is over its limit, with figure and limit, such as `1.3 ms of latency.phone`."""
        known = {f"latency.{name}": (budget, " ms") for name, budget in self.budgets_ms.items()}
        known |= {name: (ceiling, "") for name, ceiling in self.ceilings.items()}
        words = []
        for name, value in violations.items():
            if value > 0:
                limit, unit = known[name]
                found = f"{limit * (1 + value):.4g}{unit}" if unit else f"{limit * (1 + value):.0f}"
                words.append(f"{found} of {name} ({100 * value:.1f} % over {limit:g}{unit})")
        return ", ".join(words)

    def _violations(
        self, latency: Mapping[str, tuple[float, float | None]], counts: Counts | Record
    ) -> dict[str, float]:
        over = {
            f"latency.{name}": self._cautious_ms(name, *latency[name]) / budget - 1
            for name, budget in self.budgets_ms.items()
        }
        return over | {
            name: getattr(counts, name) / ceiling - 1 for name, ceiling in self.ceilings.items()
        }

    def _cautious_ms(self, name: str, ms: float, high_ms: float | None) -> float:
        if name not in self.margins or high_ms is None:
            return ms
        return ms + max(0.0, high_ms - ms * (1 + self.margins[name]))

    def excess(
        self,
        latency_ms: Mapping[str, NDArray[np.float64]],
        high_ms: Mapping[str, NDArray[np.float64]],
        counts: Any,
    ) -> NDArray[np.float64]:
        """The largest of value / limit - 1 of each of n networks; -1 where nothing is limited.

        Args:
            latency_ms: (n,) for each target.
            high_ms: (n,) upper ends of the margins, for targets that have margins; NaN for none.
            counts: Has (n,) `params`, `macs`, `peak_activation_bytes`.
        """
        excess = np.full(len(counts.params), -1.0)
        for name, budget in self.budgets_ms.items():
            ms = latency_ms[name]
            if name in self.margins and name in high_ms:
                beyond = high_ms[name] - ms * (1 + self.margins[name])
                ms = ms + np.fmax(beyond, 0.0)
            excess = np.maximum(excess, ms / budget - 1)
        for name, ceiling in self.ceilings.items():
            excess = np.maximum(excess, getattr(counts, name) / ceiling - 1)
        return excess
