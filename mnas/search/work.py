"""The work of one worker: a pure function of its task, whoever does it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mnas.arch import Architecture
from mnas.training import Dataset, ProxyRecipe, Score


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

    def _at(self, resolution: int) -> Dataset:
        if resolution not in self._resized:
            self._resized[resolution] = self.data.resized(resolution)
        return self._resized[resolution]
