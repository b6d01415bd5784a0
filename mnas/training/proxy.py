"""Short training as a proxy of how good a network will be: a pure function of its arguments."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mnas.arch import Architecture, UnwritableFileError, machine_lock
from mnas.training.batches import Images, images_of
from mnas.training.checkpoints import (
    Checkpoint,
    UnreadableCheckpointError,
    identity_of,
    read_checkpoint,
    write_checkpoint,
)
from mnas.training.dataset import Dataset
from mnas.training.devices import Device, DeviceName, device_of, repeatable
from mnas.training.fitting import require_fit
from mnas.training.judging import judged_copy, marks
from mnas.training.loop import DivergedError, Training, threads_set_to
from mnas.training.recipes import ProxyRecipe, RecipeError
from mnas.training.scores import Score
from mnas.training.splitting import stratified
from mnas.training.weights import save_weights

_logger = logging.getLogger(__name__)
_SAMPLES_SEED = 0  # all candidates of all runs see the same part of the data


class _TrainingTimeoutError(Exception):
    """The training took longer than the recipe allows."""


def evaluate(
    arch: Architecture,
    *,
    data: Dataset,
    recipe: ProxyRecipe,
    epochs: int,
    seed: int,
    threads: int = 1,
    device: DeviceName = "cpu",
    checkpoints: Path | None = None,
) -> Score:
    """Train a network for one rung of the ladder and say how good it is on validation images.

    The same arguments give the same accuracy to the bit, whoever computes it and whether or not a
    lower rung was trained before: every rung is a prefix of one schedule, and a checkpoint is only
    a cache. `data` may lack its test split; it is never looked at. Different threads or versions
    of torch may round differently, and their checkpoints are not taken up.

    Args:
        arch: The candidate.
        data: Any resolution; images are taken at the network's.
        recipe: How to train.
        epochs: One of `recipe.epochs`.
        seed: Decides initial weights, order of data and augmentation.
        threads: torch's threads.
        device: `cpu`, or `cuda` for the first GPU that this process sees, in mixed precision.
        checkpoints: Folder in which rungs are kept and looked for.

    Returns:
        The score; a training that fails in any way is a score with its reason.

    Raises:
        RecipeError: `epochs` is no rung of the recipe.
        MisfitError: The network cannot be trained on this data at all.
        DeviceError: There is no such device.
    """
    if epochs not in recipe.epochs:
        raise RecipeError(f"epochs must be one of the rungs {list(recipe.epochs)}; got {epochs}")
    require_fit(arch, data, recipe.samples)
    computing = _Computing(threads=threads, device=device_of(device))
    return _scored(_Ladder(arch, data, recipe, seed, computing, checkpoints), epochs)


def confirm_score(
    arch: Architecture,
    *,
    data: Dataset,
    recipe: ProxyRecipe,
    epochs: int,
    seed: int,
    threads: int = 1,
    device: DeviceName = "cpu",
    weights_to: Path | None = None,
) -> Score:
    """Train a network afresh with the recipe's method, annealed to the end within `epochs`.

    Args:
        arch: The candidate, or a baseline: both get the same.
        data: As in `evaluate`.
        recipe: How to train; its rungs do not matter.
        epochs: Length of the whole schedule.
        seed: One that the proxy never used.
        threads: torch's threads.
        device: As in `evaluate`.
        weights_to: Where to write the judged weights, as safetensors.

    Returns:
        The score on validation images; a failure is a score with its reason.

    Raises:
        MisfitError: The network cannot be trained on this data at all.
        RecipeError: `epochs` is below 1.
        DeviceError: There is no such device.
    """
    whole = replace(recipe, epochs=(epochs,))
    require_fit(arch, data, whole.samples)
    computing = _Computing(threads=threads, device=device_of(device))
    return _scored(_Ladder(arch, data, whole, seed, computing, None), epochs, weights_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Computing:
    """With what a training computes."""

    threads: int
    device: Device


class _Ladder:
    """One candidate's training from rung to rung, and where its checkpoints lie."""

    def __init__(
        self,
        arch: Architecture,
        data: Dataset,
        recipe: ProxyRecipe,
        seed: int,
        computing: _Computing,
        checkpoints: Path | None,
    ) -> None:
        self.recipe, self.seed, self.computing = recipe, seed, computing
        self._arch, self._data, self._folder = arch, data, checkpoints
        self._identity = identity_of(
            arch,
            data=data,
            recipe=recipe,
            seed=seed,
            threads=computing.threads,
            device=computing.device,
        )

    def train(self, epochs: int, on_step: Callable[[], None]) -> tuple[Training, Images]:
        """The training after so many epochs, and its images."""
        data = self._data.resized(self._arch.input.resolution)
        images = images_of(data.train, data, _chosen(data, self.recipe.samples))
        training = self._fresh(images)
        training = self._continued(training, epochs, images)
        while training.epochs_done < epochs:
            training.run_epoch(on_step)
            if training.epochs_done in self.recipe.epochs:
                self._keep(training)
        return training, images

    def _fresh(self, images: Images) -> Training:
        method, device = self.recipe.method, self.computing.device
        return Training(self._arch, images, method, self.seed, device=device)

    def validation(self) -> Images:
        data = self._data
        return images_of(data.val.resized(self._arch.input.resolution), data)

    def _path(self, epochs: int) -> Path | None:
        if self._folder is None:
            return None
        what = f"{self._data.fingerprint}{self.recipe.digest}"
        return self._folder / f"{self._arch.id}-{self.seed}-{what}-e{epochs}.safetensors"

    def _keep(self, training: Training) -> None:
        path = self._path(training.epochs_done)
        if path is None:
            return
        checkpoint = Checkpoint(
            identity={**self._identity, "epochs": training.epochs_done},
            notes={},
            tensors=training.state(),
        )
        try:
            write_checkpoint(path, checkpoint)
        except UnwritableFileError as error:
            _logger.warning("a checkpoint is not kept: %s", error)

    def _continued(self, fresh: Training, epochs: int, images: Images) -> Training:
        """The training from the highest rung that is kept, or the fresh one."""
        for rung in sorted((rung for rung in self.recipe.epochs if rung <= epochs), reverse=True):
            path = self._path(rung)
            checkpoint = _kept(path) if path is not None else None
            if checkpoint is None or checkpoint.identity != {**self._identity, "epochs": rung}:
                continue
            training = self._fresh(images)
            try:
                training.continue_from(checkpoint.tensors, rung)
            except (KeyError, IndexError, RuntimeError, ValueError) as error:
                _logger.warning("the checkpoint %s does not fit and is not used: %s", path, error)
                continue
            return training
        return fresh


def _kept(path: Path) -> Checkpoint | None:
    """A rung's checkpoint, which is only a cache: one that cannot be read is not there."""
    try:
        return read_checkpoint(path)
    except UnreadableCheckpointError as error:
        _logger.warning("%s", error)
        return None


def _scored(ladder: _Ladder, epochs: int, weights_to: Path | None = None) -> Score:
    """Train and judge; whatever goes wrong with this candidate becomes the reason of its score."""
    computing = ladder.computing
    with (
        machine_lock(alone=False),
        threads_set_to(computing.threads),
        repeatable(computing.device),
    ):
        start = time.monotonic()
        try:
            require_time = _deadline(ladder.recipe.timeout_s, start)
            training, images = ladder.train(epochs, require_time)
            module = judged_copy(training, images, ladder.recipe.method, require_time)
            found = marks(module, ladder.validation(), require_time)
            require_time()
            if weights_to is not None:
                save_weights(module, weights_to)
        except UnwritableFileError:
            raise  # not the candidate's fault
        except Exception as error:
            return Score(
                accuracy=None,
                epochs=epochs,
                seed=ladder.seed,
                seconds=time.monotonic() - start,
                state="failed",
                reason=_reason(error),
                traceback="".join(traceback.format_exception(error)),
            )
        return Score(
            accuracy=int(found.sum()) / len(found),
            epochs=epochs,
            seed=ladder.seed,
            seconds=time.monotonic() - start,
            state="complete",
        )


def _deadline(timeout_s: float | None, start: float) -> Callable[[], None]:
    def require_time() -> None:
        if timeout_s is not None and time.monotonic() - start > timeout_s:
            raise _TrainingTimeoutError(f"not done after {timeout_s:g} s")

    return require_time


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    is_memory = isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(sign in text for sign in ("out of memory", "can't allocate memory"))
    )
    match error:
        case DivergedError():
            return f"nan: {text}"
        case _TrainingTimeoutError():
            return f"timeout: {text}"
        case _ if is_memory:
            return f"out_of_memory: {text or 'no memory was left'}"
        case _:
            return f"exception: {type(error).__name__}: {text}"


def _chosen(
    data: Dataset, samples: int | None
) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    if samples is None:
        return None
    rng = np.random.default_rng(_SAMPLES_SEED)
    chosen, _ = stratified(data.train.labels, samples, rng, "proxy.samples")
    return chosen
