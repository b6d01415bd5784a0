"""A whole training, for weights that are deployed; it can be killed at any moment and continued."""

import csv
import importlib.metadata
import io
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnas.arch import Architecture, MnasError, machine_lock, write_atomically
from mnas.training.batches import Images, images_of
from mnas.training.checkpoints import Checkpoint, identity_of, read_checkpoint, write_checkpoint
from mnas.training.dataset import Dataset
from mnas.training.devices import DeviceName, device_of, repeatable
from mnas.training.fitting import require_fit
from mnas.training.judging import accuracy_of, judged_copy, marks
from mnas.training.loop import Training, threads_set_to
from mnas.training.recipes import FullRecipe
from mnas.training.scores import Accuracy
from mnas.training.weights import save_weights

Progress = Callable[[int, int, str], None]
_COLUMNS = ("epoch", "learning_rate", "train_loss", "val_accuracy", "seconds")


class OtherTrainingError(MnasError):
    """The directory holds the training of something else; names what differs."""


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
    device: DeviceName = "cpu",
    progress: Progress = lambda done, total, what: None,
) -> TrainedNetwork:
    """Train a network to its end and keep the weights that are best on validation images.

    After each epoch everything is written at once to `last.safetensors`; the same call continues
    from there after a kill and gives the same weights as an undisturbed one. Beside it lie
    `weights.safetensors` (averaged weights, re-estimated statistics, best epoch), `metrics.csv`,
    `architecture.json` and, at the end, `training.json`.

    Args:
        arch: What to train.
        data: Any resolution; images are taken at the network's.
        recipe: How to train.
        seed: Decides initial weights, order of data and augmentation.
        directory: Made if it is not there.
        threads: torch's threads; a training continues with as many as it began.
        device: `cpu`, or `cuda` for the first GPU, in mixed precision.
        progress: Called after each epoch with epochs done, epochs in all, and a line to show.

    Returns:
        The trained network, judged on validation and test images.

    Raises:
        MisfitError: The network cannot be trained on this data.
        OtherTrainingError: The directory holds the training of something else, or one made with
            other threads or another version of torch.
        DivergedError: The loss became NaN; a smaller learning rate may help.
        DeviceError: There is no such device.
        UnwritableFileError: The directory cannot be written.
    """
    require_fit(arch, data)
    computing = device_of(device)
    data = data.resized(arch.input.resolution)
    identity = identity_of(
        arch, data=data, recipe=recipe, seed=seed, threads=threads, device=computing
    )
    with machine_lock(alone=False), threads_set_to(threads), repeatable(computing):
        images = images_of(data.train, data)
        training = Training(arch, images, recipe.method, seed, device=computing)
        course = _Course(directory, identity, recipe, training, images)
        course.take_up()
        write_atomically(directory / "architecture.json", arch.to_json())
        course.run(images_of(data.val, data), progress)
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
    document = _document(arch, recipe, seed, threads, trained)
    write_atomically(directory / "training.json", json.dumps(document, indent=1) + "\n")
    return trained


class _Course:
    """The training on its way: what is done, what was best, and its files."""

    def __init__(
        self,
        directory: Path,
        identity: Mapping[str, Any],
        recipe: FullRecipe,
        training: Training,
        images: Images,
    ) -> None:
        self.weights = directory / "weights.safetensors"
        self.best_epoch = 0
        self._best: dict[str, Tensor] = {}
        self._rows: list[dict[str, float]] = []
        self._directory, self._identity = directory, identity
        self._recipe, self._training, self._images = recipe, training, images

    def take_up(self) -> None:
        """Continue from the directory's last checkpoint, if it has one."""
        path = self._directory / "last.safetensors"
        checkpoint = read_checkpoint(path)
        if checkpoint is None:
            return
        differing = [
            key for key in self._identity if checkpoint.identity.get(key) != self._identity[key]
        ]
        if differing:
            told = ", ".join(
                f"{key} {checkpoint.identity.get(key)!r} there, {self._identity[key]!r} here"
                for key in differing
            )
            raise OtherTrainingError(
                f"{self._directory} holds another training ({told}). Choose another directory, or "
                "remove this one"
            )
        try:
            self._take(checkpoint)
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise OtherTrainingError(
                f"{path} cannot be continued: what it holds is not this network's training "
                f"({type(error).__name__}: {error}). Remove it to train from the start, or choose "
                "another directory"
            ) from None

    def _take(self, checkpoint: Checkpoint) -> None:
        self._training.continue_from(checkpoint.tensors, len(checkpoint.notes["rows"]))
        self._rows = list(checkpoint.notes["rows"])
        self.best_epoch = checkpoint.notes["best_epoch"]
        prefix = "best."
        self._best = {
            name.removeprefix(prefix): value
            for name, value in checkpoint.tensors.items()
            if name.startswith(prefix)
        }

    def run(self, validation: Images, progress: Progress) -> None:
        """Train what is left, then write the weights of the best epoch."""
        total, start, before = self._recipe.epochs, time.monotonic(), self._training.epochs_done
        while self._training.epochs_done < total:
            accuracy = self._epoch(validation)
            done = self._training.epochs_done
            left = (time.monotonic() - start) / (done - before) * (total - done)
            progress(done, total, f"validation {accuracy:.2%}, {left:.0f} s left")
        self._write_tables()

    def _epoch(self, validation: Images) -> float:
        start = time.monotonic()
        loss = self._training.run_epoch()
        module = judged_copy(self._training, self._images, self._recipe.method)
        found = marks(module, validation)
        accuracy = int(found.sum()) / len(found)
        if accuracy >= max((row["val_accuracy"] for row in self._rows), default=0.0):
            self.best_epoch = self._training.epochs_done
            self._best = module.state_dict()
        self._rows.append(
            {
                "epoch": self._training.epochs_done,
                "learning_rate": self._training.last_learning_rate,
                "train_loss": loss,
                "val_accuracy": accuracy,
                "seconds": round(time.monotonic() - start, 3),
            }
        )
        best = {f"best.{name}": value for name, value in self._best.items()}
        write_checkpoint(
            self._directory / "last.safetensors",
            Checkpoint(
                identity=self._identity,
                notes={"rows": self._rows, "best_epoch": self.best_epoch},
                tensors={**self._training.state(), **best},
            ),
        )
        self._write_tables()
        return accuracy

    def _write_tables(self) -> None:
        save_weights(self._best, self.weights)
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomically(self._directory / "metrics.csv", text.getvalue())


def _document(
    arch: Architecture, recipe: FullRecipe, seed: int, threads: int, trained: TrainedNetwork
) -> dict[str, Any]:
    return {
        "schema": "mnas.training/1",
        "architecture": {"id": arch.id, "name": arch.name},
        "recipe": {**asdict(recipe), "digest": recipe.digest},
        "seed": seed,
        "threads": threads,
        "data": dict(trained.card),
        "best_epoch": trained.best_epoch,
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
