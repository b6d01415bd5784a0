"""What a search optimises, as numbers for a sampler."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Direction = Literal["maximize", "minimize"]


class Counted(Protocol):
    """What is counted of an architecture: `Counts`, or a record that holds them."""

    @property
    def params(self) -> int: ...
    @property
    def macs(self) -> int: ...
    @property
    def peak_activation_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """How an accuracy, the latencies and the counts become what a sampler is told.

    Attributes:
        targets: The devices, in the order of the experiment.
        with_latency: Whether each latency is an objective of its own.
        counts: Counts that are objectives: `params`, `macs`, `peak_activation_bytes`.
        exponent: Of the reward accuracy x (latency / budget) ^ exponent, with the first target;
            None for no reward.
        exponent_over: The exponent over the budget; None for the same.
        budget_ms: Of the first target; only for a reward.
    """

    targets: tuple[str, ...]
    with_latency: bool = False
    counts: tuple[str, ...] = ()
    exponent: float | None = None
    exponent_over: float | None = None
    budget_ms: float | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """For each value whether it is to be maximised or minimised: accuracy comes first."""
        latencies = len(self.targets) if self.with_latency else 0
        lower: list[Direction] = ["minimize"] * (latencies + len(self.counts))
        return ("maximize", *lower)

    def values(
        self, accuracy: float, latency_ms: Mapping[str, float], counts: Counted
    ) -> tuple[float, ...]:
        """What the sampler is told, in the order of `directions`."""
        if self.exponent is not None and self.budget_ms is not None:
            return (self._reward(accuracy, latency_ms[self.targets[0]] / self.budget_ms),)
        return (
            accuracy,
            *(latency_ms[each] for each in self.targets if self.with_latency),
            *(float(getattr(counts, each)) for each in self.counts),
        )

    def costs(
        self, accuracy: float, latency_ms: Mapping[str, float], counts: Counted
    ) -> tuple[float, ...]:
        """The same with lower is better for all."""
        first, *rest = self.values(accuracy, latency_ms, counts)
        return (-first, *rest)

    def untrained_costs(
        self, score: float, latency_ms: Mapping[str, float], counts: Counted
    ) -> tuple[float, ...]:
        """The same with a training-free score in place of the accuracy, to rank by.

        The unit of a score is its own, so no reward can be made of it: there, score and latency
        are ranked as two objectives.
        """
        if self.exponent is not None:
            return (-score, latency_ms[self.targets[0]])
        return self.costs(score, latency_ms, counts)

    def _reward(self, accuracy: float, ratio: float) -> float:
        assert self.exponent is not None
        is_over = ratio > 1 and self.exponent_over is not None
        exponent = self.exponent_over if is_over else self.exponent
        assert exponent is not None
        return float(accuracy * ratio**exponent)

    def exact(
        self, latency_ms: Mapping[str, NDArray[np.float64]], counts: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is known of the objectives of n networks before anything is trained.

        Args:
            latency_ms: (n,) for each target.
            counts: Has (n,) `params`, `macs`, `peak_activation_bytes`.

        Returns:
            (n,) what turns an accuracy into the first objective, and (n, m) the others.
        """
        n = len(counts.params)
        if self.exponent is not None and self.budget_ms is not None:
            ratios = latency_ms[self.targets[0]] / self.budget_ms
            return np.array([self._reward(1.0, ratio) for ratio in ratios]), np.empty((n, 0))
        others = [latency_ms[each] for each in self.targets if self.with_latency]
        others += [getattr(counts, each).astype(np.float64) for each in self.counts]
        return np.ones(n), np.stack(others, axis=1) if others else np.empty((n, 0))
