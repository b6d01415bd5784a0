"""Export from a run directory: the chosen network, its trained weights, its target and table."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from mnas.arch import Architecture
from mnas.arch.documents import faults_of
from mnas.export.errors import ExportError
from mnas.export.exporting import export_network, no_progress
from mnas.export.finding import exporters_of
from mnas.export.images import Progress
from mnas.export.manifest import Manifest
from mnas.export.timing import target_for, timed_format
from mnas.latency import LatencyTable, LatencyTableError, TableMismatchError, Target
from mnas.results import Run
from mnas.training import Dataset, DataSpec

BEST = "best"
WEIGHTS_FILE = "weights.safetensors"


def export_run(
    run_dir: str | Path,
    formats: str | Sequence[str],
    *,
    pick: str = BEST,
    weights: str | Path | None = None,
    out: str | Path | None = None,
    data: Dataset | DataSpec | None = None,
    samples: Tensor | NDArray[Any] | None = None,
    progress: Progress = no_progress,
) -> Manifest:
    """Export a network that a search found, with the weights of its full training.

    Target and table are those of the experiment's first target; where only the int8 file is
    exported, that is timed, whatever dtype the target asks for. Without the table the file is timed
    all the same, and the manifest says that there is no prediction.

    Args:
        run_dir: A run directory.
        formats: Names of formats; see `export_network`.
        pick: `best`, or an architecture's id.
        weights: A safetensors file; None for those that `mnas train` left in the run directory.
        out: The folder to write; None for `RUN/exports/<id>`.
        data: See `export_network`; None for that of the experiment, which is read only where a
            format needs it.
        samples: Images for the comparison; see `export_network`.
        progress: See `export_network`.

    Returns:
        What was written.

    Raises:
        RunError: No run directory, or it has no such architecture.
        ExportError: The network has not been trained yet; says how to.
        ExportMismatchError: A file does not compute what the network computes.
    """
    folder = Path(run_dir)
    exporters = exporters_of(formats)
    run = Run.load(folder)
    arch = run.best() if pick == BEST else run.architecture(pick)
    notes = []
    path = _trained_weights(folder, pick, arch) if weights is None else Path(weights)
    card = data_card_beside(path, arch)
    if card is None and weights is None:
        raise ExportError(
            f"the training in {path.parent} is not finished: continue it with "
            f"{_command(folder, pick)}, or take the weights as they are with --weights {path}"
        )
    if card is None:
        notes.append("the weights were given, and nothing is known of the data they come from")
    if data is None and any(exporter.is_quantized for exporter in exporters.values()):
        data = data_of_run(run, folder)
    target, table = None, None
    if target_for(exporters) is not None:
        target, table, told = _target_of(run, folder, exporters)
        notes += told
    return export_network(
        arch,
        path,
        formats,
        out if out is not None else folder / "exports" / arch.id,
        target,
        data=data,
        data_card=card,
        table=table,
        samples=samples,
        notes=notes,
        progress=progress,
    )


def data_of_run(run: Run, folder: Path) -> DataSpec:
    """Where the images of a run's experiment are, and how they are divided.

    Raises:
        ExportError: It does not say so, or only a person may say that it is read: Python that a
            file names is not run.
    """
    section = run.experiment.get("data")
    give = "give the data with --data SOURCE[:PATH] (in Python: data=DataSpec(...))"
    if section is None:
        raise ExportError(f"{folder} names no data: {give}")
    try:
        spec = TypeAdapter(DataSpec).validate_python(section)
    except ValidationError as error:
        told = "; ".join(map(str, faults_of(error)))
        raise ExportError(f"the data of {folder} cannot be read ({told}): {give}") from None
    if spec.kind == "python":
        raise ExportError(
            f"{folder} names the data {spec.source}, and an export imports nothing that a run "
            f"names: {give}"
        )
    return spec


def _command(folder: Path, pick: str) -> str:
    return f"`mnas train {folder} --pick {pick}`"


def _trained_weights(folder: Path, pick: str, arch: Architecture) -> Path:
    path = folder / "checkpoints" / f"train-{arch.id}" / WEIGHTS_FILE
    if not path.is_file():
        raise ExportError(
            f"{arch.name!r} ({arch.id}) has no trained weights at {path}: run "
            f"{_command(folder, pick)} first, or give a safetensors file with --weights"
        )
    return path


def data_card_beside(weights: str | Path, arch: Architecture) -> dict[str, Any] | None:
    """What `training.json` beside a training's weights says of data and accuracy.

    Args:
        weights: `weights.safetensors` of a training; another file name is none, and what the
            folder says is not said of it.
        arch: The network.

    Returns:
        The data card as `export_network` takes it, or None where there is none.

    Raises:
        ExportError: The file is damaged, or tells of another network's training.
    """
    path = Path(weights).with_name("training.json")
    if Path(weights).name != WEIGHTS_FILE or not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        trained, data = document["architecture"]["id"], dict(document["data"])
        accuracy = {split: document[split] for split in ("val", "test")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{path} is not what `mnas train` writes ({error!r}); train the network again"
        ) from None
    if trained != arch.id:
        raise ExportError(f"{path} tells of the training of {trained}, not of {arch.id}")
    return {**data, **accuracy}


def _target_of(
    run: Run, folder: Path, formats: Collection[str]
) -> tuple[Target | None, LatencyTable | None, list[str]]:
    """The first target and its table, and what the manifest must say where one is lacking."""
    sections = run.experiment.get("targets") or []
    if not sections:
        return None, None, ["not timed: the experiment names no target"]
    section = sections[0]
    address = section.get("address", "local")
    if address != "local":
        said = (
            f"the target {section.get('name')!r} is at {address}, and export times on this machine"
        )
        return None, None, [f"not timed: {said}"]
    known = ("name", "runtime", "threads", "dtype")
    target = Target(**{name: section[name] for name in known if name in section})
    try:
        timed_here = timed_format(target)
    except ExportError as error:
        return None, None, [f"not timed: {error}"]
    if timed_here == "onnx" and "onnx" not in formats and "onnx-int8" in formats:
        target, timed_here = replace(target, dtype="int8"), "onnx-int8"
    if timed_here not in formats:
        said = f"what the target {target.name!r} times is the {timed_here} file"
        return None, None, [f"not timed: {said}, which was not exported"]
    table, told = _table_of(target, str(section.get("table", "auto")), folder)
    return target, table, told


def _table_of(target: Target, stated: str, folder: Path) -> tuple[LatencyTable | None, list[str]]:
    """The run's own copy, else the file the experiment names."""
    places = [Path(stated)] if stated != "auto" else []
    if Path(target.name).name == target.name:  # a name cannot lead out of the run directory
        places.insert(0, folder / "tables" / f"{target.name}.csv")
    for place in places:
        if place.is_file():
            try:
                table = LatencyTable.load(place)
                table.require(target)
            except (LatencyTableError, TableMismatchError) as error:
                return None, [f"no prediction: {error}"]
            return table, []
    looked = f" at {' or '.join(map(str, places))}" if places else ""
    return None, [f"no prediction: there is no latency table any more{looked}"]
