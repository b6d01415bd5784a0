"""The files of a run directory that are not records: the experiment, the environment."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from mnas.arch import MnasError, write_atomically
from mnas.search.experiment import CHANGEABLE_IN_WORDS, Experiment, differing_keys
from mnas.search.overrides import InvalidExperimentError
from mnas.space import read_yaml


def refuse_other_experiment(directory: Path, experiment: Mapping[str, Any]) -> None:
    """Make sure that a folder holds no run, or one of the same experiment.

    Args:
        directory: Of the run.
        experiment: Resolved, as JSON types.

    Raises:
        InvalidExperimentError: It holds a different experiment; names the keys that differ.
    """
    path = directory / "experiment.yaml"
    if not path.is_file():
        return
    keys = differing_keys(_completed(read_yaml(path).value), experiment)
    if keys:
        raise InvalidExperimentError(
            f"{directory} holds a run of a different experiment; these keys differ: "
            f"{', '.join(keys)}. Resume it with its own experiment (only {CHANGEABLE_IN_WORDS} "
            "may change), or choose another folder."
        )


def _completed(before: Any) -> Any:
    """An experiment as it was written, with the defaults of keys that it does not have."""
    try:
        return Experiment.model_validate_json(json.dumps(before)).resolved()
    except ValidationError:
        return before


def refuse_other_inputs(directory: Path, hashes: Mapping[str, str]) -> None:
    """Make sure that a run goes on with the content it began with, whatever the paths say.

    Args:
        directory: Of the run, if there is one.
        hashes: Of `data`, `space` and `recipe`.

    Raises:
        InvalidExperimentError: One of them changed; names both sides. Or the run was rescored.
    """
    environment = _environment(directory)
    if "rescored_from" in environment:
        raise InvalidExperimentError(
            f"{directory} holds the trials of another search, scored again on another device; it "
            "is not searched on. Begin a search for that device with `warm_start: "
            f"[{environment['rescored_from']}]`."
        )
    before = environment.get("hashes", {})
    changed = [
        f"{name} was {before[name]:.12}, is now {digest:.12}"
        for name, digest in hashes.items()
        if before.get(name, digest) != digest
    ]
    if changed:
        raise InvalidExperimentError(
            f"{directory} was begun with other content: {'; '.join(changed)}. Bring it back, or "
            "choose another folder; records of two searches must not mix."
        )


def make_folder(directory: Path) -> None:
    """Make the folder of a run.

    Raises:
        MnasError: It cannot be made; says why.
    """
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
    seconds = _environment(directory).get("seconds", {})
    return {str(phase): float(value) for phase, value in seconds.items()}


def _environment(directory: Path) -> dict[str, Any]:
    try:
        environment = json.loads((directory / "environment.json").read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return environment if isinstance(environment, dict) else {}
