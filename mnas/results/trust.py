"""How far one ranking agrees with another, and how much a seed moves an accuracy."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import spearmanr

from mnas.results.candidates import Candidate, at_rung, candidates, rungs
from mnas.results.record import Record
from mnas.results.wording import epochs_text

FEWEST_FOR_INTERVAL = 10
_FEWEST_FOR_RHO = 3
_Z95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Spearman's rho of two rankings of the same networks.

    Attributes:
        n: Networks that are in both.
        rho: -1 to 1; None below three networks or where one ranking is all ties.
        low: Lower end of the 95 % interval; None where n is too small to say.
        high: Upper end.
        xs: What was ranked, first.
        ys: What was ranked, second.
    """

    n: int
    rho: float | None
    low: float | None
    high: float | None
    xs: tuple[float, ...]
    ys: tuple[float, ...]


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> RankCorrelation:
    """Spearman's rho with the interval of Bonett and Wright (2000, Psychometrika 65, equation 6).

    Args:
        pairs: Two values of each network.

    Returns:
        The correlation; without an interval below `FEWEST_FOR_INTERVAL` networks.
    """
    xs, ys = tuple(x for x, _ in pairs), tuple(y for _, y in pairs)
    n = len(pairs)
    if n < _FEWEST_FOR_RHO or len(set(xs)) < 2 or len(set(ys)) < 2:
        return RankCorrelation(n=n, rho=None, low=None, high=None, xs=xs, ys=ys)
    rho = float(spearmanr(xs, ys).statistic)
    low = high = None
    if n >= FEWEST_FOR_INTERVAL:
        centre = math.atanh(max(-0.999999, min(0.999999, rho)))
        half = _Z95 * math.sqrt((1 + rho**2 / 2) / (n - 3))
        low, high = math.tanh(centre - half), math.tanh(centre + half)
    return RankCorrelation(n=n, rho=rho, low=low, high=high, xs=xs, ys=ys)


def compare_stages(lower: Sequence[Candidate], higher: Sequence[Candidate]) -> RankCorrelation:
    """How the networks that are in both stages rank in one and in the other."""
    later: Mapping[str, Candidate] = {one.id: one for one in higher}
    return rank_correlation(
        [(one.accuracy, later[one.id].accuracy) for one in lower if one.id in later]
    )


def stage_comparisons(records: Sequence[Record]) -> list[tuple[str, RankCorrelation]]:
    """Each rung against the next, then the highest against the confirmation, with its words.

    Baselines have no proxy score, so they are in neither.
    """
    ladder = rungs(records)
    compared = [
        (
            f"proxy, {epochs_text(low)} against proxy, {epochs_text(high)}",
            compare_stages(at_rung(records, low), at_rung(records, high)),
        )
        for low, high in itertools.pairwise(ladder)
    ]
    final = candidates(record for record in records if record.kind == "confirm")
    if ladder and final:
        words = f"proxy, {epochs_text(ladder[-1])} against confirmation"
        compared.append((words, compare_stages(at_rung(records, ladder[-1]), final)))
    return compared


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedNoise:
    """How much the seed alone moves an accuracy.

    Attributes:
        deviation: Pooled standard deviation over the seeds of each network.
        trainings: How many it is from.
        networks: Of how many networks.
        span: Largest minus smallest mean among them.
    """

    deviation: float
    trainings: int
    networks: int
    span: float


def seed_noise(found: Sequence[Candidate]) -> SeedNoise | None:
    """The noise of repeated trainings, or None where no network was trained twice."""
    repeated = [one for one in found if len(one.accuracies) > 1]
    if not repeated:
        return None
    freedom = sum(len(one.accuracies) - 1 for one in repeated)
    squares = sum(
        statistics.variance(one.accuracies) * (len(one.accuracies) - 1) for one in repeated
    )
    means = [one.accuracy for one in repeated]
    return SeedNoise(
        deviation=math.sqrt(squares / freedom),
        trainings=sum(len(one.accuracies) for one in repeated),
        networks=len(repeated),
        span=max(means) - min(means),
    )
