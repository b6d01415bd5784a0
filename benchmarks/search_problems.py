"""What the comparison of samplers searches, and how a search is judged.

The accuracies are those of NAS-Bench-Macro (Su et al. 2021, arXiv:2103.11922), three trainings of
each network, or `synthetic_scores`. A search sees one training and is judged on the others.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from synthetic_scores import SyntheticScores

from mnas.arch import Architecture, count
from mnas.latency import LatencyTable
from mnas.space import SearchSpace, load_space

Numbers = NDArray[np.float64]
Trained = list[tuple[Architecture, float]]  # in order, with the score that was seen


class MacroScores:
    """NAS-Bench-Macro: every network of the space with three trainings."""

    space_file = Path(__file__).with_name("nas_bench_macro.yaml")

    def __init__(self, path: Path) -> None:
        self.space = load_space(self.space_file)
        found = json.loads(path.read_text())
        options = {option: str(at) for at, option in enumerate(self.space.choices[_first(self)])}
        self.architectures: dict[str, Architecture] = {}
        self._trainings: dict[str, Numbers] = {}
        for arch in self.space.enumerate():
            if arch.id in self.architectures:
                continue
            key = "".join(options[value] for value in self.space.encode(arch).values())
            self.architectures[arch.id] = arch
            self._trainings[arch.id] = np.array(found[key]["test_acc"][:3])

    def seen(self, arch: Architecture, seed: int) -> float:
        """The accuracy of one training, in percent."""
        return float(self._trainings[arch.id][self._drawn(arch, seed)])

    def judged(self, arch: Architecture, seed: int) -> float:
        """The mean of the other trainings, in percent."""
        return float(np.delete(self._trainings[arch.id], self._drawn(arch, seed)).mean())

    def true(self, arch: Architecture) -> float:
        """The mean of all trainings, in percent."""
        return float(self._trainings[arch.id].mean())

    def _drawn(self, arch: Architecture, seed: int) -> int:
        return int(np.random.default_rng([int(arch.id, 16), seed]).integers(3))


def _first(scores: MacroScores) -> str:
    return next(iter(scores.space.choices))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Scores, latencies and what is reachable.

    Attributes:
        known: Networks among which the best is looked for: all of the space, or many of it.
        latencies: Of `known`, in milliseconds.
        truths: Of `known`, in percent.
    """

    scores: Any
    latency: LatencyTable | Callable[[Architecture], float]
    known: tuple[Architecture, ...]
    latencies: Numbers
    truths: Numbers

    @property
    def space(self) -> SearchSpace:
        space: SearchSpace = self.scores.space
        return space

    def ms(self, arch: Architecture) -> float:
        """Latency in milliseconds."""
        if isinstance(self.latency, LatencyTable):
            return self.latency.predict(arch).ms
        return self.latency(arch)

    def budget(self, percentile: int) -> float:
        """The latency that so many percent of the networks stay under."""
        return float(np.percentile(self.latencies, percentile))


def macs_ms(arch: Architecture) -> float:
    """A stand-in for latency: a tenth of a millisecond for a million multiply-accumulates."""
    return count(arch).macs / 1e7


def problem_of(scores: str, latency: str) -> Problem:
    """What is searched: the file of NAS-Bench-Macro, or `synthetic`."""
    known: tuple[Architecture, ...]
    source: Any
    if scores == "synthetic":
        source = SyntheticScores()
        known = source.candidates()
    else:
        source = MacroScores(Path(scores))
        known = tuple(source.architectures.values())
    timed = functools.cache(macs_ms) if latency == "macs" else LatencyTable.load(latency)
    ms = timed.predict if isinstance(timed, LatencyTable) else timed
    latencies = [each.ms if not isinstance(each, float) else each for each in map(ms, known)]
    return Problem(
        scores=source,
        latency=timed,
        known=known,
        latencies=np.array(latencies),
        truths=np.array([source.true(arch) for arch in known]),
    )


def regret(problem: Problem, trained: Trained, seed: int, *, budget_ms: float) -> float:
    """Regret in points: of the best seen within the budget, against the truly best."""
    inside = [(seen, arch) for arch, seen in trained if problem.ms(arch) <= budget_ms]
    within = problem.truths[problem.latencies <= budget_ms]
    if not inside:
        return float(within.max() - within.min())
    best = max(inside, key=lambda each: each[0])[1]
    return float(within.max() - problem.scores.judged(best, seed))


def share_of_front(problem: Problem, trained: Trained, seed: int) -> float:
    """Hypervolume of the front that was seen, judged, as a share of the true front's."""
    points = [(problem.ms(arch), seen) for arch, seen in trained]
    front = [
        (ms, problem.scores.judged(arch, seed))
        for (arch, _), (ms, seen) in zip(trained, points, strict=True)
        if not any(m <= ms and s >= seen and (m, s) != (ms, seen) for m, s in points)
    ]
    reference = float(problem.latencies.max()), float(np.percentile(problem.truths, 10))
    true = list(zip(problem.latencies, problem.truths, strict=True))
    return hypervolume(front, reference) / hypervolume(true, reference)


def hypervolume(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Area between points (lower latency, higher score) and the reference, which is worse."""
    area, best, last = 0.0, reference[1], None
    for ms, score in sorted(points):
        if last is not None:
            area += (min(ms, reference[0]) - min(last, reference[0])) * (best - reference[1])
        best, last = max(best, score), ms
    if last is not None:
        area += (reference[0] - min(last, reference[0])) * (best - reference[1])
    return area
