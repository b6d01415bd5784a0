"""What `mnas space show` says of a space."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnas.arch import block_counts, count

if TYPE_CHECKING:
    from mnas.latency import LatencyTable
    from mnas.space import CompiledSpace, Option, SearchSpace, Size, SkeletonPart

SAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSummary:
    """A space in numbers.

    Attributes:
        published_size: Its size as the paper states it, and why it differs; empty if unknown.
        choices: Every choice with its options, in file order.
        skeleton: Every part of every network option, in the order of execution.
        params: Fewest and most parameters of the whole space, exactly.
        macs: Fewest and most multiply-accumulates of the whole space, exactly.
        peak_activation_bytes: Least and most among random samples.
        reachable_blocks: Distinct blocks a latency table of the space must hold.
        latency_ms: Predicted milliseconds of the fastest and of the slowest architecture of the
            whole space; None without a table.
        samples: How many random architectures `within_budget` and the memory come from.
        within_budget: Share of the samples within the budget; None without budget or table.
    """

    name: str
    source: str
    size: "Size"
    published_size: str
    choices: "Mapping[str, tuple[Option, ...]]"
    resolutions: tuple[int, ...]
    skeleton: "tuple[SkeletonPart, ...]"
    params: tuple[int, int]
    macs: tuple[int, int]
    peak_activation_bytes: tuple[int, int]
    reachable_blocks: int
    latency_ms: tuple[float, float] | None
    samples: int
    within_budget: float | None


def summarise(
    space: "SearchSpace", table: "LatencyTable | None", budget_ms: float | None
) -> SpaceSummary:
    """Look at a space: its size, what its networks cost, what a table says of them.

    Args:
        space: Any.
        table: Predicts latencies; None leaves them out.
        budget_ms: To say which share of the samples is within it.

    Raises:
        TooManyStepsError: The space is too large to find its cheapest and dearest networks.
    """
    compiled = space.compile()
    rng = random.Random(0)
    networks = [space.sample(rng) for _ in range(SAMPLES)]
    peaks = [count(arch).peak_activation_bytes for arch in networks]
    within = None
    if table is not None and budget_ms is not None:
        within = sum(table.predict(arch).ms <= budget_ms for arch in networks) / len(networks)
    return SpaceSummary(
        name=space.name,
        source=space.source,
        size=space.size(),
        published_size=space.published_size,
        choices=space.choices,
        resolutions=space.resolutions,
        skeleton=space.skeleton(),
        params=_range(compiled, 0),
        macs=_range(compiled, 1),
        peak_activation_bytes=(min(peaks), max(peaks)),
        reachable_blocks=len(compiled.blocks),
        latency_ms=_latencies(compiled, table) if table is not None else None,
        samples=len(networks),
        within_budget=within,
    )


def _range(compiled: "CompiledSpace", which: int) -> tuple[int, int]:
    """Least and most of one of `block_counts`, of the networks that have them."""
    rows = compiled.extremes(lambda block: block_counts(block)[which])
    least, most = (count(compiled.decode(row)) for row in rows)
    return (least.params, most.params) if which == 0 else (least.macs, most.macs)


def _latencies(compiled: "CompiledSpace", table: "LatencyTable") -> tuple[float, float]:
    least, most = (compiled.decode(row) for row in compiled.extremes(table.block_ms))
    return table.predict(least).ms, table.predict(most).ms
