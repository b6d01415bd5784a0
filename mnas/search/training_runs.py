"""Full training of a network: one that a run found, or one that a person brings."""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mnas.arch import Architecture, MnasError
from mnas.arch.documents import faults_of
from mnas.results import Run, write_training_page
from mnas.search.experiment import load_experiment
from mnas.search.overrides import InvalidExperimentError, parse_override, told
from mnas.search.sections import Door
from mnas.training import (
    Dataset,
    DataSpec,
    FullRecipe,
    MetricsLogger,
    OtherTrainingError,
    TrainedNetwork,
    load_data,
    train_network,
)

Progress = Callable[[int, int, str], None]
_logger = logging.getLogger(__name__)
_OF_A_RUN = ("train", "workers")  # what of an experiment may differ from the run's own


class _Request(Door):
    """What `key=value` may say about the training of an architecture document."""

    data: DataSpec
    train: FullRecipe = FullRecipe()
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=1)]
    device: Literal["cpu", "cuda"] = "cpu"


def _silent(done: int, total: int, text: str) -> None:
    """Show nothing."""


def picked(run: Run, pick: str) -> Architecture:
    """The architecture that `--pick` names: `best`, or an id.

    Raises:
        RunError: The run has none such.
    """
    return run.best() if pick == "best" else run.architecture(pick)


def train_run(
    directory: str | Path,
    overrides: Iterable[str] = (),
    *,
    pick: str = "best",
    processes: int = 1,
    loggers: Sequence[MetricsLogger] = (),
    progress: Progress = _silent,
) -> TrainedNetwork:
    """Train a network of a run with the full recipe; the same call resumes.

    Args:
        directory: Of the run.
        overrides: `key=value` texts that set keys of `train` and `workers` otherwise.
        pick: `best` (the winner of the comparison, or the best trial before there is one), or
            an id.
        processes: How many train it; they share the workers' processors.
        loggers: Told each epoch's metrics as well.
        progress: Told epochs done, epochs in all, and one line.

    Returns:
        What came of it. Weights, `training.json` and `training.html` are in
        `checkpoints/train-<id>`; with another recipe than the run's, `-<digest>` follows.

    Raises:
        RunError: The folder is no run, or has no such network.
        DataError: The data of the experiment is not there.
        InvalidExperimentError: An override is wrong, or of something that a run cannot change.
    """
    run = Run.load(directory)
    arch = picked(run, pick)
    overrides, file = list(overrides), Path(directory) / "experiment.yaml"
    _require_of_a_run(overrides)
    own, experiment = load_experiment(file), load_experiment(file, overrides)
    changed = f"-{experiment.train.digest}" if experiment.train != own.train else ""
    workers = experiment.workers
    folder = Path(directory) / "checkpoints" / f"train-{arch.id}{changed}"
    with page_drawn_after(folder):
        return train_network(
            arch,
            data=_loaded(experiment.data, arch, progress),
            recipe=experiment.train,
            seed=experiment.search.seed,
            directory=folder,
            threads=_share(workers.cpus * workers.count, processes),
            processes=processes,
            device=workers.device,
            loggers=loggers,
            progress=progress,
        )


def train_architecture(
    arch: Architecture,
    overrides: Iterable[str] = (),
    *,
    data: DataSpec,
    directory: str | Path,
    processes: int = 1,
    loggers: Sequence[MetricsLogger] = (),
    progress: Progress = _silent,
) -> TrainedNetwork:
    """Train a network that no run found, on data of its own; the same call resumes.

    Args:
        arch: Has the channels and classes of the data.
        overrides: `key=value` texts: `train.epochs=20`, `data.val=5000` with the keys of an
            experiment file's `train` and `data`; `seed=1`; `device=cuda`; `threads=4`, torch's
            threads of each process, by default all processors that this process may use.
        data: Where the images are and how they are divided.
        directory: Made if it is not there; gets weights, `training.json` and `training.html`.
        processes: How many train it.
        loggers: Told each epoch's metrics as well.
        progress: Told epochs done, epochs in all, and one line.

    Returns:
        What came of it.

    Raises:
        InvalidExperimentError: An override is wrong; all faults at once.
        DataError: The data is not there.
        MnasError: As `train_network`.
    """
    request = _requested(data, list(overrides), threads=_share(_usable_cpus(), processes))
    with page_drawn_after(Path(directory)):
        return train_network(
            arch,
            data=_loaded(request.data, arch, progress),
            recipe=request.train,
            seed=request.seed,
            directory=Path(directory),
            threads=request.threads,
            processes=processes,
            device=request.device,
            loggers=loggers,
            progress=progress,
        )


def divided_data(data: DataSpec, overrides: Iterable[str]) -> DataSpec:
    """Say how data is divided.

    Args:
        data: Where it is.
        overrides: `key=value` texts such as `data.val=5000` and `data.seed=1`.

    Raises:
        InvalidExperimentError: An override is wrong, or of something else; all faults at once.
    """
    texts = list(overrides)
    strange = [text for text in texts if not parse_override(text).key.startswith("data.")]
    if strange:
        raise InvalidExperimentError(
            f"only keys of data can be set here, such as data.val=5000; got {', '.join(strange)}"
        )
    return _requested(data, texts, threads=1).data


def _require_of_a_run(overrides: list[str]) -> None:
    for text in overrides:
        key = parse_override(text).key
        if key.split(".")[0] not in _OF_A_RUN:
            raise InvalidExperimentError(
                f"{key} of a run cannot be set otherwise for its training, only "
                f"{' and '.join(f'{name}.*' for name in _OF_A_RUN)}, such as train.epochs=60"
            )


def _requested(data: DataSpec, overrides: list[str], *, threads: int) -> _Request:
    changes = [parse_override(text) for text in overrides]
    for change in changes:
        if change.key in ("data", "data.source", "data.path"):
            raise InvalidExperimentError(
                f"{change.key} of an architecture document is said by --data SOURCE[:PATH]"
            )
    document: Any = {"data": asdict(data), "threads": threads}
    for change in changes:
        document = change.applied_to(document)
    try:
        return _Request.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        raise InvalidExperimentError(
            "this training (keys data, train, seed, threads and device) cannot be done:",
            [told(fault, fault.place, changes) for fault in faults_of(error, _Request)],
        ) from None


def _usable_cpus() -> int:
    """Processors that this process may use: fewer than there are under taskset or a job system."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _share(cpus: int, processes: int) -> int:
    return max(cpus // max(processes, 1), 1)


def _loaded(spec: DataSpec, arch: Architecture, progress: Progress) -> Dataset:
    progress(0, 0, spec.announcement)
    return load_data(
        spec,
        arch.input.resolution,
        progress=lambda done, total: progress(done, total, "decoding images"),
    )


@contextlib.contextmanager
def page_drawn_after(directory: Path) -> Iterator[None]:
    """However a training ends, its page shows how far it came.

    Nothing that is wrong with the page hides how the training ended.
    """
    ours = True
    try:
        yield
    except OtherTrainingError:
        ours = False
        raise
    finally:
        if ours and (directory / "last.safetensors").is_file():
            try:
                write_training_page(directory)
            except MnasError as error:
                _logger.warning("the page of the training was not drawn: %s", error)
