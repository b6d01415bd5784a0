"""Full training of a network that a run found, with the data and the recipe of its experiment."""

from collections.abc import Callable
from pathlib import Path

from mnas.arch import Architecture
from mnas.results import Run
from mnas.search.experiment import load_experiment
from mnas.training import TrainedNetwork, load_data, train_network

Progress = Callable[[int, int, str], None]


def _silent(done: int, total: int, text: str) -> None:
    """Show nothing."""


def picked(run: Run, pick: str) -> Architecture:
    """The architecture that `--pick` names: `best`, or an id.

    Raises:
        RunError: The run has none such.
    """
    return run.best() if pick == "best" else run.architecture(pick)


def train_run(
    directory: str | Path, *, pick: str = "best", progress: Progress = _silent
) -> TrainedNetwork:
    """Train a network of a run with the full recipe; the same call resumes.

    Args:
        directory: Of the run.
        pick: `best` (the winner of the comparison, or the best trial before there is one), or
            an id.
        progress: Told epochs done, epochs in all, and one line.

    Returns:
        What came of it; weights and `training.json` are in `checkpoints/train-<id>`.

    Raises:
        RunError: The folder is no run, or has no such network.
        DataError: The data of the experiment is not there.
    """
    run = Run.load(directory)
    arch = picked(run, pick)
    experiment = load_experiment(Path(directory) / "experiment.yaml")
    progress(0, 0, experiment.data.announcement)
    data = load_data(
        experiment.data,
        arch.input.resolution,
        progress=lambda done, total: progress(done, total, "decoding images"),
    )
    return train_network(
        arch,
        data=data,
        recipe=experiment.train,
        seed=experiment.search.seed,
        directory=Path(directory) / "checkpoints" / f"train-{arch.id}",
        threads=experiment.workers.cpus * experiment.workers.count,
        device=experiment.workers.device,
        progress=progress,
    )
