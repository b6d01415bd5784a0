"""The files of a run directory that are not records: the experiment, the environment."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mnas.arch import MnasError, write_atomically
from mnas.search.experiment import InvalidExperimentError, differing_keys
from mnas.space import read_yaml


def open_folder(directory: Path, experiment: Mapping[str, Any]) -> None:
    """Make the folder of a run, or make sure that it holds the same experiment.

    Args:
        directory: Of the run.
        experiment: Resolved, as JSON types.

    Raises:
        InvalidExperimentError: It holds a different experiment; names the keys that differ.
        MnasError: The folder cannot be made.
    """
    path = directory / "experiment.yaml"
    if path.is_file():
        keys = differing_keys(read_yaml(path).value, experiment)
        if keys:
            raise InvalidExperimentError(
                f"{directory} holds a run of a different experiment; these keys differ: "
                f"{', '.join(keys)}. Resume it with its own experiment (only search.trials, "
                "search.hours and workers may change), or choose another folder."
            )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MnasError(
            f"cannot make the folder of the run, {directory}: {error.strerror}; choose another"
        ) from None


def write_experiment(directory: Path, experiment: Mapping[str, Any]) -> None:
    """Write `experiment.yaml`, every default written out."""
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(dict(experiment), text)
    write_atomically(directory / "experiment.yaml", text.getvalue())


def write_environment(directory: Path, environment: Mapping[str, Any]) -> None:
    """Write `environment.json`."""
    write_atomically(directory / "environment.json", json.dumps(environment, indent=1) + "\n")


def earlier_seconds(directory: Path) -> dict[str, float]:
    """The seconds that earlier sessions of a run spent in each phase; empty if there were none."""
    try:
        environment = json.loads((directory / "environment.json").read_text())
        return {str(phase): float(value) for phase, value in environment["seconds"].items()}
    except (FileNotFoundError, json.JSONDecodeError, KeyError, AttributeError):
        return {}
