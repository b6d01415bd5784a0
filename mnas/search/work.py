"""The work of one worker: a pure function of its task, whoever does it."""

import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mnas.arch import Architecture, machine_lock
from mnas.training import Dataset, ProxyRecipe, Score

# The minibatch of a training-free score; smaller where the data has fewer images.
_UNTRAINED_IMAGES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One evaluation to do.

    Attributes:
        stage: `proxy` trains up to a rung of the ladder; `confirm` trains fresh for `epochs`, with
            the schedule annealed to its end, and keeps the weights.
        weights_to: Where to keep the weights (confirm).
    """

    architecture: Architecture
    stage: Literal["proxy", "confirm"]
    epochs: int
    seed: int
    weights_to: Path | None = None


@dataclass(slots=True, kw_only=True)
class Bench:
    """What every task of a worker shares: data, recipe, threads, device.

    Attributes:
        data: Training and validation images at the largest resolution; no test images.
        checkpoints: Folder of the rung checkpoints, which are only a cache.
        device: `cpu`, or `cuda` for the GPU that a worker sees.
    """

    data: Dataset
    recipe: ProxyRecipe
    threads: int
    checkpoints: Path | None
    device: Literal["cpu", "cuda"] = "cpu"
    _resized: dict[int, Dataset] = field(default_factory=dict)

    def perform(self, task: Task) -> Score:
        """Train and validate; a failure is a score with its reason."""
        from mnas.training import confirm_score, evaluate  # torch, which only who works needs

        data = self._at(task.architecture.input.resolution)
        if task.stage == "proxy":
            return evaluate(
                task.architecture,
                data=data,
                recipe=self.recipe,
                epochs=task.epochs,
                seed=task.seed,
                threads=self.threads,
                device=self.device,
                checkpoints=self.checkpoints,
            )
        return confirm_score(
            task.architecture,
            data=data,
            recipe=self.recipe,
            epochs=task.epochs,
            seed=task.seed,
            threads=self.threads,
            device=self.device,
            weights_to=task.weights_to,
        )

    def score_untrained(self, arch: Architecture, seed: int) -> Score:
        """The score of the recipe's filter, in place of an accuracy; or why there is none.

        With one thread and on the processor, whatever the trainings have.
        """
        from mnas.training import score_untrained

        assert self.recipe.filter is not None
        name = self.recipe.filter.score
        value, reason, trace = None, None, None
        data = self._at(arch.input.resolution)
        images = min(_UNTRAINED_IMAGES, len(data.train))
        with machine_lock(alone=False):
            started = time.monotonic()
            try:
                value = score_untrained(arch, name, data=data, seed=seed, images=images)
            except Exception as error:  # whatever a score of one's own raises is a result
                reason, trace = f"exception: the score {name}: {error!r}", traceback.format_exc()
        return Score(
            accuracy=value,
            epochs=0,
            seed=seed,
            seconds=time.monotonic() - started,
            state="complete" if reason is None else "failed",
            reason=reason,
            traceback=trace,
        )

    def _at(self, resolution: int) -> Dataset:
        if resolution not in self._resized:
            self._resized[resolution] = self.data.resized(resolution)
        return self._resized[resolution]
