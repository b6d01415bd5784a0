"""The experiment file (schema `mnas.experiment/1`): what to search, on what, scored how."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from mnas.arch import Fault, MnasError, did_you_mean, shipped_folder
from mnas.arch.documents import faults_of
from mnas.search.overrides import InvalidExperimentError, Override, parse_override, told
from mnas.search.sections import (
    NAME_PATTERN,
    OBJECTIVES,
    PUBLISHED,
    ConfirmSection,
    ConstraintsSection,
    Door,
    Objective,
    RewardSection,
    SearchSection,
    TargetSection,
    WorkersSection,
)
from mnas.space import YamlDocument, read_yaml
from mnas.training import DataSpec, FullRecipe, ProxyRecipe

# What may differ when a run is continued: how long, and with whom; not what is searched.
CHANGEABLE = ("search.trials", "search.hours", "search.patience", "workers", "mirror")
# Another way to the same device, which says itself that it is the same; of a target.
_WAY = ("address", "python")
CHANGEABLE_IN_WORDS = (
    ", ".join(CHANGEABLE) + " and the address and python of a target, but not to another command,"
)


class Experiment(Door):
    """One search, completely described; inputs are absolute paths or shipped names.

    Raises:
        InvalidExperimentError: By `load_experiment`, with every fault at once.
    """

    schema_: Literal["mnas.experiment/1"] = Field(alias="schema")
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    space: str
    data: DataSpec
    proxy: ProxyRecipe
    targets: Annotated[list[TargetSection], Field(min_length=1)]
    constraints: ConstraintsSection = ConstraintsSection()
    objectives: Annotated[list[Objective], Field(min_length=1)] | RewardSection
    search: SearchSection = SearchSection()
    baselines: Annotated[list[str], Field(default=[])]
    confirm: ConfirmSection = ConfirmSection()
    train: FullRecipe = FullRecipe()
    workers: WorkersSection = WorkersSection()
    warm_start: Annotated[list[str], Field(default=[])]
    mirror: str | None = None

    @field_validator("targets")
    @classmethod
    def _targets_have_names(cls, targets: list[TargetSection]) -> list[TargetSection]:
        names = [target.name for target in targets]
        if len(set(names)) != len(names):
            raise ValueError(f"names must differ; got {', '.join(names)}")
        unused = [each.name for each in targets[1:] if not each.is_here and each.table != "auto"]
        if unused:
            raise ValueError(
                f"the address of {', '.join(unused)} would never be used: the first target alone "
                "is timed end to end, and its table is there already. Leave it out, name that "
                "target first, or let it be measured (`table: auto`)"
            )
        return targets

    @field_validator("baselines")
    @classmethod
    def _baselines_differ(cls, baselines: list[str]) -> list[str]:
        if len(set(baselines)) != len(baselines):
            raise ValueError(f"names must differ; got {', '.join(baselines)}")
        return baselines

    @field_validator("objectives")
    @classmethod
    def _objectives_are_possible(
        cls, objectives: list[Objective] | RewardSection, info: ValidationInfo
    ) -> list[Objective] | RewardSection:
        targets = info.data.get("targets")
        if isinstance(objectives, RewardSection):
            if targets and targets[0].budget_ms is None:
                raise ValueError("a reward needs budget_ms on the first target; got null")
        elif "accuracy" not in objectives or len(set(objectives)) != len(objectives):
            raise ValueError(
                "must hold accuracy, and each of the others at most once "
                f"({', '.join(OBJECTIVES[1:])}), or be a reward such as {{reward: mnasnet}}; got "
                f"[{', '.join(objectives)}]"
            )
        return objectives

    @field_validator("warm_start")
    @classmethod
    def _warm_start_differs(cls, warm_start: list[str]) -> list[str]:
        if len(set(warm_start)) != len(warm_start):
            raise ValueError(f"runs must differ; got {', '.join(warm_start)}")
        return warm_start

    @field_validator("mirror")
    @classmethod
    def _mirror_is_an_address(cls, mirror: str | None) -> str | None:
        if mirror is not None and not re.fullmatch(r"[a-z0-9+]+://.+", mirror):
            raise ValueError(
                "must be null or the address of an Optuna storage, such as sqlite:///mirror.db; "
                f"got {mirror!r}"
            )
        return mirror

    def resolved(self) -> dict[str, Any]:
        """The whole experiment as JSON types, every default written out."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def target(self) -> TargetSection:
        """The first target: the one that is timed end to end."""
        return self.targets[0]


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment file, apply overrides and resolve its inputs.

    Args:
        path: A file, the bare name of a shipped experiment such as `quickstart`, or a run.
        overrides: `key=value` texts with dotted keys; values are read as YAML. Paths in them are
            relative to the file, like the ones inside it.

    Returns:
        The experiment; relative inputs became absolute, shipped names stayed names.

    Raises:
        InvalidExperimentError: The file or an override is wrong; all faults at once.
    """
    file = _find(path)
    document = read_yaml(file)
    if not isinstance(document.value, dict):
        raise InvalidExperimentError.at(
            f"{file} is not an experiment:", "", "must be a mapping of keys to values"
        )
    value = document.value
    if value.get("schema") == "mnas.optimize/1":
        raise InvalidExperimentError(
            f"{file} was written by mnas.optimize: that search goes on by the same call in Python"
        )
    changes = [parse_override(text) for text in overrides]
    for override in changes:
        value = override.applied_to(value)
    try:
        experiment = Experiment.model_validate_json(json.dumps(value, default=str))
    except ValidationError as error:
        raise InvalidExperimentError(
            f"{file} is not an experiment (schema mnas.experiment/1):",
            _faults(error, document, changes),
        ) from None
    return _with_absolute_inputs(experiment, file.parent.resolve())


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Dotted keys in which two resolved experiments differ, but for those that may change."""
    old, new = _flat(before), _flat(after)
    keys = {key for key in {**old, **new} if old.get(key, ...) != new.get(key, ...)}
    return sorted(
        key
        for key in keys
        if not any(f"{key}.".startswith(f"{free}.") for free in CHANGEABLE)
        and not _is_another_way(key, new.get(key))
    )


def _is_another_way(key: str, value: Any) -> bool:
    """Whether a key is the way to a device that can say whether it is the same: no command is."""
    is_way = re.fullmatch(rf"targets\.\d+\.({'|'.join(_WAY)})", key) is not None
    return is_way and not str(value).startswith("cmd:")


def _find(path: str | Path) -> Path:
    file = Path(path).expanduser()
    if file.is_dir():
        file = file / "experiment.yaml"  # a run: it holds its experiment
    shipped = shipped_folder("experiments")
    if not file.exists() and len(file.parts) == 1 and not file.suffix:
        candidate = shipped / f"{file}.yaml"
        if candidate.exists():
            return candidate
    if not file.exists():
        known = sorted(each.stem for each in shipped.glob("*.yaml"))
        raise InvalidExperimentError(
            f"there is no experiment file {file}{did_you_mean(file.stem, known)}; "
            f"give a path, or the name of a shipped experiment: {', '.join(known)}"
        )
    return file


def _faults(
    error: ValidationError, document: YamlDocument, changes: Sequence[Override]
) -> list[Fault]:
    faults = faults_of(error, Experiment, lambda place, is_key: document.locate(place, key=is_key))
    kept = [fault for fault in faults if "RewardSection" not in fault.place] or faults
    return [told(fault, _without_tags(fault.place), changes) for fault in kept]


def _without_tags(place: str) -> str:
    parts = [part for part in place.split(".") if not part.startswith(("list[", "constrained"))]
    return ".".join(part for part in parts if part != "RewardSection")


def _with_absolute_inputs(experiment: Experiment, folder: Path) -> Experiment:
    resolved = experiment.resolved()
    resolved["space"] = _absolute_space(experiment.space, folder)
    if experiment.data.path is not None:
        resolved["data"]["path"] = str(_absolute(experiment.data.path, folder))
    for target in resolved["targets"]:
        if target["table"] != "auto":
            table = _absolute(target["table"], folder)
            if not table.is_file():
                raise MissingTableError(
                    f"there is no latency table {table} (targets: {target['name']}); give the path "
                    "of a table, or `table: auto` to measure one on this machine"
                )
            target["table"] = str(table)
    resolved["warm_start"] = [
        entry if entry == PUBLISHED else str(_absolute(entry, folder))
        for entry in experiment.warm_start
    ]
    resolved["baselines"] = [_absolute_network(name, folder) for name in experiment.baselines]
    return Experiment.model_validate_json(json.dumps(resolved))


class MissingTableError(MnasError):
    """A latency table that an experiment names and that is not there."""


def _absolute(path: str, folder: Path) -> Path:
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else (folder / expanded).resolve()


def _absolute_space(name: str, folder: Path) -> str:
    path = _absolute(name, folder)
    is_name = len(Path(name).parts) == 1 and not Path(name).suffix
    return name if is_name and not path.is_file() else str(path)


def _absolute_network(name: str, folder: Path) -> str:
    return str(_absolute(name, folder)) if name.endswith(".json") else name


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        value = {str(index): each for index, each in enumerate(value)}
    if isinstance(value, Mapping) and value:
        flat: dict[str, Any] = {}
        for key, inner in value.items():
            flat |= _flat(inner, f"{prefix}{key}.")
        return flat
    if isinstance(value, float) and value.is_integer() and math.isfinite(value):
        value = int(value)  # 1 and 1.0 in two files are one number
    return {prefix.removesuffix("."): value}
