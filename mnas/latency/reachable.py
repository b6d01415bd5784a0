"""Which blocks a table of a space must hold, and what measuring them will take."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mnas.arch import Architecture, MnasError, PlannedBlock, layer_macs, plan
from mnas.latency.target import Target
from mnas.latency.timing import Settings

# For the estimate alone: a mobile block on one desktop core, and making it ready to run.
_MACS_PER_SECOND = {"onnxruntime": 1.5e10, "torch": 4e9}
_CALL_SECONDS = {"onnxruntime": 5e-6, "torch": 8e-5}
_PREPARE_SECONDS = {"onnxruntime": 5e-3, "torch": 2e-3}


class MeasurableSpace(Protocol):
    """What this room asks of a search space."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def reachable_blocks(self) -> Mapping[str, PlannedBlock]: ...

    def sample(self, rng: random.Random) -> Architecture: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPlan:
    """What measuring a table will take.

    Attributes:
        blocks: How many distinct blocks are measured.
        seconds: Estimated duration; an order of magnitude, not a promise.
    """

    blocks: int
    seconds: float


def reachable_blocks(
    space: MeasurableSpace, also: Iterable[Architecture] = ()
) -> dict[str, PlannedBlock]:
    """Every block that an architecture of the space, or one of some others, can hold.

    Args:
        space: A search space.
        also: Networks outside it, such as scaled published ones to compare with.

    Returns:
        Planned blocks by key, the space's first.
    """
    found = dict(space.reachable_blocks())
    for arch in also:
        found.update((block.key, block) for block in plan(arch).blocks if block.key not in found)
    return found


def choose_blocks(blocks: Mapping[str, PlannedBlock], most: int | None) -> dict[str, PlannedBlock]:
    """At most so many blocks, spread evenly over kinds and costs; the others are predicted.

    Raises:
        MnasError: `most` is below 1.
    """
    if most is not None and most < 1:
        raise MnasError(f"at least one block must be measured; got a limit of {most}")
    if most is None or most >= len(blocks):
        return dict(blocks)
    ordered = sorted(blocks.values(), key=lambda block: (block.kind, macs_of(block), block.key))
    step = len(ordered) / most
    chosen = {ordered[int((index + 0.5) * step)].key for index in range(most)}
    return {key: block for key, block in blocks.items() if key in chosen}


def plan_measurement(
    space: MeasurableSpace,
    target: Target,
    also: Sequence[Architecture] = (),
    *,
    most: int | None = None,
    settings: Settings | None = None,
) -> MeasurementPlan:
    """Say how many blocks a table needs and roughly how long measuring them takes.

    Args:
        space: The search space.
        target: What to measure with.
        also: Networks whose blocks belong into the table too.
        most: Largest number of blocks to measure; the others are predicted.
        settings: How blocks are timed.
    """
    settings = settings or Settings()
    blocks = choose_blocks(reachable_blocks(space, also), most)
    macs_per_second = _MACS_PER_SECOND.get(target.runtime, 1e10) * target.threads
    call = _CALL_SECONDS.get(target.runtime, 1e-5)
    seconds = 0.0
    for block in blocks.values():
        once = call + target.batch * macs_of(block) / macs_per_second
        warm = settings.warm_ups * once
        timed = settings.runs * max(once, settings.group_ms / 1e3)
        seconds += warm + timed + _PREPARE_SECONDS.get(target.runtime, 5e-3)
    return MeasurementPlan(blocks=len(blocks), seconds=settings.passes * seconds)


def macs_of(block: PlannedBlock) -> int:
    """Multiply-accumulates of a block for one image."""
    return sum(map(layer_macs, block.layers))
