"""Every network of a small space, really trained twice on the ladder: what a search would see.

The accuracies and the CPU seconds of the rungs are those of `mnas.training.evaluate`, with
checkpoints, as a search has them. Every line of the file is one training, written when it ends, so
that an interrupted pool goes on.
"""

import functools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnas.arch import Architecture
from mnas.search.environment import describe_environment
from mnas.search.seeds import derive_seed
from mnas.space import SearchSpace, load_space
from mnas.training import (
    Dataset,
    DataSpec,
    ProxyRecipe,
    evaluate,
    load_data,
    score_untrained,
    untrained_scores,
)

SPACE = Path(__file__).with_name("rungs_space.yaml")
RECIPE = ProxyRecipe(epochs=(1, 3, 9), samples=2000, recalibration_images=1000)
VALIDATION = 3000
REPLICATES = (0, 1)  # one is what a search sees, the other judges


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of a network.

    Attributes:
        accuracies: At each rung, 0 to 1.
        seconds: CPU seconds of each rung, from the one before it: training and judging.
        again_s: CPU seconds of the last rung when its checkpoint is there: what a rung costs
            beside training.
    """

    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]
    again_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All networks of a space, each trained twice, and what is known of each.

    Attributes:
        known: The networks.
        trainings: By id, one for each replicate.
        scores: By id, the training-free scores by name, each with its CPU seconds.
        epochs: The rungs, the lowest first.
        commits: Of the checkouts that trained.
    """

    space: SearchSpace
    known: tuple[Architecture, ...]
    trainings: Mapping[str, tuple[Training, ...]]
    scores: Mapping[str, Mapping[str, tuple[float, float]]]
    epochs: tuple[int, ...] = RECIPE.epochs
    commits: tuple[str, ...] = ()

    def seen(self, arch: Architecture, epochs: int, seed: int) -> float:
        """The accuracy that a search with that seed sees at a rung, 0 to 1."""
        return self._drawn(arch, seed).accuracies[self.epochs.index(epochs)]

    def judged(self, arch: Architecture, seed: int) -> float:
        """The accuracy of the other training, at the highest rung, 0 to 1."""
        return self.trainings[arch.id][1 - _which(arch.id, seed)].accuracies[-1]

    def true(self, arch: Architecture) -> float:
        """The mean of both trainings at the highest rung, 0 to 1."""
        return float(np.mean([each.accuracies[-1] for each in self.trainings[arch.id]]))

    def seconds(self, arch: Architecture, epochs: int, before: int, seed: int) -> float:
        """CPU seconds from one rung of a ladder (0: none) to the next; rungs between are no stop.

        Args:
            arch: The network.
            epochs: The rung to reach.
            before: The rung whose checkpoint is there; 0 for none.
            seed: Of the search.
        """
        training = self._drawn(arch, seed)
        first = self.epochs.index(before) + 1 if before else 0
        passed = training.seconds[first : self.epochs.index(epochs) + 1]
        return sum(passed) - (len(passed) - 1) * training.again_s

    def untrained(self, arch: Architecture) -> Mapping[str, tuple[float, float]]:
        """The training-free scores by name, each with its CPU seconds."""
        return self.scores[arch.id]

    def _drawn(self, arch: Architecture, seed: int) -> Training:
        return self.trainings[arch.id][_which(arch.id, seed)]


def train(data_folder: Path, file: Path, minutes: float) -> None:
    """Train what the file does not hold yet, until the time is over."""
    data = load_data(DataSpec(source="idx", path=str(data_folder), val=VALIDATION), 28)
    space, started = load_space(SPACE), time.monotonic()
    networks = {arch.id: arch for arch in space.enumerate()}
    order = random.Random(0).sample(sorted(networks), len(networks))  # a part is a random one
    inputs = _inputs(space) | {"data": data.fingerprint}
    known = {(line["id"], line["replicate"]) for line in lines(file) if line["inputs"] == inputs}
    commit = describe_environment(hashes={}, tables={})["commit"] or "unknown"
    left = [(name, replicate) for name in order for replicate in REPLICATES]
    left = [each for each in left if each not in known]
    if left:
        _trained(networks[order[0]], data, seed=0)  # the first one pays for torch waking up
    for done, (name, replicate) in enumerate(left):
        if time.monotonic() - started > 60 * minutes:
            print(f"the time is over, {len(left) - done} trainings are left", file=sys.stderr)
            return
        arch = networks[name]
        line: dict[str, Any] = {"id": name, "replicate": replicate, "inputs": inputs}
        line |= {"commit": commit, **_trained(arch, data, derive_seed(0, arch.id, replicate))}
        if replicate == REPLICATES[0]:
            line["untrained"] = _untrained(arch, data)
        append(file, line)
        if done % 20 == 19:
            spent = time.monotonic() - started
            print(f"{done + 1} of {len(left)}, {spent:.0f} s", file=sys.stderr, flush=True)


def load(file: Path) -> Pool:
    """The networks of a file.

    Raises:
        SystemExit: Not all networks of the space were trained twice, or the file mixes data,
            recipes or spaces, or has others.
    """
    space = load_space(SPACE)
    found: dict[str, dict[int, Training]] = {}
    known = lines(file)
    if len({line["inputs"]["data"] for line in known}) > 1 or any(
        line["inputs"] | _inputs(space) != line["inputs"] for line in known
    ):
        sys.exit(
            f"error: {file} holds trainings of several data, or of another space or recipe than "
            f"{SPACE.name} and {Path(__file__).name} have; name another file with --pool"
        )
    for line in known:
        found.setdefault(line["id"], {})[line["replicate"]] = Training(
            accuracies=tuple(line["accuracies"]),
            seconds=tuple(line["seconds"]),
            again_s=line["again_s"],
        )
    networks = {arch.id: arch for arch in space.enumerate()}
    whole = {name: by for name, by in found.items() if len(by) == len(REPLICATES)}
    if whole.keys() != networks.keys():
        sys.exit(
            f"error: {file} holds {len(whole)} of the {len(networks)} networks, trained twice; "
            "give --data, the folder of Fashion-MNIST, to train the others"
        )
    return Pool(
        space=space,
        known=tuple(networks.values()),
        trainings={name: tuple(whole[name][each] for each in REPLICATES) for name in networks},
        scores={
            line["id"]: {name: tuple(each) for name, each in line["untrained"].items()}
            for line in known
            if "untrained" in line
        },
        commits=tuple(dict.fromkeys(line["commit"] for line in known)),
    )


def lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines; one that was being written when it was killed is cut off."""
    if not file.exists():
        return []
    text = file.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(file, len(whole))
    return [json.loads(line) for line in whole.decode().splitlines()]


def append(file: Path, line: Mapping[str, Any]) -> None:
    """One more line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as opened:
        opened.write(json.dumps(line) + "\n")


@functools.cache
def _which(name: str, seed: int) -> int:
    return int(np.random.default_rng([int(name, 16), seed]).integers(len(REPLICATES)))


def _trained(arch: Architecture, data: Dataset, seed: int) -> dict[str, Any]:
    accuracies, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (*RECIPE.epochs, RECIPE.epochs[-1]):
            before = time.process_time()
            score = evaluate(
                arch, data=data, recipe=RECIPE, epochs=epochs, seed=seed, checkpoints=Path(folder)
            )
            seconds.append(round(time.process_time() - before, 4))
            if score.accuracy is None:
                sys.exit(f"error: the training of {arch.id} failed: {score.reason}")
            accuracies.append(score.accuracy)
    return {"accuracies": accuracies[:-1], "seconds": seconds[:-1], "again_s": seconds[-1]}


def _untrained(arch: Architecture, data: Dataset) -> dict[str, tuple[float, float]]:
    found = {}
    for name in untrained_scores():
        before = time.process_time()
        value = score_untrained(arch, name, data=data)
        found[name] = value, round(time.process_time() - before, 4)
    return found


def _inputs(space: SearchSpace) -> dict[str, str]:
    return {"space": space.digest, "recipe": RECIPE.digest}
