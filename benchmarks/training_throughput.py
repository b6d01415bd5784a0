"""How many candidates are trained an hour: the proxy of mnas against the loop of a tutorial.

Parts, each of which can be named:

    candidates  the same networks, images, epochs, batches, optimiser and learning rates, trained
                (a) by `mnas.training.evaluate` in two processes of one thread and (b) one after
                another in one process with torch's default threads: DataLoader with two workers,
                Pillow for every image, contiguous fp32. They take turns, and turns at being first;
                each repeat has its own seed. Validation accuracies stand beside the speeds.
    settings    images a second of the bare training step, for the cheapest network and a wider one:
                memory order, bf16, torch.compile, threads and processes, which take turns too.

What a search does once is not counted: starting the two processes, reading the data. What it does
for each candidate is: building, training, re-estimating BatchNorm, judging, writing checkpoints.

Example: python benchmarks/training_throughput.py ~/data/fashion-mnist --samples 4000 --json
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from intervals import estimate, ratio_of
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from training_settings import BASE, settings

from mnas.arch import Architecture, count
from mnas.nets import build
from mnas.space import load_space, scaled
from mnas.training import Dataset, DataSpec, ProxyRecipe, Split, evaluate, load_data
from mnas.training.splitting import stratified

WIDER = 4  # times as many channels


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets give them: opened, transformed, turned into a tensor."""

    def __init__(self, split: Split, data: Dataset, resolution: int, padding: int) -> None:
        native = split.native
        assert isinstance(native, np.ndarray), "images that are in memory"
        self._images, self._labels = native, split.labels
        self._resolution, self._padding = resolution, padding
        self._mean = torch.tensor(data.mean).reshape(-1, 1, 1)
        self._std = torch.tensor(data.std).reshape(-1, 1, 1)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self._images[index].transpose(1, 2, 0).squeeze())
        side = self._resolution
        if picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.BILINEAR)
        if self._padding:
            picture = ImageOps.expand(picture, self._padding)
            x, y = (int(torch.randint(0, 2 * self._padding + 1, ())) for _ in range(2))
            picture = picture.crop((x, y, x + side, y + side))
        pixels = np.array(picture, dtype=np.float32).reshape(side, side, -1).transpose(2, 0, 1)
        tensor = torch.from_numpy(np.ascontiguousarray(pixels)).div(255)
        return tensor.sub_(self._mean).div_(self._std), int(self._labels[index])


def tutorial_accuracy(
    arch: Architecture, data: Dataset, recipe: ProxyRecipe, seed: int, workers: int = 2
) -> float:
    """Train and judge a network as a tutorial does, with the recipe's method; in this process."""
    torch.manual_seed(seed)
    method, side = recipe.method, arch.input.resolution
    padding = round(recipe.shift * side)
    training = DataLoader(
        Pictures(data.train, data, side, padding),
        batch_size=min(method.batch_size, len(data.train)),
        shuffle=True,
        drop_last=True,
        num_workers=workers,
    )
    validation = DataLoader(
        Pictures(data.val, data, side, 0), batch_size=method.batch_size, num_workers=workers
    )
    module = build(arch)
    optimizer = optimizer_of(module, recipe)
    steps = len(training) * method.total_epochs
    warmup = min(method.warmup_epochs * len(training), steps / 5)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    loss_of = nn.CrossEntropyLoss(label_smoothing=method.label_smoothing)
    for _ in range(method.total_epochs):
        module.train()
        for images, labels in training:
            optimizer.zero_grad()
            loss = loss_of(module(images), labels)
            loss.backward()
            if method.clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), method.clip_norm)
            optimizer.step()
            schedule.step()
    module.eval()
    correct = 0
    with torch.no_grad():
        for images, labels in validation:
            correct += int((module(images).argmax(dim=1) == labels).sum())
    return correct / len(data.val)


def optimizer_of(module: nn.Module, recipe: ProxyRecipe) -> torch.optim.Optimizer:
    """The recipe's SGD, weight decay on weights of more than one dimension only."""
    assert recipe.optimizer == "sgd"
    parameters = list(module.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0
    )


def proxy_accuracy(
    arch: Architecture, data: Dataset, recipe: ProxyRecipe, seed: int, checkpoints: Path
) -> float:
    """The proxy's score, in whatever process this runs."""
    score = evaluate(
        arch,
        data=data,
        recipe=recipe,
        epochs=recipe.epochs[-1],
        seed=seed,
        threads=1,
        checkpoints=checkpoints,
    )
    if score.accuracy is None:
        raise RuntimeError(f"the training of {arch.id} failed: {score.reason}")
    return score.accuracy


def proxy_turn(
    pool: Executor, networks: Sequence[Architecture], data: Dataset, recipe: ProxyRecipe, seed: int
) -> list[float]:
    """All networks once, by whichever worker is free."""
    with tempfile.TemporaryDirectory() as folder:
        waiting = [
            pool.submit(proxy_accuracy, arch, data, recipe, seed, Path(folder)) for arch in networks
        ]
        return [each.result() for each in waiting]


def tutorial_turn(
    networks: Sequence[Architecture], data: Dataset, recipe: ProxyRecipe, seed: int, workers: int
) -> list[float]:
    """All networks once, one after another."""
    return [tutorial_accuracy(arch, data, recipe, seed, workers) for arch in networks]


def candidates(
    pool: Executor,
    networks: Sequence[Architecture],
    data: Dataset,
    recipe: ProxyRecipe,
    *,
    repeats: int,
    workers: int = 2,
) -> dict[str, Any]:
    """Speeds and accuracies of both ways.

    Args:
        pool: Two processes, already warm.
        networks: The dearest first, so that no worker is left alone with it at the end.
        data: What they are trained on and judged by.
        recipe: One rung.
        repeats: How often each way trains all networks; the seed is the number of the repeat.
        workers: Of the DataLoader.

    Returns:
        Candidates an hour, their ratio; accuracies, their paired difference, and the standard
        deviation between seeds of one network.
    """
    turns: dict[str, Callable[[int], list[float]]] = {
        "mnas": lambda seed: proxy_turn(pool, networks, data, recipe, seed),
        "tutorial": lambda seed: tutorial_turn(networks, data, recipe, seed, workers),
    }
    per_hour: dict[str, list[float]] = {name: [] for name in turns}
    accuracies: dict[str, list[list[float]]] = {name: [] for name in turns}
    for seed in range(repeats):
        for name in sorted(turns, reverse=seed % 2 == 1):
            started = time.perf_counter()
            accuracies[name].append(turns[name](seed))
            per_hour[name].append(len(networks) * 3600 / (time.perf_counter() - started))
            found = statistics.fmean(accuracies[name][-1])
            told = (
                f"repeat {seed}, {name}: {per_hour[name][-1]:.0f} candidates an hour, {found:.2%}"
            )
            print(told, file=sys.stderr, flush=True)  # what an interrupted run leaves
    means = {name: [statistics.fmean(each) for each in found] for name, found in accuracies.items()}
    differences = [a - b for a, b in zip(means["mnas"], means["tutorial"], strict=True)]
    difference = estimate(differences)
    pairs = list(zip(per_hour["mnas"], per_hour["tutorial"], strict=True))
    return {
        "candidates_per_hour": per_hour,
        "ratio": asdict(ratio_of(pairs)),
        "accuracy": {name: statistics.fmean(found) for name, found in means.items()},
        "seed_deviation": {name: seed_deviation(found) for name, found in accuracies.items()},
        "accuracy_difference": asdict(difference),
        "differs_beyond_seed_noise": difference.excludes_zero if repeats > 1 else None,
    }


def seed_deviation(accuracies: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation between seeds (rows) of one network, pooled over networks (columns)."""
    if len(accuracies) < 2:
        return None
    columns = zip(*accuracies, strict=True)
    return math.sqrt(statistics.fmean(statistics.variance(column) for column in columns))


def sampled(space_name: str, data_classes: int, channels: int, number: int) -> list[Architecture]:
    """Distinct networks of a space by seed 0, the dearest first."""
    space = load_space(space_name).for_data(data_classes, channels)
    rng, found = random.Random(0), {}
    while len(found) < number:
        arch = space.sample(rng)
        found[arch.id] = arch
    return sorted(found.values(), key=lambda arch: -count(arch).macs)


def reduced(data: Dataset, samples: int | None) -> Dataset:
    """The data with a stratified part of its training images, in memory for both ways."""
    if samples is None or samples >= len(data.train):
        return data
    chosen, _ = stratified(data.train.labels, samples, np.random.default_rng(0), "samples")
    return replace(data, train=_part(data.train, chosen), test=None)


def _part(split: Split, chosen: NDArray[np.int64]) -> Split:
    native = split.native
    assert isinstance(native, np.ndarray), "images that are in memory"
    images = native[chosen] if split.images is native else split.images[chosen]
    return Split(
        images=images,
        labels=split.labels[chosen],
        native=images if split.images is native else native[chosen],
    )


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_average": os.getloadavg(),
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """What was found, in words."""
    if "candidates" in found:
        part = found["candidates"]
        for name, speeds in part["candidates_per_hour"].items():
            deviation = part["seed_deviation"][name]
            noise = "" if deviation is None else f" (between seeds {deviation:.2%})"
            yield (
                f"{name}: {statistics.fmean(speeds):.0f} candidates an hour, "
                f"accuracy {part['accuracy'][name]:.2%}{noise}"
            )
        yield f"ratio of speeds: {_interval(part['ratio'])}"
        difference = {k: None if v is None else 100 * v for k, v in _plain(part)}
        told = {True: "beyond", False: "within", None: "unknown whether beyond"}
        differs = told[part["differs_beyond_seed_noise"]]
        yield f"difference of accuracies: {_interval(difference)} points, {differs} seed noise"
    for row in found.get("settings", []):
        head = f"{row['params']} parameters, {row['setting']}: "
        if "failed" in row:
            yield head + f"failed, {row['failed']}"
            continue
        yield head + (
            f"{row['images_per_second']:.0f} images/s, {_interval(row['ratio'])} of {BASE}, first "
            f"two steps {row['first_two_steps_s']:.1f} s"
        )


def _plain(part: dict[str, Any]) -> list[tuple[str, float | None]]:
    return list(part["accuracy_difference"].items())


def _interval(value: dict[str, float | None]) -> str:
    if value["low"] is None:
        return f"{value['mean']:.2f}"
    return f"{value['mean']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", help="of idx files (MNIST's kin); digits without it")
    parser.add_argument("--parts", default="candidates,settings")
    parser.add_argument("--space", help="default small_28 for a folder, small_digits without")
    parser.add_argument("--networks", type=int, default=4, help="drawn from the space; even")
    parser.add_argument("--samples", type=int, help="training images, all without it")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5, help="of settings")
    parser.add_argument("--seconds", type=float, default=0.7, help="of a setting in a round")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - {"candidates", "settings"}:
        parser.error(f"unknown part {min(unknown)!r}; there are: candidates, settings")
    if options.folder:
        spec = DataSpec(source="idx", path=options.folder, val=5000)
    else:
        spec = DataSpec(source="digits")
    space = options.space or ("small_28" if options.folder else "small_digits")
    whole = load_data(spec, load_space(space).sample(random.Random(0)).input.resolution)
    data = reduced(whole, options.samples)
    networks = sampled(space, data.num_classes, data.channels, options.networks)
    recipe = ProxyRecipe(epochs=(options.epochs,))
    found: dict[str, Any] = {"machine": machine(), "arguments": vars(options)}
    spawning = multiprocessing.get_context("spawn")
    if "candidates" in parts:
        with ProcessPoolExecutor(2, mp_context=spawning) as pool:
            proxy_turn(pool, networks[:2], reduced(data, 200), recipe, 0)  # starts both
            found["candidates"] = candidates(pool, networks, data, recipe, repeats=options.repeats)
            found["networks"] = [
                {"id": arch.id, "params": count(arch).params, "macs": count(arch).macs}
                for arch in networks
            ]
    if "settings" in parts:
        small = networks[-1]
        wide = scaled(small, width=WIDER, resolution=small.input.resolution)
        with (
            ProcessPoolExecutor(1, mp_context=spawning) as one,
            ProcessPoolExecutor(1, mp_context=spawning) as other,
        ):
            found["settings"] = settings(
                (one, other), (small, wide), rounds=options.rounds, seconds=options.seconds
            )
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        print()
    else:
        print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
