"""Which blocks to measure where measuring all of them takes too long."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mnas.arch import Architecture, MnasError, PlannedBlock, plan
from mnas.latency.features import FEATURES, features_of

_SAMPLES = 400
_UNSEEN = 0.5  # occurrences, in all samples together, of a block that none of them has
# For the estimate alone, in multiply-accumulates: an element written, and a call of a layer.
_MACS_OF_ELEMENT, _MACS_OF_LAYER = 8, 10_000


class SampledSpace(Protocol):
    """What this module asks of a search space."""

    def sample(self, rng: random.Random) -> Architecture: ...


def time_shares(space: SampledSpace, blocks: Mapping[str, PlannedBlock]) -> dict[str, float]:
    """The part of a random network's time that each block makes up, by a rough estimate.

    Args:
        space: Gives the networks.
        blocks: All that may be measured, by key.

    Returns:
        Above 0 for each block, 1 in all.
    """
    rng = random.Random(0)
    seen = Counter(block.key for _ in range(_SAMPLES) for block in plan(space.sample(rng)).blocks)
    times = {
        key: (seen[key] or _UNSEEN) * _estimated_time(features_of(block))
        for key, block in blocks.items()
    }
    total = sum(times.values())
    return {key: time / total for key, time in times.items()}


def choose_blocks(
    blocks: Mapping[str, PlannedBlock], most: int, shares: Mapping[str, float]
) -> dict[str, PlannedBlock]:
    """The blocks whose times say most about the networks' times; the others are predicted.

    One after the other, the block that is farthest from those already chosen is taken, where
    distance is that of the logarithms of physical quantities and counts by the block's share of a
    network's time: a weighted k-center (Gonzalez 1985). So what is in every network comes first,
    and what is like nothing measured comes before what is like something.

    Args:
        blocks: All, by key.
        most: How many to choose.
        shares: What each makes up of a network's time.

    Returns:
        So many of them, or all, in the order of `blocks`.

    Raises:
        MnasError: `most` is below 1.
    """
    if most < 1:
        raise MnasError(f"at least one block must be measured; got a limit of {most}")
    if most >= len(blocks):
        return dict(blocks)
    keys = sorted(blocks)
    points = _points([blocks[key] for key in keys])
    weights = np.array([shares[key] for key in keys])
    nearest = np.full(len(keys), np.inf)
    chosen = [int(weights.argmax())]
    while len(chosen) < most:
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        nearest[chosen] = -1.0
        chosen.append(int((weights * nearest).argmax()))
    kept = {keys[index] for index in chosen}
    return {key: block for key, block in blocks.items() if key in kept}


def _points(blocks: list[PlannedBlock]) -> NDArray[np.float64]:
    """(n, d) blocks as points; kinds lie far apart."""
    kinds = sorted({block.kind for block in blocks})
    logs = np.log1p(np.array([features_of(block) for block in blocks]))
    deviation = logs.std(axis=0)
    scaled = (logs - logs.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    is_kind = np.array([[block.kind == kind for kind in kinds] for block in blocks], np.float64)
    return np.column_stack([scaled, 2 * is_kind])


def _estimated_time(features: NDArray[np.float64]) -> float:
    found: dict[str, float] = dict(zip(FEATURES, features.tolist(), strict=True))
    macs = sum(value for name, value in found.items() if name.endswith("_macs"))
    return macs + _MACS_OF_ELEMENT * found["elements_written"] + _MACS_OF_LAYER * found["layers"]
