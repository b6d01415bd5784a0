"""Run: what a search left behind, loaded from its directory without torch, optuna or ray."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mnas.arch import Architecture, UnknownNameError
from mnas.results.candidates import (
    Candidate,
    as_record,
    at_rung,
    at_top_rung,
    best_of,
    confirmed,
    front_of,
    rungs,
)
from mnas.results.errors import RunError
from mnas.results.record import Record
from mnas.results.store import RecordStore, architecture_of

if TYPE_CHECKING:
    from pandas import DataFrame

_FILES = {
    "experiment.yaml": "the resolved experiment",
    "environment.json": "versions and hashes",
    "records.db": "the evaluations",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A search, finished or not, as it was when it was loaded.

    Attributes:
        directory: Its folder; None for a run that was only in memory.
        experiment: The resolved experiment, keys as in its file.
        environment: Versions, commit, host, hashes, tables, seconds, command.
        evaluations: Every record, in the order added.
        documents: The document of every architecture by its id.
        verdict: What the confirmation found (`verdict.json`); None before its end.
    """

    directory: Path | None = None
    experiment: dict[str, Any]
    environment: dict[str, Any]
    evaluations: tuple[Record, ...]
    documents: Mapping[str, str]
    verdict: dict[str, Any] | None = None

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read a run directory; one that is being written may be read too.

        Args:
            directory: Folder with `experiment.yaml`, `environment.json` and `records.db`.

        Raises:
            RunError: The folder is no run (says what is missing), or a file of it is damaged.
            InvalidFileError: `experiment.yaml` cannot be read.
        """
        from mnas.space import read_yaml

        folder = Path(directory)
        _require_files(folder)
        experiment = read_yaml(folder / "experiment.yaml").value
        if not isinstance(experiment, dict):
            raise RunError(f"{folder / 'experiment.yaml'} must hold keys, not {experiment!r:.80}")
        environment = _read_object(folder / "environment.json")
        verdict_file = folder / "verdict.json"
        with RecordStore(folder / "records.db", read_only=True) as store:
            return cls(
                directory=folder,
                experiment=experiment,
                environment=environment,
                evaluations=tuple(store.all()),
                documents=store.documents(),
                verdict=_read_object(verdict_file) if verdict_file.exists() else None,
            )

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(
            self.experiment.get("name") or (self.directory.name if self.directory else "run")
        )

    @property
    def budgets(self) -> dict[str, float | None]:
        """Every target and its latency budget in milliseconds, in the experiment's order."""
        declared = self.experiment.get("targets") or []
        budgets: dict[str, float | None] = {
            str(target["name"]): target.get("budget_ms")
            for target in declared
            if isinstance(target, Mapping) and "name" in target
        }
        for record in self.evaluations:
            for name in record.latency_ms:
                budgets.setdefault(name, None)
        return budgets

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the devices, in the experiment's order."""
        return tuple(self.budgets)

    def records(self) -> "DataFrame":
        """One row per evaluation, with the columns of `records.csv`."""
        from mnas.results.frames import records_frame

        return records_frame(self.evaluations, self.targets)

    def front(self) -> "DataFrame":
        """The architectures that no other beats, one row each, from the fastest.

        Compared are the trials within every budget at the highest rung that any completed, by
        accuracy and by the latency of each target (and by counts among the experiment's
        objectives).
        """
        from mnas.results.frames import records_frame

        return records_frame([as_record(one) for one in self.front_candidates()], self.targets)

    def front_candidates(self) -> list[Candidate]:
        """The front as candidates, from the fastest; see `front`."""
        objectives = self.experiment.get("objectives")
        counts = objectives if isinstance(objectives, list) else ()
        return front_of(self._within(at_top_rung(self.evaluations)), self.targets, counts)

    def stages(self) -> list[tuple[str, Sequence[Candidate]]]:
        """Name and candidates of the stages that count for `best`, the most trustworthy first."""
        seeds = (self.experiment.get("confirm") or {}).get("seeds") or 1
        ladder = rungs(self.evaluations)
        compared = [entry.get("id") for entry in (self.verdict or {}).get("confirmed") or []]
        return [
            (  # once there is a verdict, only what it compared: a run may have been extended
                "confirm",
                [
                    candidate
                    for candidate in self._within(confirmed(self.evaluations, seeds=seeds))
                    if not compared or candidate.id in compared
                ],
            ),
            *(
                ("proxy", self._within(at_rung(self.evaluations, each)))
                for each in reversed(ladder)
            ),
        ]

    def best(self, latency_ms: float | None = None, target: str | None = None) -> Architecture:
        """The network with the highest mean validation accuracy at the highest completed stage.

        Confirmation stands above the proxy's rungs, and a higher rung above a lower one.
        Infeasible and failed networks, baselines, and confirmed networks that measured over the
        budget are not considered.

        Args:
            latency_ms: Only networks at most this slow, in milliseconds, measured if they were
                measured and else predicted; None for the experiment's own budgets.
            target: The device that `latency_ms` is about; needed if there are several.

        Raises:
            RunError: No network qualifies, or several targets and none is named.
            UnknownNameError: The run has no such target.
        """
        return self.architecture(self.best_candidate(latency_ms, target)[1].id)

    def best_candidate(
        self, latency_ms: float | None = None, target: str | None = None
    ) -> tuple[str, Candidate]:
        """The stage and the candidate behind `best`, with its accuracies; see there."""
        within = {} if latency_ms is None else {self._target(target): latency_ms}
        if target is not None and target not in self.targets:
            raise UnknownNameError("target", target, self.targets)
        found = best_of(self.stages(), within=within, dropped=self._dropped())
        if found is None:
            raise RunError(self._why_no_best(within))
        return found

    def architecture(self, architecture_id: str) -> Architecture:
        """The architecture of that id.

        Raises:
            RunError: The run has none of that id.
        """
        return architecture_of(
            architecture_id,
            self.documents.get(architecture_id),
            str(self.directory or "the run"),
        )

    def _within(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Those predicted within every budget; a soft reward or another device has others too."""
        limits = {name: ms for name, ms in self.budgets.items() if ms is not None}
        return [
            candidate
            for candidate in found
            if all(candidate.record.latency_ms.get(name, 0.0) <= ms for name, ms in limits.items())
        ]

    def _target(self, target: str | None) -> str:
        if target is not None:
            return target
        if len(self.targets) != 1:
            known = ", ".join(self.targets) or "none"
            raise RunError(f"say which target latency_ms is about; targets of this run: {known}")
        return self.targets[0]

    def _dropped(self) -> frozenset[str]:
        return frozenset(str(entry.get("id")) for entry in self._dropped_entries())

    def _dropped_entries(self) -> list[Mapping[str, Any]]:
        dropped = (self.verdict or {}).get("dropped") or []
        return [entry for entry in dropped if isinstance(entry, Mapping)]

    def _why_no_best(self, within: Mapping[str, float]) -> str:
        evaluations = [record for record in self.evaluations if record.kind != "baseline"]
        filtered = sum(record.is_filtered for record in evaluations)
        states = [record.state for record in evaluations if not record.is_filtered]
        limit = "".join(f" within {ms:g} ms on {target}" for target, ms in within.items())
        untimed = sum(entry.get("reason") is not None for entry in self._dropped_entries())
        over = len(self._dropped_entries()) - untimed
        return (
            f"{self.directory or 'the run'} has no scored feasible network{limit}: "
            f"{states.count('complete')} evaluations complete, "
            f"{states.count('infeasible')} infeasible, {states.count('failed')} failed"
            + (f", {filtered} turned away by the filter" if filtered else "")
            + (f", {over} measured over the budget" if over else "")
            + (f", {untimed} could not be timed" if untimed else "")
        )


def safe_id(architecture_id: str) -> str:
    """The id, made sure that it can be a file's name.

    Raises:
        RunError: It is not 12 hex digits.
    """
    if not re.fullmatch(r"[0-9a-f]{12}", architecture_id):
        raise RunError(f"an architecture's id is 12 hex digits; got {architecture_id!r}")
    return architecture_id


def _require_files(folder: Path) -> None:
    if not folder.is_dir():
        raise RunError(f"{folder} is no run directory: there is no such folder")
    missing = [f"{name} ({what})" for name, what in _FILES.items() if not (folder / name).is_file()]
    if missing:
        raise RunError(
            f"{folder} is no run directory: it has no {', no '.join(missing)}. "
            "A run directory is what `mnas search` writes."
        )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} must hold a JSON object; got {type(value).__name__}")
    return value
