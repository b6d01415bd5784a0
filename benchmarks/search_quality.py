"""Compare samplers on networks whose accuracies are all known: regret, hypervolume, intervals.

The accuracies are those of NAS-Bench-Macro (Su et al. 2021, arXiv:2103.11922): the file
nas-bench-macro_cifar10.json of github.com/xiusu/NAS-Bench-Macro, three trainings of each network.
A sampler sees one of the three, drawn for each network and seed. What it chooses, the network
with the highest score it saw, is judged on the mean of the other two. Every sampler of mnas is
told latency and limits in the same way, by `mnas.optimize`; `plain-tpe` and `plain-nsga2` are
Optuna alone: no table, so that a network over the budget, or one seen before, costs a training.
Other libraries run in an environment of their own (`--peer`, see peer_search.py); what they propose
over the budget, or again, costs no training either.

With `--keep` every finished search is kept at once in a file, and is not done again: a comparison
goes on after an interruption, and can be given more seeds, samplers and peers later. `--print`
searches nothing.

Example: python benchmarks/search_quality.py nas-bench-macro_cifar10.json --keep found.jsonl
         python benchmarks/search_quality.py nas-bench-macro_cifar10.json --keep found.jsonl \
             --samplers pyglove --peer pyglove=venv/bin/python --seeds 20
         python benchmarks/search_quality.py synthetic --samplers greybox,tpe --seeds 20
"""

import argparse
import functools
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from peer_search import with_peer
from search_figures import FRONT, Found, figures, words
from search_problems import Problem, Trained, problem_of, regret, share_of_front

import mnas
from mnas.arch import Architecture
from mnas.search.environment import describe_environment

EVALUATIONS = (30, 60, 100, 300)
PERCENTILES = (20, 35, 50, 75)
SAMPLERS = ("greybox", "tpe", "nsga2", "evolution", "random", "plain-tpe", "plain-nsga2")
_shared: dict[str, Any] = {}  # what forked processes find as it was before the fork

Job = tuple[str, int | str, int]  # sampler, setting, seed
Curve = dict[int, float]  # evaluations -> regret, or share of the front


def main() -> None:
    """Search with every sampler and seed, judge, print."""
    arguments = _arguments()
    problem = problem_of(arguments.scores, arguments.latency)
    kept = Kept(arguments.keep, inputs=_inputs(arguments))
    if not arguments.print:
        _shared["problem"] = problem
        _search(_jobs(arguments, kept), arguments, kept)
    found = Found(kept.curves())
    if not found.curves:
        sys.exit(f"error: {arguments.keep} keeps no search of these scores and this latency")
    first = arguments.first if arguments.first in found.samplers else found.samplers[0]
    answer = {
        "scores": Path(arguments.scores).name,
        "latency": Path(arguments.latency).name,
        "commits": kept.commits,
        **figures(found, first),
    }
    print(json.dumps(answer, indent=1) if arguments.json else words(answer))


def _jobs(arguments: argparse.Namespace, kept: "Kept") -> list[Job]:
    """Seed by seed, so that what an interrupted comparison has are whole seeds."""
    settings: list[int | str] = [*arguments.percentiles, *([FRONT] if arguments.front else [])]
    jobs = [
        (sampler, setting, seed)
        for seed in range(arguments.seeds)
        for setting in settings
        for sampler in arguments.samplers
    ]
    counts = functools.partial(_counts, arguments.evaluations, arguments.most)
    return [job for job in jobs if not kept.has(job, counts(job[0]))]


def _search(jobs: Sequence[Job], arguments: argparse.Namespace, kept: "Kept") -> None:
    started = time.monotonic()
    run = functools.partial(one_search, arguments.evaluations, arguments.most, dict(arguments.peer))
    with multiprocessing.get_context("fork").Pool(arguments.processes) as pool:
        for done, (job, curve) in enumerate(pool.imap(run, jobs), 1):
            kept.add(job, curve)
            if done % 20 == 0:
                spent = time.monotonic() - started
                print(f"{done} of {len(jobs)}, {spent:.0f} s", file=sys.stderr, flush=True)
            if done < len(jobs) and time.monotonic() - started > 60 * arguments.minutes:
                print("the time is over", file=sys.stderr)
                break


@dataclass(slots=True)
class Kept:
    """Finished searches, one JSON line each, in a file if there is one.

    Attributes:
        path: Of the file; None keeps them in memory.
        inputs: What scores and latencies they are of; lines of others are passed over.
    """

    path: Path | None
    inputs: Mapping[str, str]
    _found: dict[Job, Curve] = field(default_factory=dict)
    _commits: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):  # a line that was being written when it was killed
            os.truncate(self.path, len(whole))
        for line in whole.decode().splitlines():
            entry = json.loads(line)
            if entry["inputs"] == self.inputs:
                job = entry["sampler"], entry["setting"], entry["seed"]
                self._note(job, {int(n): at for n, at in entry["curve"].items()}, entry["commit"])

    def has(self, job: Job, counts: Sequence[int]) -> bool:
        """Whether that search is there, up to so many evaluations."""
        return set(counts) <= self._found.get(job, {}).keys()

    def add(self, job: Job, curve: Curve) -> None:
        commit = describe_environment(hashes={}, tables={})["commit"] or "unknown"
        self._note(job, curve, commit)
        if self.path is None:
            return
        entry = dict(zip(("sampler", "setting", "seed"), job, strict=True))
        line = json.dumps({**entry, "curve": curve, "commit": commit, "inputs": self.inputs})
        with self.path.open("a") as file:
            file.write(line + "\n")

    def curves(self) -> dict[tuple[str, int | str], dict[int, Curve]]:
        """By sampler and setting, then by seed."""
        ordered: dict[tuple[str, int | str], dict[int, Curve]] = {}
        for (sampler, setting, seed), curve in self._found.items():
            ordered.setdefault((sampler, setting), {})[seed] = curve
        return ordered

    @property
    def commits(self) -> list[str]:
        return list(self._commits)

    def _note(self, job: Job, curve: Curve, commit: str) -> None:
        self._found[job] = curve
        self._commits[commit] = None


def one_search(
    evaluations: Sequence[int], most: Mapping[str, int], peers: Mapping[str, str], job: Job
) -> tuple[Job, Curve]:
    """Search once; gives regret (with a budget) or relative hypervolume after n trainings."""
    problem: Problem = _shared["problem"]
    sampler, setting, seed = job
    counts = _counts(evaluations, most, sampler)
    budget = None if setting == FRONT else problem.budget(int(setting))
    if sampler in peers:
        trained = with_peer(problem, sampler, peers[sampler], budget, max(counts), seed)
    elif sampler.startswith("plain-"):
        trained = plain_optuna(problem, sampler.removeprefix("plain-"), budget, max(counts), seed)
    else:
        trained = with_mnas(problem, sampler, budget, max(counts), seed)
    judge: Callable[[Problem, Trained, int], float] = share_of_front
    if budget is not None:
        judge = functools.partial(regret, budget_ms=budget)
    return job, {n: round(judge(problem, trained[:n], seed), 6) for n in counts}


def _counts(evaluations: Sequence[int], most: Mapping[str, int], sampler: str) -> list[int]:
    return [n for n in evaluations if n <= most.get(sampler, n)]


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
    problem: Problem, sampler: str, budget_ms: float | None, trials: int, seed: int
) -> Trained:
    """Optuna by itself: every proposal is trained, and its latency is a constraint or a cost."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    make = {"tpe": optuna.samplers.TPESampler, "nsga2": optuna.samplers.NSGAIISampler}[sampler]
    directions = ["maximize"] if budget_ms is not None else ["maximize", "minimize"]
    study = optuna.create_study(directions=directions, sampler=make(seed=seed))
    trained: Trained = []

    def objective(trial: optuna.Trial) -> float | tuple[float, float]:
        arch = problem.space.suggest(trial)
        trained.append((arch, problem.scores.seen(arch, seed)))
        if budget_ms is None:
            return trained[-1][1], problem.ms(arch)
        trial.set_constraint("latency", problem.ms(arch) / budget_ms - 1)
        return trained[-1][1]

    study.optimize(objective, n_trials=trials)
    return trained


def _inputs(arguments: argparse.Namespace) -> dict[str, str]:
    """What the figures of two runs must have in common to stand side by side."""
    return {
        name: hashlib.sha256(Path(given).read_bytes()).hexdigest()[:16]
        if Path(given).is_file()
        else given
        for name, given in (("scores", arguments.scores), ("latency", arguments.latency))
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", help="nas-bench-macro_cifar10.json, or `synthetic`")
    parser.add_argument("--latency", default="macs", help="a latency table of the space, or `macs`")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=600, help="then end")
    parser.add_argument("--samplers", type=_list, default=SAMPLERS)
    parser.add_argument("--first", default="greybox", help="what the others are compared to")
    parser.add_argument("--evaluations", type=_numbers, default=EVALUATIONS)
    parser.add_argument("--most", type=_most, default={}, help="fewer for one: greybox=100,...")
    parser.add_argument("--percentiles", type=_numbers, default=PERCENTILES, help="of latency")
    parser.add_argument("--front", action="store_true", help="search fronts without a budget too")
    parser.add_argument(
        "--peer",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help="the Python of an environment with that library; name it in --samplers too",
    )
    parser.add_argument("--keep", type=Path, help="a file of finished searches, to go on from")
    parser.add_argument("--print", action="store_true", help="search nothing, print what is kept")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def _list(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(",") if each)


def _most(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in map(_pair, _list(text))}


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(each) for each in _list(text)))


if __name__ == "__main__":
    main()
