"""A whole training on its way: what it is, what is done, what was best, and its files."""

import contextlib
import csv
import fcntl
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mnas.arch import Architecture, MnasError, UnwritableFileError, write_atomically
from mnas.training.batches import Images, images_of
from mnas.training.checkpoints import Checkpoint, identity_of, read_checkpoint, write_checkpoint
from mnas.training.dataset import Dataset
from mnas.training.devices import DeviceName, device_of, repeatable
from mnas.training.judging import judged_copy, marks
from mnas.training.loop import Training, threads_set_to
from mnas.training.recipes import FullRecipe
from mnas.training.team import Team
from mnas.training.weights import save_weights

Progress = Callable[[int, int, str], None]
_COLUMNS = ("epoch", "learning_rate", "train_loss", "val_accuracy", "seconds")


class OtherTrainingError(MnasError):
    """The directory holds the training of something else; names what differs."""


class TrainingHeldError(MnasError):
    """Another living process trains in this directory."""


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Be the only one that trains in a directory, which is made; the lock ends with its process.

    Raises:
        TrainingHeldError: Another process does.
        UnwritableFileError: The directory cannot be made or written.
    """
    path = directory / "train.lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise UnwritableFileError(f"cannot write {path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingHeldError(
                f"another process trains in {directory}; wait for it, stop it, or choose another "
                "directory"
            ) from None
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be trained, for every process that takes part.

    Attributes:
        data: At the network's resolution.
        threads: torch's threads of each process.
        processes: How many take part.
    """

    arch: Architecture
    data: Dataset
    recipe: FullRecipe
    seed: int
    directory: Path
    threads: int
    processes: int
    device: DeviceName

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the weights, and so whether a checkpoint belongs to this work."""
        identity = identity_of(
            self.arch,
            data=self.data,
            recipe=self.recipe,
            seed=self.seed,
            threads=self.threads,
            device=device_of(self.device),
        )
        return identity if self.processes == 1 else {**identity, "processes": self.processes}

    @property
    def last(self) -> Path:
        """The state after the last finished epoch."""
        return self.directory / "last.safetensors"

    def checkpoint(self) -> Checkpoint | None:
        """The state after the last finished epoch; None before the first.

        Raises:
            OtherTrainingError: It is that of something else.
        """
        found, identity = read_checkpoint(self.last), self.identity
        if found is None:
            self._refuse_strangers()
            return None
        differing = [
            key
            for key in {**identity, **found.identity}
            if found.identity.get(key) != identity.get(key)
        ]
        if differing:
            told = ", ".join(
                f"{key} {found.identity.get(key)!r} there, {identity.get(key)!r} here"
                for key in differing
            )
            raise OtherTrainingError(
                f"{self.directory} holds another training ({told}). Choose another directory, or "
                "remove this one"
            )
        return found

    def _refuse_strangers(self) -> None:
        """Somebody's own `metrics.csv` must not be written over."""
        path = self.directory / "metrics.csv"
        if path.is_file() and not path.read_bytes().startswith(",".join(_COLUMNS).encode()):
            raise OtherTrainingError(
                f"{path} was not written by a training of mnas; choose another directory, or move "
                "it away"
            )

    def begun(self, team: Team) -> tuple[Training, Images, Checkpoint | None]:
        """The training as its last checkpoint left it, its images, and that checkpoint.

        Raises:
            OtherTrainingError: The checkpoint cannot be continued.
            RecipeError: The team cannot share the batches.
            TeamError: The processes did not begin with the same weights.
        """
        images = images_of(self.data.train, self.data)
        device = device_of(self.device, team.rank)
        training = Training(
            self.arch, images, self.recipe.method, self.seed, device=device, team=team
        )
        checkpoint = self.checkpoint()
        if checkpoint is not None:
            with self.continuing():
                training.continue_from(checkpoint.tensors, len(checkpoint.notes["rows"]))
        team.require_same(list(training.module.parameters()))
        return training, images, checkpoint

    @contextlib.contextmanager
    def continuing(self) -> Iterator[None]:
        """Within it, a checkpoint that turns out to be no training's is said to be none."""
        try:
            yield
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise OtherTrainingError(
                f"{self.last} cannot be continued: what it holds is not this network's training "
                f"({type(error).__name__}: {error}). Choose another directory, or remove this one"
            ) from None


def help_with(work: Work, team: Team) -> None:
    """What every process but the first does: train, and leave judging and files to the first."""
    with threads_set_to(work.threads), repeatable(device_of(work.device, team.rank)):
        training, _, _ = work.begun(team)
        while training.epochs_done < work.recipe.epochs:
            training.run_epoch()


class Course:
    """The training as process 0 sees it: epochs one after another, judged and written down.

    Attributes:
        weights: The file of the best epoch's weights.
        best_epoch: 1-based; of equally good ones the latest.
        rows: The metrics of each finished epoch.
    """

    def __init__(self, work: Work, team: Team) -> None:
        self.weights = work.directory / "weights.safetensors"
        self.best_epoch = 0
        self.rows: list[dict[str, float]] = []
        self._best: dict[str, Tensor] = {}
        self._work = work
        self._training, self._images, checkpoint = work.begun(team)
        if checkpoint is not None:
            with work.continuing():
                self._take(checkpoint)
        if len(self.rows) < work.recipe.epochs:  # what it says is of weights that go now
            (work.directory / "training.json").unlink(missing_ok=True)

    def _take(self, checkpoint: Checkpoint) -> None:
        self.rows = list(checkpoint.notes["rows"])
        self.best_epoch = checkpoint.notes["best_epoch"]
        prefix = "best."
        self._best = {
            name.removeprefix(prefix): value
            for name, value in checkpoint.tensors.items()
            if name.startswith(prefix)
        }

    def run(self, progress: Progress, log: Callable[[dict[str, float]], None]) -> None:
        """Train what is left, then write the weights of the best epoch.

        Args:
            progress: Told epochs done, epochs in all, and one line.
            log: Told the metrics of each epoch once they are saved.
        """
        validation = images_of(self._work.data.val, self._work.data)
        total, start, before = self._work.recipe.epochs, time.monotonic(), len(self.rows)
        while (done := len(self.rows)) < total:
            row = self._epoch(validation)
            log(row)
            left = (time.monotonic() - start) / (done + 1 - before) * (total - done - 1)
            progress(done + 1, total, f"validation {row['val_accuracy']:.2%}, {left:.0f} s left")
        self._write_tables()

    def _epoch(self, validation: Images) -> dict[str, float]:
        start = time.monotonic()
        loss = self._training.run_epoch()
        module = judged_copy(self._training, self._images, self._work.recipe.method)
        found = marks(module, validation)
        accuracy = int(found.sum()) / len(found)
        if accuracy >= max((row["val_accuracy"] for row in self.rows), default=0.0):
            self.best_epoch = self._training.epochs_done
            self._best = module.state_dict()
        row = {
            "epoch": self._training.epochs_done,
            "learning_rate": self._training.last_learning_rate,
            "train_loss": loss,
            "val_accuracy": accuracy,
            "seconds": round(time.monotonic() - start, 3),
        }
        self.rows.append(row)
        best = {f"best.{name}": value for name, value in self._best.items()}
        write_checkpoint(
            self._work.last,
            Checkpoint(
                identity=self._work.identity,
                notes={"rows": self.rows, "best_epoch": self.best_epoch},
                tensors={**self._training.state(), **best},
            ),
        )
        self._write_tables()
        return row

    def _write_tables(self) -> None:
        save_weights(self._best, self.weights)
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self._work.directory / "metrics.csv", text.getvalue())
