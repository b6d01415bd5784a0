"""What searches with and without rungs came to: means, paired intervals, ratios of time."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rungs_search import FRONT, Question, Trace
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata
from search_figures import interval

from mnas.arch import count

Numbers = NDArray[np.float64]
Searches = Mapping[int, Trace]  # by seed
RESAMPLES = 1000
_DRAWS = (0, 1, 2, 3)  # seeds, of which each draws the training that is seen
_MOST_RANKED = 500  # networks whose ranks are compared
_MOST_JUDGED = 50_000  # trainings of all known networks, over the seeds
GRID = tuple(range(2, 65))  # whole trainings' worth of CPU seconds at which a search is judged
TOGETHER = "together"  # in place of a sampler: the mean of them all, seed by seed


def figures(
    question: Question,
    searches: Mapping[tuple[str, str], Searches],
    trainings: Sequence[int],
) -> list[dict[str, Any]]:
    """One row for each sampler and arm, with a column for each number of trainings.

    Args:
        question: What was searched.
        searches: By sampler and arm, all with the same seeds. The first arm is what the others
            are compared to.
        trainings: Of `GRID`.
    """
    curves = {
        key: np.array([question.curve(trace, GRID) for trace in found.values()])
        for key, found in searches.items()
    }
    samplers = list(dict.fromkeys(sampler for sampler, _ in curves))
    arms = list(dict.fromkeys(arm for _, arm in curves))
    if len(samplers) > 1:
        for arm in arms:
            both = [curves[sampler, arm] for sampler in samplers]
            curves[TOGETHER, arm] = np.mean(both, axis=0)
        samplers.append(TOGETHER)
    rows = []
    for sampler in samplers:
        base = curves[sampler, arms[0]]
        for arm in arms:
            row: dict[str, Any] = {"sampler": sampler, "arm": arm, "at": {}}
            found = searches.get((sampler, arm), {})
            for after in trainings:
                row["at"][after] = _cell(base, curves[sampler, arm], after, question)
                row["at"][after] |= _work(question, found, after)
            rows.append(row)
    return rows


def _cell(base: Numbers, other: Numbers, after: int, question: Question) -> dict[str, Any]:
    at = GRID.index(after)
    cell: dict[str, Any] = {"mean": round(float(other[:, at].mean()), 4)}
    if other is base:
        return cell
    sign = 1 if question.setting == FRONT else -1  # so that higher is better
    cell["more"] = [round(each, 4) for each in interval(other[:, at] - base[:, at])]
    ratio = time_ratio(sign * base, sign * other, after)
    cell["time"] = [round(each, 3) if math.isfinite(each) else None for each in ratio]
    return cell


def _work(question: Question, searches: Searches, after: int) -> dict[str, float]:
    """How many networks were begun until then, and how many went to the top, on average."""
    if not searches:
        return {}
    limit, top = after * question.whole_s, question.trainings.epochs[-1]
    done = [[each for each in trace if each.at_s <= limit] for trace in searches.values()]
    begun = np.mean([len({each.name for each in part}) for part in done])
    whole = np.mean([sum(each.epochs == top for each in part) for part in done])
    return {"begun": round(float(begun), 1), "whole": round(float(whole), 1)}


def time_ratio(base: Numbers, other: Numbers, after: int) -> tuple[float, float, float]:
    """Time in which one kind of search gets where another is after so many trainings' worth.

    Args:
        base: (seeds, `GRID`), higher is better: what it has to reach.
        other: (seeds, `GRID`), of the same seeds.
        after: Of `GRID`.

    Returns:
        The time it takes over the time that `base` takes, below 1 is faster, with the ends of its
        95 % bootstrap interval over seeds. Means over seeds are smoothed to never fall with time.
        Infinite where it does not get there within `GRID`.
    """
    rng = np.random.default_rng(0)
    seeds = len(base)
    drawn = [np.arange(seeds), *(rng.integers(seeds, size=seeds) for _ in range(RESAMPLES))]
    ratios = []
    for rows in drawn:
        rising = isotonic_regression(base[rows].mean(axis=0)).x
        goal = float(rising[GRID.index(after)])
        theirs = _first(isotonic_regression(other[rows].mean(axis=0)).x, goal)
        ratios.append(theirs / _first(rising, goal))
    low, high = np.percentile(ratios[1:], [2.5, 97.5], method="nearest")
    return float(ratios[0]), float(low), float(high)


def _first(rising: Numbers, goal: float) -> float:
    """When a curve over `GRID` first is at a goal, between two points by a line."""
    reached = np.flatnonzero(rising >= goal - 1e-9)
    if not len(reached):
        return float("inf")
    at = int(reached[0])
    if not at:
        return float(GRID[0])
    share = (goal - rising[at - 1]) / (rising[at] - rising[at - 1])
    return float(GRID[at - 1] + min(1.0, share) * (GRID[at] - GRID[at - 1]))


def floor(question: Question, seeds: int) -> float:
    """What choosing among all known networks comes to, each trained once to the highest rung."""
    top, known = question.trainings.epochs[-1], question.within
    few = range(max(1, min(seeds, _MOST_JUDGED // len(known))))
    whole = [[question.finished(arch, top, seed) for arch in known] for seed in few]
    return float(np.mean([question.judge(each) for each in whole]))


def agreement(question: Question) -> dict[str, dict[str, list[float]]]:
    """What is known early of the networks within the budget, beside what judges them.

    Returns:
        For each rung and each training-free score Spearman's `rho`, and the same given the MACs,
        which cost nothing (`given_macs`; 0 for MACs themselves): the mean over a few draws of
        which training is seen, and its 95 % interval (bootstrap over networks).
    """
    rng, known = np.random.default_rng(0), question.trainings
    some = random.Random(0).sample(question.within, min(_MOST_RANKED, len(question.within)))
    n = len(some)
    drawn = [np.arange(n), *(rng.integers(n, size=n) for _ in range(RESAMPLES))]
    last = np.array([[known.judged(arch, seed) for seed in _DRAWS] for arch in some])
    macs = np.array([float(count(arch).macs) for arch in some])
    early = {
        f"{epochs} epochs": np.array(
            [[known.seen(arch, epochs, s) for s in _DRAWS] for arch in some]
        )
        for epochs in known.epochs
    }
    early["macs"] = np.stack([macs] * len(_DRAWS), axis=1)
    for score in known.untrained(some[0]):
        own = np.array([known.untrained(arch)[score][0] for arch in some])
        early[score] = np.stack([own] * len(_DRAWS), axis=1)
    found = {}
    for what, values in early.items():
        both = np.array([_rhos(values[rows], macs[rows], last[rows]) for rows in drawn])
        low, high = np.percentile(both[1:], [2.5, 97.5], axis=0)
        rho, given = np.stack([both[0], low, high], axis=1).round(3).tolist()
        found[what] = {"rho": rho, "given_macs": given}
    return found


def _rhos(early: Numbers, macs: Numbers, last: Numbers) -> Numbers:
    """(2,) Spearman's rho of the columns of two arrays, and the same given the MACs."""
    found = []
    for ours, theirs in zip(early.T, last.T, strict=True):
        ranks = rankdata([ours, theirs, macs], axis=1)
        corr = np.corrcoef(ranks)
        rho, first, second = corr[0, 1], corr[0, 2], corr[1, 2]
        left = (1 - first**2) * (1 - second**2)
        found.append([rho, (rho - first * second) / left**0.5 if left > 1e-9 else 0.0])
    means: Numbers = np.array(found).mean(axis=0)
    return means


def words(answer: Mapping[str, Any]) -> str:
    """The tables, for a person."""
    lines = [f"{answer['trainings']}"]
    for setting in answer["settings"]:
        is_front = setting["setting"] == FRONT
        what = (
            "Front of accuracy and latency: share of the true front's hypervolume, higher is better"
            if is_front
            else f"Budget at percentile {setting['setting']} of latency: regret in points"
        )
        lines += ["", f"{what}. {setting['seeds']} seeds"]
        lines.append(
            f"{setting['networks']} networks; all of them trained once come to "
            f"{setting['floor']:.3f}. A whole training takes {setting['whole_s']:.2f} CPU s."
        )
        lines.append("Spearman's rho with the other training at the highest rung; given the MACs")
        for name, both in setting["agreement"].items():
            pair = [f"{rho:+.2f} [{low:+.2f}, {high:+.2f}]" for rho, low, high in both.values()]
            lines.append(f"  {name:12}" + "   ".join(pair))
        times = list(setting["rows"][0]["at"])
        head = f"{'after the time of':30}" + "".join(f"{after:>47}" for after in times)
        lines += ["", head + "  trainings"]
        for row in setting["rows"]:
            cells = "".join(f"{_cell_words(row['at'][after]):>47}" for after in times)
            lines.append(f"{row['sampler']:10}{row['arm']:20}{cells}")
    lines += [
        "",
        "Mean [95 % interval of how much more than the first arm, paired by seed; ~ holds 0] "
        "time over the first arm's for",
        "what that has then [95 % interval], inf: not within the time of "
        f"{GRID[-1]} trainings. (networks begun/trained whole)",
    ]
    return "\n".join(lines)


def _cell_words(cell: Mapping[str, Any]) -> str:
    text = f"{cell['mean']:.3f}"
    if "more" in cell:
        low, high = cell["more"]
        ratio, *ends = ("inf" if each is None else f"{each:.2f}" for each in cell["time"])
        mark = "~" if low <= 0 <= high else ""
        text = f"{mark}{text} [{low:+.2f} {high:+.2f}] {ratio} [{' '.join(ends)}]"
    return f"{text} ({cell['begun']:.0f}/{cell['whole']:.0f})" if "begun" in cell else text
