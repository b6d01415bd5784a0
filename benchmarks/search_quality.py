"""Compare samplers on networks whose accuracies are all known: regret, hypervolume, intervals.

The accuracies are those of NAS-Bench-Macro (Su et al. 2021, arXiv:2103.11922): the file
nas-bench-macro_cifar10.json of github.com/xiusu/NAS-Bench-Macro, three trainings of each network.
A sampler sees one of the three, drawn for each network and seed. What it chooses, the network
with the highest score it saw, is judged on the mean of the other two. Every sampler of mnas is
told latency and limits in the same way, by `mnas.optimize`; `plain-tpe` and `plain-nsga2` are
Optuna alone: no table, so that a network over the budget, or one seen before, costs a training.

Example: python benchmarks/search_quality.py nas-bench-macro_cifar10.json --seeds 50 --json
         python benchmarks/search_quality.py synthetic --samplers greybox,tpe --seeds 20
"""

import argparse
import functools
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from synthetic_scores import SyntheticScores

import mnas
from mnas.arch import Architecture, count
from mnas.latency import LatencyTable
from mnas.space import SearchSpace, load_space

Numbers = NDArray[np.float64]
EVALUATIONS = (30, 60, 100, 300)
PERCENTILES = (20, 35, 50, 75)
SAMPLERS = ("greybox", "tpe", "nsga2", "evolution", "random", "plain-tpe", "plain-nsga2")
FRONT = "front"  # in place of a budget: both objectives
_RESAMPLES = 2000
_shared: dict[str, Any] = {}  # what forked processes find as it was before the fork


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


def main() -> None:
    """Search with every sampler and seed, judge, print."""
    arguments = _arguments()
    problem = problem_of(arguments.scores, arguments.latency)
    settings: list[int | str] = [*arguments.percentiles, *([FRONT] if arguments.front else [])]
    jobs = [
        (sampler, setting, seed)
        for seed in range(arguments.seeds)
        for setting in settings
        for sampler in arguments.samplers
        if not (setting == FRONT and sampler.startswith("plain"))
    ]
    started = time.monotonic()
    _shared["problem"] = problem
    run = functools.partial(one_search, arguments.evaluations, arguments.most)
    found: dict[tuple[str, int | str], list[Any]] = {}
    context = multiprocessing.get_context("fork")
    with context.Pool(arguments.processes) as pool:
        for done, (job, curve) in enumerate(pool.imap(run, jobs), 1):
            found.setdefault(job[:2], []).append(curve)
            if done % 20 == 0:
                print(f"{done} of {len(jobs)}", file=sys.stderr)
            is_whole = done % (len(jobs) // arguments.seeds) == 0
            if is_whole and time.monotonic() - started > 60 * arguments.minutes:
                arguments.seeds = job[2] + 1
                break
    figures = summary(found, arguments)
    figures["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(figures, indent=1) if arguments.json else words(figures))


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


def one_search(
    evaluations: Sequence[int], most: Mapping[str, int], job: tuple[str, int | str, int]
) -> tuple[tuple[str, int | str, int], list[float]]:
    """Search once; gives regret (with a budget) or relative hypervolume after n trainings."""
    problem = _shared["problem"]
    sampler, setting, seed = job
    counts = [n for n in evaluations if n <= most.get(sampler, n)]
    trials = max(counts)
    budget = None if setting == FRONT else problem.budget(int(setting))
    if sampler.startswith("plain-"):
        assert budget is not None
        trained = plain_optuna(problem, sampler.removeprefix("plain-"), budget, trials, seed)
    else:
        trained = with_mnas(problem, sampler, budget, trials, seed)
    judge = _judge_front if budget is None else functools.partial(_judge_best, budget_ms=budget)
    return job, [judge(problem, trained[:n], seed) for n in counts]


Trained = list[tuple[Architecture, float]]  # in order, with the score that was seen


def with_mnas(
    problem: Problem, sampler: str, budget_ms: float | None, trials: int, seed: int
) -> Trained:
    """`mnas.optimize`: nothing over the budget is trained, and nothing twice."""
    trained: Trained = []

    def score(arch: Architecture) -> float:
        seen = problem.scores.seen(arch, seed)
        trained.append((arch, seen))
        return float(seen / 100)

    mnas.optimize(
        problem.space,
        score,
        latency=problem.latency,
        budget_ms=budget_ms,
        trials=trials,
        sampler=sampler,
        seed=seed,
    )
    return trained


def plain_optuna(
    problem: Problem, sampler: str, budget_ms: float, trials: int, seed: int
) -> Trained:
    """Optuna by itself: every proposal is trained, and its latency is a constraint."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    make = {"tpe": optuna.samplers.TPESampler, "nsga2": optuna.samplers.NSGAIISampler}[sampler]
    study = optuna.create_study(direction="maximize", sampler=make(seed=seed))
    trained: Trained = []

    def objective(trial: optuna.Trial) -> float:
        arch = problem.space.suggest(trial)
        trial.set_constraint("latency", problem.ms(arch) / budget_ms - 1)
        trained.append((arch, problem.scores.seen(arch, seed)))
        return trained[-1][1]

    study.optimize(objective, n_trials=trials)
    return trained


def _judge_best(problem: Problem, trained: Trained, seed: int, *, budget_ms: float) -> float:
    """Regret in points: of the best seen within the budget, against the truly best."""
    inside = [(seen, arch) for arch, seen in trained if problem.ms(arch) <= budget_ms]
    within = problem.truths[problem.latencies <= budget_ms]
    if not inside:
        return float(within.max() - within.min())
    best = max(inside, key=lambda each: each[0])[1]
    return float(within.max() - problem.scores.judged(best, seed))


def _judge_front(problem: Problem, trained: Trained, seed: int) -> float:
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


def summary(
    found: Mapping[tuple[str, int | str], list[Any]], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Means, and the paired differences to the first sampler with their 95 % intervals."""
    rows = []
    first = arguments.samplers[0]
    for (sampler, setting), curves in found.items():
        table = np.array(curves)
        for column, n in enumerate(arguments.evaluations[: table.shape[1]]):
            row: dict[str, Any] = {
                "sampler": sampler,
                "setting": setting,
                "evaluations": n,
                "mean": round(float(table[:, column].mean()), 4),
            }
            others = np.array(found[first, setting])
            if sampler != first and column < others.shape[1]:
                other = others[:, column]
                low, high = interval(table[:, column] - other)
                row["more_than_first"] = [round(low, 4), round(high, 4)]
                row["is_distinguishable"] = not low <= 0 <= high
            rows.append(row)
    return {
        "scores": Path(arguments.scores).name,
        "latency": Path(arguments.latency).name,
        "seeds": arguments.seeds,
        "first": first,
        "rows": rows,
    }


def interval(differences: Numbers) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of paired differences."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(differences, (_RESAMPLES, len(differences))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def words(figures: dict[str, Any]) -> str:
    """One table for each budget: samplers down, evaluations across."""
    lines = [f"{figures['scores']}, latency {figures['latency']}, {figures['seeds']} seeds"]
    rows = figures["rows"]
    counts = sorted({row["evaluations"] for row in rows})
    for setting in dict.fromkeys(row["setting"] for row in rows):
        what = "share of the true front's hypervolume" if setting == FRONT else "regret in points"
        where = "" if setting == FRONT else f", budget at the {setting}th percentile of latency"
        lines.append(f"\n{what}{where}")
        lines.append("sampler".ljust(14) + "".join(f"{n:>24}" for n in counts))
        for sampler in dict.fromkeys(row["sampler"] for row in rows):
            cells = [
                _cell(row)
                for row in rows
                if row["sampler"] == sampler and row["setting"] == setting
            ]
            if cells:
                lines.append(sampler.ljust(14) + "".join(f"{cell:>24}" for cell in cells))
    lines.append(f"\nIn brackets: 95 % interval of how much more than {figures['first']} that is;")
    lines.append("~ not distinguishable. " + f"{figures['seconds']} s.")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any]) -> str:
    if "more_than_first" not in row:
        return f"{row['mean']:.3f}"
    low, high = row["more_than_first"]
    mark = "" if row["is_distinguishable"] else "~"
    return f"{mark}{row['mean']:.3f} [{low:+.2f} {high:+.2f}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", help="nas-bench-macro_cifar10.json, or `synthetic`")
    parser.add_argument("--latency", default="macs", help="a latency table of the space, or `macs`")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=600, help="then end with whole seeds")
    parser.add_argument("--samplers", type=_list, default=SAMPLERS, help="the first is compared to")
    parser.add_argument("--evaluations", type=_numbers, default=EVALUATIONS)
    parser.add_argument("--most", type=_most, default={}, help="fewer for one: greybox=100,...")
    parser.add_argument("--percentiles", type=_numbers, default=PERCENTILES, help="of latency")
    parser.add_argument("--front", action="store_true", help="search fronts without a budget too")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def _list(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(",") if each)


def _most(text: str) -> dict[str, int]:
    pairs = (each.split("=") for each in _list(text))
    return {name: int(number) for name, number in pairs}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(each) for each in _list(text)))


if __name__ == "__main__":
    main()
