"""The same trials on another device: nothing is trained, nothing of the run is executed."""

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mnas.arch import Architecture, write_atomically
from mnas.latency import LatencyTable
from mnas.results.candidates import at_top_rung
from mnas.results.errors import RunError
from mnas.results.record import Record
from mnas.results.report import write_report
from mnas.results.runs import Run
from mnas.results.store import RecordStore
from mnas.results.writing import directory_of, write_front_csv, write_network, write_records_csv

_MOST_PREDICTED = 0.2  # of a network's time from blocks that the table does not hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored:
    """A run seen from another device.

    Attributes:
        run: The trials with the latencies of that device alone, in a folder of its own.
        target: Its name.
        within: Networks at the highest rung that keep the budget; all of them without one.
        untrained: Networks that the original limits (not a filter) ruled out before training and
            that would keep the new budget: unknown accuracies, a reason to search there; 0 without
            a budget.
        kept_of_front: Networks of the original front that are on the new one.
        front: Networks on the new front.
        predicted_share: Mean share of the latency of the front that comes from blocks which the
            table does not hold, in [0, 1].
    """

    run: Run
    target: str
    within: int
    untrained: int
    kept_of_front: int
    front: int
    predicted_share: float

    @property
    def is_well_covered(self) -> bool:
        """Whether the table holds most of what the front is made of."""
        return self.predicted_share <= _MOST_PREDICTED


def rescore(
    run: Run,
    table: LatencyTable,
    *,
    budget_ms: float | None = None,
    name: str | None = None,
    directory: str | Path | None = None,
) -> Rescored:
    """Score a finished or stopped search again on another device.

    Accuracies are kept, since they do not depend on the device; latencies are predicted from the
    table. What was measured end to end on the first device, and its verdict, is left out.

    Args:
        run: As loaded; it is not changed.
        table: Of the other device. Blocks that it does not hold are predicted.
        budget_ms: Highest latency there, in milliseconds: front and best keep it.
        name: Of the target; default the table's own.
        directory: Where to write; default `rescored/<name>` in the run's folder. An earlier
            rescoring there is replaced.

    Raises:
        RunError: The run has no directory and none is given, holds nothing to score, or the
            folder holds something else.
    """
    target = name or table.target.name
    folder = _folder(run, target, directory)
    if not run.evaluations:
        raise RunError(f"{run.directory or 'the run'} holds no evaluation to score again")
    records, shares = _records(run, table, target)
    experiment = _experiment(run, table, target, budget_ms, folder)
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        _write(run, records, staging, experiment, table, target)
        again = Run.load(staging)
        write_records_csv(again)
        write_front_csv(again)
        for candidate in again.front_candidates():
            write_network(again, candidate.id)
        write_report(again)
        shutil.rmtree(folder, ignore_errors=True)
        staging.replace(folder)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    again = Run.load(folder)
    front = {candidate.id for candidate in again.front_candidates()}
    budget = float("inf") if budget_ms is None else budget_ms
    trained = {record.id for record in records if record.state != "infeasible"}
    fitting = {
        record.id
        for record in records
        if record.state == "infeasible"
        and not record.is_filtered
        and record.latency_ms[target] <= budget
    }
    return Rescored(
        run=again,
        target=target,
        within=sum(
            one.record.latency_ms[target] <= budget for one in at_top_rung(again.evaluations)
        ),
        untrained=0 if budget_ms is None else len(fitting - trained),
        kept_of_front=len(front & {candidate.id for candidate in run.front_candidates()}),
        front=len(front),
        predicted_share=sum(shares[each] for each in front) / len(front) if front else 0.0,
    )


def _folder(run: Run, target: str, directory: str | Path | None) -> Path:
    if directory is None:
        return directory_of(run) / "rescored" / target
    folder = Path(directory)
    if folder.exists() and not _is_rescored(folder):
        raise RunError(f"{folder} is there already and is no rescored run; choose another folder")
    return folder


def _is_rescored(folder: Path) -> bool:
    try:
        return "rescored_from" in json.loads((folder / "environment.json").read_text())
    except (OSError, ValueError):
        return False


def _records(run: Run, table: LatencyTable, target: str) -> tuple[list[Record], dict[str, float]]:
    """The evaluations with the table's latencies, and for each network the predicted share."""
    latencies = {
        each: table.predict(Architecture.from_json(document))
        for each, document in run.documents.items()
    }
    records = [
        replace(
            record,
            latency_ms={target: found.ms},
            measured_ms={},
            margin_ms={}
            if found.low_ms is None or found.high_ms is None
            else {target: (found.low_ms, found.high_ms)},
        )
        for record in run.evaluations
        for found in [latencies[record.id]]
    ]
    return records, {each: found.predicted_share for each, found in latencies.items()}


def _experiment(
    run: Run, table: LatencyTable, target: str, budget_ms: float | None, folder: Path
) -> dict[str, Any]:
    objectives = run.experiment.get("objectives")
    return {
        **run.experiment,
        # A reward was about the first device; here it is the front of accuracy and latency.
        "objectives": objectives if isinstance(objectives, list) else ["accuracy", "latency"],
        "targets": [
            {
                "name": target,
                "runtime": table.target.runtime,
                "threads": table.target.threads,
                "dtype": table.target.dtype,
                "table": str(folder.resolve() / "tables" / f"{target}.csv"),
                "budget_ms": budget_ms,
            }
        ],
    }


def _write(
    run: Run,
    records: list[Record],
    folder: Path,
    experiment: Mapping[str, Any],
    table: LatencyTable,
    target: str,
) -> None:
    folder.mkdir(parents=True)
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(dict(experiment), text)
    write_atomically(folder / "experiment.yaml", text.getvalue())
    hashes = {**(run.environment.get("hashes") or {}), "tables": {target: table.digest}}
    environment = {
        **run.environment,
        "hashes": hashes,
        "tables": {target: {"device": table.device, "runtime": table.target.runtime}},
        "rescored_from": str(run.directory.resolve()) if run.directory else None,
    }
    write_atomically(folder / "environment.json", json.dumps(environment, indent=1) + "\n")
    table.save(folder / "tables" / f"{target}.csv")
    with RecordStore(folder / "records.db") as store:
        store.add_all((record, run.documents[record.id]) for record in records)
