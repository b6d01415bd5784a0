"""What `mnas space show` says of a space."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnas.arch import count

if TYPE_CHECKING:
    from mnas.latency import LatencyTable
    from mnas.space import Option, SearchSpace, Size

SAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSummary:
    """A space in numbers; ranges are those of seeded samples, not of the whole space.

    Attributes:
        choices: Every choice with its options, in file order.
        samples: How many architectures the ranges come from.
        params: Fewest and most parameters among the samples.
        macs: Fewest and most multiply-accumulates among them.
        reachable_blocks: Distinct blocks a latency table of the space must hold.
        latency_ms: Least and most predicted milliseconds among the samples; None without a table.
        fastest_ms: Predicted milliseconds of the fastest architecture of the whole space.
        within_budget: Share of the samples within the budget; None without budget or table.
    """

    name: str
    source: str
    size: "Size"
    choices: "Mapping[str, tuple[Option, ...]]"
    resolutions: tuple[int, ...]
    samples: int
    params: tuple[int, int]
    macs: tuple[int, int]
    reachable_blocks: int
    latency_ms: tuple[float, float] | None
    fastest_ms: float | None
    within_budget: float | None


def summarise(
    space: "SearchSpace", table: "LatencyTable | None", budget_ms: float | None
) -> SpaceSummary:
    """Look at a space: its size, what its networks cost, what a table says of them.

    Args:
        space: Any.
        table: Predicts latencies; None leaves them out.
        budget_ms: To say which share of the samples is within it.
    """
    rng = random.Random(0)
    networks = [space.sample(rng) for _ in range(SAMPLES)]
    counts = [count(arch) for arch in networks]
    latencies = [table.predict(arch).ms for arch in networks] if table is not None else []
    fastest = None
    if table is not None:
        fastest = table.predict(space.cheapest(table.block_ms)).ms
    within = None
    if latencies and budget_ms is not None:
        within = sum(ms <= budget_ms for ms in latencies) / len(latencies)
    return SpaceSummary(
        name=space.name,
        source=space.source,
        size=space.size(),
        choices=space.choices,
        resolutions=space.resolutions,
        samples=len(networks),
        params=(min(each.params for each in counts), max(each.params for each in counts)),
        macs=(min(each.macs for each in counts), max(each.macs for each in counts)),
        reachable_blocks=len(space.reachable_blocks()),
        latency_ms=(min(latencies), max(latencies)) if latencies else None,
        fastest_ms=fastest,
        within_budget=within,
    )
