"""A second benchmark without data: scores by a formula that has what real accuracies have.

Larger networks are better with diminishing returns; options have their own effect, which hangs on
the depth of their stage and on the option of the layer before; what is left of a network is rough;
scores are noisy. It was written before any sampler was tuned on it.
"""

import functools
import hashlib
import itertools
import random

import numpy as np

from mnas.arch import Architecture, count
from mnas.space import load_space

_CANDIDATES = 4000
_NOISE = 0.15  # points, the standard deviation of a training


class SyntheticScores:
    """Scores in percent over a shipped space of some 10^9 networks."""

    def __init__(self, space: str = "small_28", seed: int = 7) -> None:
        self.space = load_space(space)
        self._seed = seed
        self._true: dict[str, float] = {}

    def candidates(self) -> tuple[Architecture, ...]:
        """Random networks, and the ends of climbs from the best of them by single changes."""
        rng = random.Random(self._seed)
        found = {arch.id: arch for arch in (self.space.sample(rng) for _ in range(_CANDIDATES))}
        for start in sorted(found.values(), key=self._merit, reverse=True)[:40]:
            here = start
            for _ in range(6):
                near = self.space.neighbours(here)
                found |= {arch.id: arch for arch in near}
                best = max(near, key=self._merit)
                if self._merit(best) <= self._merit(here):
                    break
                here = best
        return tuple(found.values())

    def true(self, arch: Architecture) -> float:
        """Without noise."""
        if arch.id not in self._true:
            self._true[arch.id] = self._worth(arch)
        return self._true[arch.id]

    def _worth(self, arch: Architecture) -> float:
        chosen = self.space.encode(arch)
        names = list(chosen)
        own = [self._effect(name, chosen[name]) for name in names]
        pairs = [
            self._effect(f"{first}|{second}", f"{chosen[first]}|{chosen[second]}")
            for first, second in itertools.pairwise(names)
        ]
        depth = len(arch.blocks)
        by_depth = [self._effect(f"{name}@{depth}", chosen[name]) for name in names]
        rough = self._effect("all", arch.id)
        effects = 0.5 * sum(own) + 0.25 * sum(pairs) + 0.15 * sum(by_depth) + 0.2 * rough
        return 92 - 25 * float(np.exp(-0.55 * (np.log(count(arch).macs) - 11))) + 0.5 * effects

    def seen(self, arch: Architecture, seed: int) -> float:
        """With the noise of one training."""
        return self.true(arch) + _NOISE * self._effect(f"noise {seed}", arch.id)

    def judged(self, arch: Architecture, seed: int) -> float:
        """Without noise."""
        return self.true(arch)

    def _merit(self, arch: Architecture) -> float:
        return self.true(arch) - 2.0 * float(np.log(count(arch).macs))

    def _effect(self, name: str, option: object) -> float:
        """A standard normal number that hangs on nothing but its name and the seed."""
        return _normal(f"{self._seed} {name} {option}")


@functools.lru_cache(maxsize=100_000)  # the same few options come again and again
def _normal(name: str) -> float:
    digest = hashlib.sha256(name.encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return float(rng.standard_normal())
