"""What training-free scores are worth: rank correlation with real accuracies, and over parameters.

Accuracies are those of NAS-Bench-Macro (Su et al. 2021, arXiv:2103.11922), the mean of three
trainings on CIFAR-10: the file nas-bench-macro_cifar10.json of github.com/xiusu/NAS-Bench-Macro.
CIFAR-10 is not read: the minibatch is the `synthetic` data of mnas at the space's resolution, so
scores that look at images (naswot, grad_norm) may be worth more on the data of the accuracies.

Of a random sample of distinct networks, perhaps only of those within a limit of MACs, each score
has five figures, with 95 % percentile bootstrap intervals over networks (one resample serves all
scores, so that differences are paired):

rho           Spearman's rank correlation with accuracy
over_params   rho minus that of the parameters
given_params  partial rank correlation with accuracy given the parameters; 0 adds nothing to them
given_both    the same, given parameters and MACs
kept_of_best  share of the best tenth by accuracy that is in the best half by the score: what a
              filter that keeps a half lets through; chance is 0.5

Example: python benchmarks/training_free_scores.py nas-bench-macro_cifar10.json
         python benchmarks/training_free_scores.py nas-bench-macro_cifar10.json --macs-percentile 35
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from search_problems import MacroScores

from mnas.arch import Architecture, count
from mnas.training import Dataset, DataSpec, load_data, score_untrained, untrained_scores

Numbers = NDArray[np.float64]
Figures = dict[str, list[float] | None]  # [value, low, high] of each figure
FEWEST = 30  # networks: with fewer, an interval of a rank correlation says nothing
_FIGURES = ("rho", "over_params", "given_params", "given_both", "kept_of_best")
_CHANCE = dict.fromkeys(_FIGURES, 0.0) | {"kept_of_best": 0.5}
_BY_DEFINITION = {"params": ("over_params", "given_params", "given_both"), "macs": ("given_both",)}
_RESAMPLES = 2000


def main() -> None:
    """Score a sample, correlate, print."""
    arguments = _arguments()
    known = MacroScores(arguments.accuracies)
    sample = draw(known, arguments.networks, arguments.macs_percentile, arguments.seed)
    resolution = sample[0].input.resolution
    data = load_data(DataSpec(source="synthetic"), resolution)
    truths = np.array([known.true(arch) for arch in sample])
    scores, seconds = score_all(sample, data, arguments.seed)
    rows = worth(scores, truths, arguments.seed)
    if arguments.json:
        answer = {
            "networks": len(sample),
            "macs_percentile": arguments.macs_percentile,
            "resolution": resolution,
            "scores": rows,
            "cpu_seconds_per_network": seconds,
        }
        print(json.dumps(answer, indent=1))
    else:
        print(words(rows, seconds))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("accuracies", type=Path, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--networks", type=int, default=200, help="distinct ones, at random")
    parser.add_argument(
        "--macs-percentile", type=int, default=100, help="of the space's MACs, the most allowed"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.networks < FEWEST:
        parser.error(f"--networks must be at least {FEWEST}; got {arguments.networks}")
    if not 1 <= arguments.macs_percentile <= 100:
        parser.error(f"--macs-percentile must be 1 to 100; got {arguments.macs_percentile}")
    return arguments


def draw(known: MacroScores, networks: int, percentile: int, seed: int) -> list[Architecture]:
    """Distinct networks at random, those with fewer MACs than most or all."""
    everyone = [known.architectures[each] for each in sorted(known.architectures)]
    macs = np.array([count(arch).macs for arch in everyone])
    limit = np.percentile(macs, percentile)
    within = [arch for arch, each in zip(everyone, macs, strict=True) if each <= limit]
    if len(within) < networks:
        sys.exit(
            f"error: there are {len(within)} networks within the limit of MACs, {networks} were "
            "asked for: give a smaller --networks or a larger --macs-percentile"
        )
    return random.Random(seed).sample(within, networks)


def score_all(
    sample: Sequence[Architecture], data: Dataset, seed: int
) -> tuple[dict[str, Numbers], dict[str, float]]:
    """Every score of every network, and the mean CPU seconds that one takes."""
    scores, seconds = {}, {}
    fitting = [replace(arch, num_classes=data.num_classes) for arch in sample]
    for name in untrained_scores():
        start = time.process_time()
        scores[name] = np.array(
            [score_untrained(arch, name, data=data, seed=seed) for arch in fitting]
        )
        seconds[name] = round((time.process_time() - start) / len(sample), 4)
    return scores, seconds


def worth(scores: dict[str, Numbers], truths: Numbers, seed: int) -> dict[str, Figures]:
    """The figures of each score over n networks; `scores` holds `params` and `macs`."""
    rng = np.random.default_rng(seed)
    n = len(truths)
    drawn = [np.arange(n), *(rng.integers(n, size=n) for _ in range(_RESAMPLES))]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in scores}
    for rows in drawn:
        truth = rankdata(truths[rows])
        ranks = {name: rankdata(values[rows]) for name, values in scores.items()}
        params, macs = ranks["params"], ranks["macs"]
        for name, own in ranks.items():
            rho = _correlation(own, truth)
            found[name].append(
                (
                    rho,
                    rho - _correlation(params, truth),
                    _partial(own, truth, params),
                    _partial(own, truth, params, macs),
                    kept_of_best(own, truth),
                )
            )
    figures = {name: _with_intervals(np.array(values)) for name, values in found.items()}
    for name, fixed in _BY_DEFINITION.items():
        figures[name] |= dict.fromkeys(fixed)
    return figures


def kept_of_best(ranks: Numbers, truth: Numbers) -> float:
    """Share of the best tenth by truth that is in the best half by rank, higher is better."""
    best = truth >= np.quantile(truth, 0.9)
    return float(np.mean(ranks[best] >= np.median(ranks)))


def _partial(ranks: Numbers, truth: Numbers, *given: Numbers) -> float:
    """Correlation of what a linear fit on the given ranks leaves of both."""
    known = np.stack([np.ones(len(truth)), *given], axis=1)
    both = np.stack([ranks, truth], axis=1)
    left = both - known @ np.linalg.lstsq(known, both, rcond=None)[0]
    is_left = left.std(axis=0) > 1e-6 * both.std(axis=0)
    return _correlation(left[:, 0], left[:, 1]) if is_left.all() else 0.0


def _correlation(first: Numbers, second: Numbers) -> float:
    if first.std() == 0 or second.std() == 0:  # a score that says nothing is not correlated
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _with_intervals(values: Numbers) -> Figures:
    low, high = np.percentile(values[1:], (2.5, 97.5), axis=0)
    return {
        name: [round(float(each[at]), 3) for each in (values[0], low, high)]
        for at, name in enumerate(_FIGURES)
    }


def words(scores: dict[str, Figures], seconds: dict[str, float]) -> str:
    """One line for each score; `~` marks what cannot be told from chance, or from parameters."""
    lines = [f"{'':10}" + "".join(f"{name:>27}" for name in _FIGURES) + "   CPU s a network"]
    for name, row in scores.items():
        cells = []
        for figure in _FIGURES:
            found = row[figure]
            if found is None:
                cells.append(f"{'-':>27}")
                continue
            value, low, high = found
            mark = "~" if low <= _CHANCE[figure] <= high else ""
            cells.append(f"{mark}{value:+.3f} [{low:+.3f}, {high:+.3f}]".rjust(27))
        lines.append(f"{name:10}" + "".join(cells) + f"   {seconds[name]:.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
