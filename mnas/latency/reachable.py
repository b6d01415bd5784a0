"""Which blocks a table of a space must hold, and what measuring them will take."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mnas.arch import Architecture, PlannedBlock, layer_macs, plan
from mnas.latency.choosing import choose_blocks, time_shares
from mnas.latency.target import Target
from mnas.latency.timing import Settings

# For the estimate alone: a mobile block on one desktop core, and making it ready to run.
_MACS_PER_SECOND = {"onnxruntime": 1.5e10, "torch": 4e9, "openvino": 1.5e10, "litert": 1e10}
_CALL_SECONDS = {"onnxruntime": 5e-6, "torch": 8e-5, "openvino": 1.5e-5, "litert": 5e-6}
_PREPARE_SECONDS = {"onnxruntime": 5e-3, "torch": 2e-3, "openvino": 2e-2, "litert": 1e-2}


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
        left_out: How many others the space can reach; they will be predicted from the measured.
        predicted_share: About which part of a network's time, in [0, 1], these make up.
        seconds: Estimated duration; an order of magnitude, not a promise.
    """

    blocks: int
    left_out: int
    predicted_share: float
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


def blocks_to_measure(
    space: MeasurableSpace, also: Iterable[Architecture] = (), *, most: int | None = None
) -> tuple[dict[str, PlannedBlock], dict[str, PlannedBlock]]:
    """What of the reachable blocks is measured, and what is left to be predicted.

    Args:
        space: A search space.
        also: Networks outside it.
        most: Largest number of blocks to measure; None for all of them.

    Returns:
        Both by key.

    Raises:
        MnasError: `most` is below 1.
    """
    blocks = reachable_blocks(space, also)
    if most is None:
        return blocks, {}
    chosen = choose_blocks(blocks, most, time_shares(space, blocks))
    return chosen, {key: block for key, block in blocks.items() if key not in chosen}


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
    blocks, left_out = blocks_to_measure(space, also, most=most)
    macs_per_second = _MACS_PER_SECOND.get(target.runtime, 1e10) * target.threads
    call = _CALL_SECONDS.get(target.runtime, 1e-5)
    seconds = 0.0
    for block in blocks.values():
        once = call + target.batch * macs_of(block) / macs_per_second
        warm = settings.warm_ups * once
        timed = settings.runs * max(once, settings.group_ms / 1e3)
        seconds += warm + timed + _PREPARE_SECONDS.get(target.runtime, 5e-3)
    shares = time_shares(space, {**blocks, **left_out}) if left_out else {}
    return MeasurementPlan(
        blocks=len(blocks),
        left_out=len(left_out),
        predicted_share=sum(shares[key] for key in left_out),
        seconds=settings.passes * seconds,
    )


def macs_of(block: PlannedBlock) -> int:
    """Multiply-accumulates of a block for one image."""
    return sum(map(layer_macs, block.layers))
