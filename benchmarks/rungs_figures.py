"""What searches with and without rungs came to: means, paired intervals, ratios of time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rungs_pool import Pool
from rungs_search import FRONT, Question, Trace
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr
from search_figures import interval

Numbers = NDArray[np.float64]
Searches = Mapping[int, Trace]  # by seed
RESAMPLES = 1000
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
        key: np.array([question.curve(trace, seed, GRID) for seed, trace in found.items()])
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
            for count in trainings:
                row["at"][count] = _cell(base, curves[sampler, arm], count, question)
                row["at"][count] |= _work(question, found, count)
            rows.append(row)
    return rows


def _cell(base: Numbers, other: Numbers, count: int, question: Question) -> dict[str, Any]:
    at = GRID.index(count)
    cell: dict[str, Any] = {"mean": round(float(other[:, at].mean()), 4)}
    if other is base:
        return cell
    sign = 1 if question.setting == FRONT else -1  # so that higher is better
    cell["more"] = [round(each, 4) for each in interval(other[:, at] - base[:, at])]
    cell["time"] = [round(each, 3) for each in time_ratio(sign * base, sign * other, count)]
    return cell


def _work(question: Question, searches: Searches, count: int) -> dict[str, float]:
    """How many networks were begun until then, and how many went to the top, on average."""
    if not searches:
        return {}
    limit, top = count * question.whole_s, question.pool.epochs[-1]
    done = [[each for each in trace if each.at_s <= limit] for trace in searches.values()]
    begun = np.mean([len({each.name for each in part}) for part in done])
    whole = np.mean([sum(each.epochs == top for each in part) for part in done])
    return {"begun": round(float(begun), 1), "whole": round(float(whole), 1)}


def time_ratio(base: Numbers, other: Numbers, count: int) -> tuple[float, float, float]:
    """Time in which one kind of search gets where another is after so many trainings' worth.

    Args:
        base: (seeds, `GRID`), higher is better: what it has to reach.
        other: (seeds, `GRID`), of the same seeds.
        count: Of `GRID`.

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
        goal = float(rising[GRID.index(count)])
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
    """What choosing among all networks comes to, each trained once to the highest rung."""
    return float(np.mean([question.judge(question.within, seed) for seed in range(seeds)]))


def agreement(pool: Pool, names: Sequence[str]) -> dict[str, list[float]]:
    """Spearman's rho of what is known early with the other training at the highest rung.

    Returns:
        For each rung and each training-free score: rho, the mean over both ways of choosing
        which training is the other one, and the ends of its 95 % interval (bootstrap over
        networks).
    """
    rng = np.random.default_rng(0)
    n = len(names)
    drawn = [np.arange(n), *(rng.integers(n, size=n) for _ in range(RESAMPLES))]
    last = np.array([[each.accuracies[-1] for each in pool.trainings[name]] for name in names])
    early = {
        f"{epochs} epochs": np.array(
            [[each.accuracies[at] for each in pool.trainings[name]] for name in names]
        )
        for at, epochs in enumerate(pool.epochs)
    }
    for score in pool.untrained[names[0]]:
        values = np.array([pool.untrained[name][score][0] for name in names])
        early[score] = np.stack([values, values], axis=1)
    found = {}
    for what, values in early.items():
        rhos = [
            np.mean([spearmanr(values[rows, k], last[rows, 1 - k]).statistic for k in (0, 1)])
            for rows in drawn
        ]
        low, high = np.percentile(rhos[1:], [2.5, 97.5])
        found[what] = [round(float(each), 3) for each in (rhos[0], low, high)]
    return found


def words(answer: Mapping[str, Any]) -> str:
    """The tables, for a person."""
    lines = [f"{answer['networks']} networks trained twice at {', '.join(answer['commits'])}"]
    for setting in answer["settings"]:
        is_front = setting["setting"] == FRONT
        what = (
            "Front of accuracy and latency: share of the true front's hypervolume, higher is better"
            if is_front
            else f"Budget at the {setting['setting']}th percentile of latency: regret in points"
        )
        lines += ["", f"{what}. {setting['seeds']} seeds"]
        lines.append(
            f"{setting['networks']} networks; all of them trained once come to "
            f"{setting['floor']:.3f}. A whole training takes {setting['whole_s']:.2f} CPU s."
        )
        lines.append("Spearman's rho with the other training at the highest rung:")
        lines += [
            f"  {name:10} {rho:+.2f} [{low:+.2f}, {high:+.2f}]"
            for name, (rho, low, high) in setting["agreement"].items()
        ]
        counts = list(setting["rows"][0]["at"])
        head = f"{'after the time of':30}" + "".join(f"{count:>42}" for count in counts)
        lines += ["", head + "  trainings"]
        for row in setting["rows"]:
            cells = "".join(f"{_cell_words(row['at'][count]):>42}" for count in counts)
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
        ratio, shortest, longest = cell["time"]
        mark = "~" if low <= 0 <= high else ""
        text = f"{mark}{text} [{low:+.2f} {high:+.2f}] {ratio:.2f} [{shortest:.2f} {longest:.2f}]"
    return f"{text} ({cell['begun']:.0f}/{cell['whole']:.0f})" if "begun" in cell else text
