"""A whole training, for weights that are deployed; it can be killed at any moment and continued."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mnas.arch import Architecture, machine_lock, write_atomically
from mnas.training.course import Course, Progress, Work, held, help_with
from mnas.training.dataset import Dataset
from mnas.training.devices import DeviceName, device_of, repeatable
from mnas.training.fitting import require_fit
from mnas.training.judging import accuracy_of
from mnas.training.loggers import LoggedTraining, MetricsLogger, logging_to
from mnas.training.loop import threads_set_to
from mnas.training.recipes import FullRecipe, RecipeError
from mnas.training.scores import Accuracy
from mnas.training.team import team_of

_BACKENDS: dict[DeviceName, str] = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """What a whole training gave.

    Attributes:
        directory: Where everything lies.
        weights: The weights of the best epoch, as safetensors.
        best_epoch: 1-based; of equally good ones the latest.
        val: Accuracy on the validation images, which chose the epoch: a little flattering.
        test: Accuracy on the test images, which chose nothing; None where the data has none.
        card: What the network must be fed: `training.json`'s `data`.
    """

    directory: Path
    weights: Path
    best_epoch: int
    val: Accuracy
    test: Accuracy | None
    card: Mapping[str, Any]


def train_network(
    arch: Architecture,
    *,
    data: Dataset,
    recipe: FullRecipe,
    seed: int,
    directory: Path,
    threads: int = 1,
    processes: int = 1,
    device: DeviceName = "cpu",
    loggers: Sequence[MetricsLogger] = (),
    progress: Progress = lambda done, total, what: None,
) -> TrainedNetwork:
    """Train a network to its end and keep the weights that are best on validation images.

    After each epoch everything is written at once to `last.safetensors`; the same call continues
    from there after a kill and gives the same weights as an undisturbed one. Beside it lie
    `weights.safetensors` (averaged weights, re-estimated statistics, best epoch), `metrics.csv`,
    `architecture.json` and, at the end, `training.json`.

    Several processes divide every batch and average their gradients. Others than this one are
    started by `multiprocessing`'s `spawn`, so a script calls this under
    `if __name__ == "__main__":`.

    Args:
        arch: What to train.
        data: Any resolution; images are taken at the network's.
        recipe: How to train; `batch_size` is that of all processes together.
        seed: Decides initial weights, order of data and augmentation.
        directory: Made if it is not there.
        threads: torch's threads of each process; a training continues with as many as it began.
        processes: How many train; a training continues with as many as it began.
        device: `cpu`, or `cuda` for one GPU for each process, in mixed precision.
        loggers: Told each epoch's metrics as well; what they do wrong is a warning.
        progress: Called after each epoch with epochs done, epochs in all, and a line to show.

    Returns:
        The trained network, judged on validation and test images.

    Raises:
        MisfitError: The network cannot be trained on this data.
        RecipeError: The batches cannot be divided by the number of processes, or it or `threads` is
            below 1.
        TrainingHeldError: Another process trains in this directory.
        OtherTrainingError: The directory holds the training of something else, or one made with
            other threads or processes or another version of torch.
        DivergedError: The loss became NaN; a smaller learning rate may help.
        DeviceError: There is no such device.
        TeamError: One of several processes is gone.
        UnwritableFileError: The directory cannot be written.
    """
    require_fit(arch, data)
    for name, number in (("threads", threads), ("processes", processes)):
        if number < 1:
            raise RecipeError(f"{name} must be at least 1; got {number}")
    data = data.resized(arch.input.resolution)
    work = Work(
        arch=arch,
        data=data.without_test(),
        recipe=recipe,
        seed=seed,
        directory=directory,
        threads=threads,
        processes=processes,
        device=device,
    )
    devices = [device_of(device, rank) for rank in range(processes)]
    work.checkpoint()  # the training of something else is told before anything is written
    with (
        held(directory),
        machine_lock(alone=False),
        threads_set_to(threads),
        repeatable(devices[0]),
        team_of(processes, partial(help_with, work), backend=_BACKENDS[device]) as team,
    ):
        course = Course(work, team)
        write_atomically(directory / "architecture.json", arch.to_json())
        with logging_to(loggers, _logged(work, course)) as log:
            course.run(progress, log)
        val, test = (
            accuracy_of(arch, course.weights, split, data, threads) if split is not None else None
            for split in (data.val, data.test)
        )
    assert val is not None
    trained = TrainedNetwork(
        directory=directory,
        weights=course.weights,
        best_epoch=course.best_epoch,
        val=val,
        test=test,
        card=data.card(),
    )
    document = _document(work, trained)
    write_atomically(directory / "training.json", json.dumps(document, indent=1) + "\n")
    return trained


def _logged(work: Work, course: Course) -> LoggedTraining:
    identity = json.dumps(work.identity, sort_keys=True)
    identity += str(work.directory.resolve())  # the same training in another folder is another
    settings = {**asdict(work.recipe), **work.identity, "network": work.arch.name}
    return LoggedTraining(
        name=work.arch.name,
        key=hashlib.sha256(identity.encode()).hexdigest()[:12],
        settings=settings,
        directory=work.directory,
        rows=tuple(course.rows),
    )


def _document(work: Work, trained: TrainedNetwork) -> dict[str, Any]:
    processes = {} if work.processes == 1 else {"processes": work.processes}
    return {
        "schema": "mnas.training/1",
        "architecture": {"id": work.arch.id, "name": work.arch.name},
        "recipe": {**asdict(work.recipe), "digest": work.recipe.digest},
        "seed": work.seed,
        "threads": work.threads,
        **processes,
        "data": dict(trained.card),
        "best_epoch": trained.best_epoch,
        "weights_sha256": hashlib.sha256(trained.weights.read_bytes()).hexdigest(),
        "val": _figures(trained.val),
        "test": _figures(trained.test) if trained.test is not None else None,
        "versions": {
            "mnas": importlib.metadata.version("mnas"),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
    }


def _figures(accuracy: Accuracy) -> dict[str, float]:
    """The accuracy without the single images."""
    return {name: getattr(accuracy, name) for name in ("correct", "total", "value", "low", "high")}
