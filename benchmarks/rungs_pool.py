"""Every network of a small space, really trained twice on the ladder: what a search would see.

The accuracies and the CPU seconds of the rungs are those of `mnas.training.evaluate`, with
checkpoints, as a search has them. Every line of the file is one training, written when it ends, so
that an interrupted pool goes on; a network counts when both its trainings are there.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnas.arch import Architecture, count
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

Numbers = NDArray[np.float64]
SPACE = Path(__file__).with_name("rungs_space.yaml")
RECIPE = ProxyRecipe(epochs=(1, 3, 9), samples=2000, recalibration_images=1000)
VALIDATION = 3000
REPLICATES = (0, 1)  # one is what a search sees, the other judges


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One training of a network.

    Attributes:
        accuracies: At each rung, 0 to 1.
        seconds: CPU seconds of each rung, from the one before it.
        again_s: CPU seconds of the last rung when its checkpoint is there: what a rung costs
            beside training.
    """

    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]
    again_s: float


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The networks that were trained twice, and what is known of each.

    Attributes:
        networks: By id.
        courses: By id, one for each replicate.
        untrained: By id, the training-free scores by name, each with its CPU seconds.
        commits: Of the checkouts that trained.
    """

    space: SearchSpace
    networks: Mapping[str, Architecture]
    courses: Mapping[str, tuple[Course, Course]]
    untrained: Mapping[str, Mapping[str, tuple[float, float]]]
    commits: tuple[str, ...] = ()
    epochs: tuple[int, ...] = RECIPE.epochs

    @cached_property
    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of each network, the stand-in for its latency."""
        return {name: count(arch).macs for name, arch in self.networks.items()}

    def drawn(self, name: str, seed: int) -> int:
        """Which of the trainings of a network the search with that seed sees."""
        return int(np.random.default_rng([int(name, 16), seed]).integers(len(REPLICATES)))

    def seen(self, name: str, epochs: int, seed: int) -> float:
        """The accuracy that a search sees at a rung."""
        course = self.courses[name][self.drawn(name, seed)]
        return course.accuracies[self.epochs.index(epochs)]

    def judged(self, name: str, seed: int) -> float:
        """The accuracy of the other training, at the highest rung, in percent."""
        return 100 * self.courses[name][1 - self.drawn(name, seed)].accuracies[-1]

    def true(self, name: str) -> float:
        """The mean of both trainings at the highest rung, in percent."""
        return 100 * float(np.mean([course.accuracies[-1] for course in self.courses[name]]))

    def cost(self, name: str, epochs: int, before: int, seed: int) -> float:
        """CPU seconds from one rung of a ladder (0: none) to another; rungs between are no stop."""
        course = self.courses[name][self.drawn(name, seed)]
        first = 0 if not before else self.epochs.index(before) + 1
        passed = course.seconds[first : self.epochs.index(epochs) + 1]
        return sum(passed) - (len(passed) - 1) * course.again_s

    @cached_property
    def whole_s(self) -> float:
        """Mean CPU seconds of a training to the highest rung with no stop."""
        top = self.epochs[-1]
        return float(np.mean([self.cost(name, top, 0, 0) for name in self.networks]))

    def at_rung(self, epochs: int, replicate: int) -> Numbers:
        """(networks,) accuracies of one replicate at a rung, in percent."""
        rung = self.epochs.index(epochs)
        return np.array(
            [100 * both[replicate].accuracies[rung] for both in self.courses.values()]
        )


def train(data_folder: Path, file: Path, minutes: float) -> None:
    """Train what the file does not hold yet, until the time is over."""
    data = load_data(DataSpec(source="idx", path=str(data_folder), val=VALIDATION), 28)
    space, started = load_space(SPACE), time.monotonic()
    networks = {arch.id: arch for arch in space.enumerate()}
    order = random.Random(0).sample(sorted(networks), len(networks))  # a part is a random one
    inputs = _inputs(space, data)
    known = {(line["id"], line["replicate"]) for line in _lines(file) if line["inputs"] == inputs}
    commit = describe_environment(hashes={}, tables={})["commit"] or "unknown"
    left = [(name, replicate) for name in order for replicate in REPLICATES]
    left = [each for each in left if each not in known]
    file.parent.mkdir(parents=True, exist_ok=True)
    for done, (name, replicate) in enumerate(left):
        if time.monotonic() - started > 60 * minutes:
            print(f"the time is over, {len(left) - done} trainings are left", file=sys.stderr)
            return
        arch = networks[name]
        line: dict[str, Any] = {"id": name, "replicate": replicate, "inputs": inputs}
        line |= {"commit": commit, **_trained(arch, data, replicate)}
        if replicate == 0:
            line["untrained"] = _untrained(arch, data)
        with file.open("a") as opened:
            opened.write(json.dumps(line) + "\n")
        if done % 20 == 19:
            spent = time.monotonic() - started
            print(f"{done + 1} of {len(left)}, {spent:.0f} s", file=sys.stderr, flush=True)


def load(file: Path) -> Pool:
    """The networks of a file that were trained twice.

    Raises:
        SystemExit: There are none, or the file mixes data, recipes or spaces.
    """
    space = load_space(SPACE)
    lines = _lines(file)
    if len({json.dumps(line["inputs"]) for line in lines}) > 1:
        sys.exit(f"error: {file} holds trainings on other data or with other recipes; give another")
    found: dict[str, dict[int, Course]] = {}
    for line in lines:
        course = Course(
            accuracies=tuple(line["accuracies"]),
            seconds=tuple(line["seconds"]),
            again_s=line["again_s"],
        )
        found.setdefault(line["id"], {})[line["replicate"]] = course
    courses = {
        name: (by[0], by[1]) for name, by in sorted(found.items()) if len(by) == len(REPLICATES)
    }
    if not courses:
        sys.exit(f"error: {file} holds no network that was trained twice; give --data to train")
    return Pool(
        space=space,
        networks={arch.id: arch for arch in space.enumerate() if arch.id in courses},
        courses=courses,
        untrained={
            line["id"]: {name: tuple(each) for name, each in line["untrained"].items()}
            for line in lines
            if "untrained" in line
        },
        commits=tuple(dict.fromkeys(line["commit"] for line in lines)),
    )


def _trained(arch: Architecture, data: Dataset, replicate: int) -> dict[str, Any]:
    seed = derive_seed(0, arch.id, replicate)
    accuracies, seconds = [], []
    folder = Path(tempfile.mkdtemp())
    try:
        for epochs in (*RECIPE.epochs, RECIPE.epochs[-1]):
            before = time.process_time()
            score = evaluate(
                arch, data=data, recipe=RECIPE, epochs=epochs, seed=seed, checkpoints=folder
            )
            seconds.append(round(time.process_time() - before, 4))
            if score.accuracy is None:
                sys.exit(f"error: the training of {arch.id} failed: {score.reason}")
            accuracies.append(score.accuracy)
    finally:
        shutil.rmtree(folder)
    return {"accuracies": accuracies[:-1], "seconds": seconds[:-1], "again_s": seconds[-1]}


def _untrained(arch: Architecture, data: Dataset) -> dict[str, tuple[float, float]]:
    found = {}
    for name in untrained_scores():
        before = time.process_time()
        value = score_untrained(arch, name, data=data)
        found[name] = value, round(time.process_time() - before, 4)
    return found


def _inputs(space: SearchSpace, data: Dataset) -> dict[str, str]:
    return {"space": space.digest, "data": data.fingerprint, "recipe": RECIPE.digest}


def _lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines; one that was being written when it was killed is cut off."""
    if not file.exists():
        return []
    text = file.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(file, len(whole))
    return [json.loads(line) for line in whole.decode().splitlines()]
