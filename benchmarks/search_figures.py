"""What the comparison of samplers prints: means, paired intervals, and whether the goal is met."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FRONT = "front"  # in place of a budget: both objectives, judged by hypervolume
_RESAMPLES = 2000
# The goal (docs/samplers.md): where the best of Optuna's samplers that are told the latency has a
# regret above HARD after LONG evaluations, greybox has it after SHORT; elsewhere it is ahead.
_OURS, _OPTUNA = "greybox", ("tpe", "nsga2")
_HARD, _LONG, _SHORT, _AHEAD = 0.15, 300, 60, (30, 100)

Curves = Mapping[int, Mapping[int, float]]  # seed -> evaluations -> regret, or share of the front


@dataclass(frozen=True, slots=True)
class Found:
    """What every search came to.

    Attributes:
        curves: By sampler and setting: a percentile of latency as the budget, or `FRONT`.
    """

    curves: Mapping[tuple[str, int | str], Curves]

    @property
    def samplers(self) -> list[str]:
        return list(dict.fromkeys(sampler for sampler, _ in self.curves))

    @property
    def settings(self) -> list[int | str]:
        return list(dict.fromkeys(setting for _, setting in self.curves))

    def values(self, sampler: str, setting: int | str, n: int) -> dict[int, float]:
        """By seed; empty where it was not run."""
        curves = self.curves.get((sampler, setting), {})
        return {seed: curve[n] for seed, curve in curves.items() if n in curve}


def figures(found: Found, first: str) -> dict[str, Any]:
    """Means, paired differences to the first sampler with 95 % intervals, and the goal."""
    rows = []
    for sampler, setting in found.curves:
        counts = sorted({n for curve in found.curves[sampler, setting].values() for n in curve})
        for n in counts:
            values = found.values(sampler, setting, n)
            row: dict[str, Any] = {
                "sampler": sampler,
                "setting": setting,
                "evaluations": n,
                "seeds": len(values),
                "mean": round(float(np.mean([*values.values()])), 4),
            }
            others = found.values(first, setting, n)
            if sampler != first and len(values.keys() & others.keys()) > 1:
                low, high = paired(values, others)
                row["more_than_first"] = [round(low, 4), round(high, 4)]
                row["is_distinguishable"] = not low <= 0 <= high
            rows.append(row)
    return {"first": first, "rows": rows, "goal": goal(found)}


def goal(found: Found) -> list[dict[str, Any]]:
    """For each setting that was searched far enough: what the goal asks, and what came out."""
    lines = []
    for setting in found.settings:
        peers = [name for name in _OPTUNA if found.values(name, setting, _LONG)]
        if not peers:
            continue
        sign = -1 if setting == FRONT else 1  # so that lower is better
        best, reached = _best(found, setting, _LONG, sign)
        if setting != FRONT and reached > _HARD:
            asked = [(_SHORT, best, _LONG)]
        else:
            asked = [(n, _best(found, setting, n, sign)[0], n) for n in _AHEAD]
        for ours_n, peer, peer_n in asked:
            ours = found.values(_OURS, setting, ours_n)
            theirs = found.values(peer, setting, peer_n)
            if len(ours.keys() & theirs.keys()) < 2:
                continue
            low, high = paired(ours, theirs)
            ahead = np.mean([*ours.values()]) * sign <= np.mean([*theirs.values()]) * sign
            lines.append(
                {
                    "setting": setting,
                    "asked": f"{_OURS} at {ours_n} against {peer} at {peer_n}",
                    "ours": round(float(np.mean([*ours.values()])), 4),
                    "theirs": round(float(np.mean([*theirs.values()])), 4),
                    "ours_more": [round(low, 4), round(high, 4)],
                    "is_met": bool(ahead),
                    "is_distinguishable": not low <= 0 <= high,
                }
            )
    return lines


def _best(found: Found, setting: int | str, n: int, sign: int) -> tuple[str, float]:
    means = {
        name: sign * float(np.mean([*values.values()]))
        for name in _OPTUNA
        if (values := found.values(name, setting, n))
    }
    best = min(means, key=lambda name: means[name])
    return best, sign * means[best]


def paired(values: Mapping[int, float], others: Mapping[int, float]) -> tuple[float, float]:
    """95 % interval of how much more the one is than the other, over the seeds of both."""
    seeds = sorted(values.keys() & others.keys())
    return interval(np.array([values[seed] - others[seed] for seed in seeds]))


def interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of paired differences."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(differences, (_RESAMPLES, len(differences))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def words(found: Mapping[str, Any]) -> str:
    """One table for each setting, samplers down, evaluations across; then the goal."""
    lines = [
        f"{found['scores']}, latency {found['latency']}, commits {', '.join(found['commits'])}"
    ]
    rows = found["rows"]
    counts = sorted({row["evaluations"] for row in rows})
    for setting in dict.fromkeys(row["setting"] for row in rows):
        here = [row for row in rows if row["setting"] == setting]
        lines += ["", _title(setting)]
        lines.append("sampler".ljust(16) + "seeds".rjust(5) + _cells(f"{n}" for n in counts))
        for sampler in dict.fromkeys(row["sampler"] for row in here):
            own = {row["evaluations"]: row for row in here if row["sampler"] == sampler}
            seeds = max(row["seeds"] for row in own.values())
            cells = _cells(_cell(own[n], seeds) if n in own else "" for n in counts)
            lines.append(sampler.ljust(16) + f"{seeds:5d}" + cells)
    lines.append(f"\nIn brackets: 95 % interval of how much more than {found['first']} that is, ")
    lines.append("over the seeds that both have; ~ not distinguishable.")
    if found["goal"]:
        lines.append("\ngoal")
    for line in found["goal"]:
        low, high = line["ours_more"]
        verdict = "met" if line["is_met"] else "missed"
        clear = "" if line["is_distinguishable"] else ", not distinguishable"
        lines.append(
            f"{_title(line['setting'])}: {line['asked']}: {line['ours']:.3f} and "
            f"{line['theirs']:.3f} [{low:+.3f} {high:+.3f}]: {verdict}{clear}"
        )
    return "\n".join(lines)


def _title(setting: int | str) -> str:
    if setting == FRONT:
        return "share of the true front's hypervolume"
    return f"regret in points, budget at the {setting}th percentile of latency"


def _cells(texts: Iterable[str]) -> str:
    return "".join(f"{text:>24}" for text in texts)


def _cell(row: Mapping[str, Any], seeds: int) -> str:
    if row["seeds"] < seeds:
        return f"({row['mean']:.3f}, {row['seeds']} seeds)"
    if "more_than_first" not in row:
        return f"{row['mean']:.3f}"
    low, high = row["more_than_first"]
    mark = "" if row["is_distinguishable"] else "~"
    return f"{mark}{row['mean']:.3f} [{low:+.2f} {high:+.2f}]"
