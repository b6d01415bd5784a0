"""Trainings by a formula over a large space, whose rungs agree with the truth as much as is asked.

The networks and what they are truly worth are those of `synthetic_scores`. A rung is that and noise
of its own, so that what is seen early is right on average; a real ladder also favours networks that
learn fast.
"""

from collections.abc import Mapping

import numpy as np
from synthetic_scores import SyntheticScores

from mnas.arch import Architecture, count

EPOCHS = (1, 3, 9)
_JUDGING = 0.1  # of the time of an epoch


class SyntheticTrainings:
    """Trainings at rungs that correlate with the truth.

    Args:
        agreements: For each rung, the lowest first, Pearson's correlation with the truth over all
            known networks, above 0 and at most 1.
    """

    epochs = EPOCHS

    def __init__(self, agreements: tuple[float, ...]) -> None:
        self._scores = SyntheticScores()
        self.space = self._scores.space
        self.known = self._scores.candidates()
        self._macs = float(np.mean([count(arch).macs for arch in self.known]))
        spread = float(np.std([self.true(arch) for arch in self.known]))
        noises = [spread * float(np.sqrt(1 / each**2 - 1)) for each in agreements]
        self._noise = dict(zip(EPOCHS, noises, strict=True))

    def seen(self, arch: Architecture, epochs: int, seed: int) -> float:
        """The accuracy that a search with that seed sees at a rung, 0 to 1."""
        drawn = np.random.default_rng([int(arch.id, 16), epochs, seed]).standard_normal()
        return self.true(arch) + self._noise[epochs] * float(drawn)

    def judged(self, arch: Architecture, seed: int) -> float:
        """Without noise, 0 to 1."""
        return self.true(arch)

    def true(self, arch: Architecture) -> float:
        """Without noise, 0 to 1."""
        return self._scores.true(arch) / 100

    def seconds(self, arch: Architecture, epochs: int, before: int, seed: int) -> float:
        """The time of a rung, in that of an epoch of a mean network; proportional to MACs."""
        return (epochs - before + _JUDGING) * count(arch).macs / self._macs

    def untrained(self, arch: Architecture) -> Mapping[str, tuple[float, float]]:
        """No training-free scores."""
        return {}
