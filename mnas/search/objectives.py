"""What a search optimises, as numbers for a sampler."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """How an accuracy and the latencies become what a sampler is told.

    Attributes:
        targets: The devices, in the order of the experiment.
        with_latency: Whether each latency is an objective of its own.
        exponent: Of the reward accuracy x (latency / budget) ^ exponent, with the first target;
            None for no reward.
        budget_ms: Of the first target; only for a reward.
    """

    targets: tuple[str, ...]
    with_latency: bool = False
    exponent: float | None = None
    budget_ms: float | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """For each value whether it is to be maximised or minimised."""
        latencies: list[Direction] = ["minimize"] * len(self.targets)
        return ("maximize", *(latencies if self.with_latency else []))

    def values(self, accuracy: float, latency_ms: Mapping[str, float]) -> tuple[float, ...]:
        """What the sampler is told, in the order of `directions`."""
        if self.exponent is not None and self.budget_ms is not None:
            return (accuracy * (latency_ms[self.targets[0]] / self.budget_ms) ** self.exponent,)
        return (accuracy, *(latency_ms[each] for each in self.targets if self.with_latency))

    def costs(self, accuracy: float, latency_ms: Mapping[str, float]) -> tuple[float, ...]:
        """The same with lower is better for all."""
        first, *rest = self.values(accuracy, latency_ms)
        return (-first, *rest)
