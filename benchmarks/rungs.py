"""Searches with and without rungs, and with and without a filter, at equal training seconds.

All 128 networks of rungs_space.yaml were trained twice on 2000 images of Fashion-MNIST; the file of
--pool holds their accuracies and CPU seconds at every rung (rungs_pool.py; --data trains what it
lacks). Searches are replayed from it through the driver's own loop, ladder, records and samplers,
with one worker, on a clock that counts the CPU seconds of trainings (and of training-free scores)
and nothing else. In the table of their device a block takes its MACs. A search sees one of the two
trainings, drawn for each network and seed, and the other one judges what it chose: the best of
those it trained to the highest rung.

`--pool synthetic:0.3,0.6,0.95` is no data but a formula over 10^9 networks, whose rungs correlate
with the truth as much as is said (rungs_synthetic.py); what is chosen is judged by the truth.

An arm is a ladder, and after a + a training-free score as filter with the share it keeps, such as
`3,9+naswot:0.5`. The first arm is what the others are compared to.

With --keep every finished search is kept at once in a file, and is not done again.

Example: python benchmarks/rungs.py --keep found.jsonl
         python benchmarks/rungs.py --keep found.jsonl --arms 9,9+naswot:0.5 --json
"""

import argparse
import hashlib
import json
import logging
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rungs_figures import GRID, agreement, figures, floor, words
from rungs_pool import RECIPE, SPACE, append, lines, load, train
from rungs_search import FRONT, WITH_LATENCY, Arm, Finished, Question, Trace, Trainings
from rungs_synthetic import EPOCHS, SyntheticTrainings

from mnas.arch import MnasError
from mnas.search.environment import describe_environment
from mnas.search.samplers import SAMPLERS
from mnas.training import untrained_scores

_SYNTHETIC = "synthetic:"
POOL = Path(__file__).parents[1] / "results" / "rungs" / "curves.jsonl"
# Questions and the seconds of a search: what forked processes find as it was before the fork.
_shared: dict[str, tuple[Question, float]] = {}

Job = tuple[str, str, str, int]  # sampler, arm, setting, seed
_NAMES = ("sampler", "arm", "setting", "seed")


def main() -> None:
    """Search with every sampler, arm and seed, judge, print."""
    arguments = _arguments()
    logging.getLogger("mnas").setLevel(logging.ERROR)  # that a space is used up is no news here
    trainings = _trainings(arguments)
    for each in arguments.settings:
        question = Question(trainings, each)
        _shared[each] = question, GRID[-1] * question.whole_s
    found = _search(arguments)
    answer = {
        "trainings": Path(arguments.pool).name,
        "settings": [_setting(question, found, arguments) for question, _ in _shared.values()],
    }
    print(json.dumps(answer, indent=1) if arguments.json else words(answer))


def _setting(
    question: Question, found: dict[Job, Trace], arguments: argparse.Namespace
) -> dict[str, Any]:
    setting, seeds = question.setting, range(arguments.seeds)
    searches = {
        (sampler, arm): {seed: found[sampler, arm, setting, seed] for seed in seeds}
        for sampler in arguments.samplers
        for arm in arguments.arms
    }
    return {
        "setting": setting,
        "seeds": arguments.seeds,
        "networks": len(question.within),
        "whole_s": round(question.whole_s, 3),
        "floor": round(floor(question, arguments.seeds), 4),
        "agreement": agreement(question),
        "rows": figures(question, searches, arguments.trainings),
    }


def _trainings(arguments: argparse.Namespace) -> Trainings:
    if arguments.pool.startswith(_SYNTHETIC):
        return SyntheticTrainings(_agreements(arguments.pool.removeprefix(_SYNTHETIC)))
    if arguments.data is not None:
        train(arguments.data, Path(arguments.pool), arguments.minutes)
    return load(Path(arguments.pool))


def _inputs(pool: str) -> dict[str, str]:
    """What the searches of two runs must have in common to stand side by side."""
    if pool.startswith(_SYNTHETIC):
        return {"trainings": pool}
    both = Path(pool).read_bytes() + SPACE.read_bytes()
    return {"trainings": hashlib.sha256(both).hexdigest()[:16]}


def _search(arguments: argparse.Namespace) -> dict[Job, Trace]:
    """The searches that are kept, and those that are still to be done, seed by seed."""
    kept: Path | None = arguments.keep
    inputs = _inputs(arguments.pool)
    known = [] if kept is None else [line for line in lines(kept) if line["inputs"] == inputs]
    found: dict[Job, Trace] = {
        _job(line): [Finished(*each) for each in line["trace"]] for line in known
    }
    commit = describe_environment(hashes={}, tables={})["commit"] or "unknown"
    jobs = [job for job in _jobs(arguments) if job not in found]
    started = time.monotonic()
    with multiprocessing.get_context("fork").Pool(arguments.processes) as workers:
        for done, (job, trace) in enumerate(workers.imap(_one, jobs), 1):
            found[job] = trace
            if kept is not None:
                line: dict[str, Any] = dict(zip(_NAMES, job, strict=True))
                line |= {"commit": commit, "inputs": inputs}
                append(kept, line | {"trace": trace})
            if done % 50 == 0:
                spent = time.monotonic() - started
                print(f"{done} of {len(jobs)}, {spent:.0f} s", file=sys.stderr, flush=True)
    return found


def _jobs(arguments: argparse.Namespace) -> Iterator[Job]:
    for seed in range(arguments.seeds):
        for setting in arguments.settings:
            for arm in arguments.arms:
                for sampler in arguments.samplers:
                    yield sampler, arm, setting, seed


def _one(job: Job) -> tuple[Job, Trace]:
    sampler, arm, setting, seed = job
    question, limit_s = _shared[setting]
    return job, question.search(Arm.read(arm), sampler, seed, limit_s=limit_s)


def _job(line: dict[str, Any]) -> Job:
    sampler, arm, setting, seed = (line[name] for name in _NAMES)
    return sampler, arm, setting, seed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pool", default=str(POOL), help="the trainings, one a line, or `synthetic:RHO,RHO,RHO`"
    )
    parser.add_argument("--data", type=Path, help="folder of Fashion-MNIST; trains what is missing")
    parser.add_argument("--minutes", type=float, default=60, help="of training, with --data")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--samplers", type=_list, default=("greybox", "tpe", "evolution", "random"))
    parser.add_argument(
        "--arms", nargs="+", type=_arm, default=["9", "3,9", "1,3,9"], metavar="ARM"
    )
    parser.add_argument(
        "--settings",
        type=_settings,
        default=("50", "50" + WITH_LATENCY, FRONT),
        help="percentiles of latency that are budgets, such as 50; 50+latency where latency is an "
        "objective too; and `front` without a budget",
    )
    parser.add_argument(
        "--trainings",
        type=_counts,
        default=(8, 16, 24, 40),
        help="times at which to compare, in whole trainings' worth of CPU seconds",
    )
    parser.add_argument("--keep", type=Path, help="a file of finished searches, to go on from")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    unknown = [each for each in arguments.samplers if each not in SAMPLERS]
    if unknown:
        parser.error(f"unknown sampler {unknown[0]!r}; there are: {', '.join(SAMPLERS)}")
    if arguments.seeds < 2:
        parser.error(f"--seeds must be at least 2, for an interval; got {arguments.seeds}")
    if arguments.pool.startswith(_SYNTHETIC):
        agreements = arguments.pool.removeprefix(_SYNTHETIC)
        if len(_agreements(agreements)) != len(EPOCHS) or any("+" in a for a in arguments.arms):
            parser.error(
                f"synthetic trainings need {len(EPOCHS)} correlations above 0 and at most 1, and "
                f"know no filter; got {agreements!r} and {' '.join(arguments.arms)}"
            )
    return arguments


def _agreements(text: str) -> tuple[float, ...]:
    """The correlations in a text; none where they are no such."""
    try:
        found = tuple(float(each) for each in _list(text))
    except ValueError:
        return ()
    return found if all(0 < each <= 1 for each in found) else ()


def _list(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(",") if each)


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(each) for each in _list(text))
    outside = [each for each in counts if each not in GRID]
    if outside:
        raise argparse.ArgumentTypeError(
            f"times must be {GRID[0]} to {GRID[-1]} trainings; got {outside[0]}"
        )
    return counts


def _settings(text: str) -> tuple[str, ...]:
    settings = _list(text)
    for each in settings:
        budget = each.removesuffix(WITH_LATENCY)
        if each != FRONT and not (budget.isdecimal() and 1 <= int(budget) <= 100):
            raise argparse.ArgumentTypeError(
                f"a setting is a percentile of 1 to 100, one with {WITH_LATENCY} after it, or "
                f"{FRONT}; got {each!r}"
            )
    return settings


def _arm(text: str) -> str:
    try:
        arm = Arm.read(text)
    except (ValueError, MnasError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no arm: {error}") from error
    rungs = RECIPE.epochs
    if arm.ladder != tuple(sorted({*arm.ladder} & {*rungs})) or arm.ladder[-1] != rungs[-1]:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no arm: a ladder is some of {', '.join(map(str, rungs))}, increasing, "
            f"with {rungs[-1]} as the last"
        )
    if arm.filter is not None and arm.filter.score not in untrained_scores():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no arm: training-free scores are {', '.join(untrained_scores())}"
        )
    return text


if __name__ == "__main__":
    main()
