"""Write a chosen network for deployment and prove that each file is the same network."""

import importlib.metadata
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from mnas.arch import Architecture, count
from mnas.export.card import card_with, read_card
from mnas.export.errors import ExportMismatchError
from mnas.export.exporters import Exporter
from mnas.export.finding import exporters_of
from mnas.export.folder import joined, publish, require_place, sha256_of, staging_beside
from mnas.export.images import Progress, images_at
from mnas.export.manifest import (
    ExportedFile,
    InputSpec,
    Manifest,
    NetworkCounts,
    NetworkName,
)
from mnas.export.proof import BATCH_SIZES, TOLERANCE, Probe, failures_text, probe_of, prove
from mnas.export.quantizing import doubts_of, judged, require_judgeable
from mnas.export.subject import Subject, subject_of
from mnas.export.timing import check_timing, timed, timed_format
from mnas.latency import LatencyTable, Target
from mnas.training import Dataset, DataSpec, require_fit


def no_progress(done: int, total: int, what: str) -> None:
    """Tell nobody."""


def export_network(
    architecture: Architecture,
    weights: str | Path | Mapping[str, Tensor] | None,
    formats: str | Sequence[str],
    directory: str | Path,
    target: Target | None = None,
    *,
    data: Dataset | DataSpec | None = None,
    data_card: Mapping[str, Any] | None = None,
    table: LatencyTable | None = None,
    samples: Tensor | NDArray[Any] | None = None,
    notes: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Manifest:
    """Write a network in several formats, each run by itself and compared with the network.

    All files or none: they are written beside `directory` and moved there when every one of them
    has been proven. Files of other formats from an earlier export of the same network stay.

    Args:
        architecture: The network.
        weights: A safetensors file, tensors by name, or None for seeded initial weights, which
            the manifest then says.
        formats: Names of formats: architecture, source, weights, pt2, onnx, timm; onnx-int8 with
            trained weights and `data`; litert, openvino and ncnn with the extras of these names;
            those of installed packages.
        directory: The folder to write; made if it is not there.
        target: Time the file that its runtime runs on this machine in this way.
        data: The images of the training, divided as for it, loaded or not: quantised files are
            calibrated on the training images and judged on the validation images, the others
            compared on some of the latter. No test image is used.
        data_card: What is known of the data: any of `source`, `fingerprint`, `class_names`,
            `mean`, `std`, and `val` and `test` as in `training.json`.
        table: Where the prediction beside the measurement comes from.
        samples: (n, channels, resolution, resolution) images for the comparison, uint8 (then
            normalised by the data card) or float32 already normalised; None for images of `data`,
            or else seeded noise.
        notes: What the manifest shall say besides.
        progress: Told steps done, steps in all, and what comes next.

    Returns:
        What was written, as in `manifest.json`.

    Raises:
        ExportMismatchError: Some file does not compute what the network computes; names each
            with its figure, and nothing is left.
        UnknownNameError: A format that is not known; one of a later version is an ExportError.
        WeightsError: The weights are not those of the architecture.
        MisfitError: The data has other channels or classes than the network.
        ExportError: Anything else that cannot be exported as asked.
        TableMismatchError: The table is of another kind of target.
        UnwritableFileError: The folder cannot be written.
    """
    exporters = exporters_of(formats)
    directory = Path(directory).resolve()
    check_timing(target, table, exporters)
    require_judgeable(exporters, trained=weights is not None, has_data=data is not None)
    given = Path(weights) if isinstance(weights, str) else weights
    card = read_card(data_card, architecture)
    if data is not None:
        data = images_at(architecture.input.resolution, data, progress)
        require_fit(architecture, data)
        card = card_with(card, data)
        samples = data.val.images[: max(BATCH_SIZES)] if samples is None else samples
    subject = subject_of(architecture, given, card, data)
    manifest = _manifest(subject, notes)
    with staging_beside(directory) as staging:
        files = {name: exporter.file for name, exporter in exporters.items()}
        earlier = require_place(manifest, directory, files)
        proven = _proven_files(
            exporters, staging, subject=subject, probe=probe_of(subject, samples), progress=progress
        )
        doubts = doubts_of([(entry.format, entry.quantization) for entry in proven])
        manifest = replace(manifest, formats=proven, notes=(*manifest.notes, *doubts))
        if target is not None:
            file = files[timed_format(target)]
            progress(len(files), len(files), f"timing {file}")
            timing = timed(staging / file, subject, target, table)
            manifest = replace(manifest, timing=timing)
        manifest = joined(manifest, earlier)
        publish(staging, directory, files.values(), manifest)
    return manifest


def _proven_files(
    exporters: Mapping[str, Exporter],
    staging: Path,
    *,
    subject: Subject,
    probe: Probe,
    progress: Progress,
) -> tuple[ExportedFile, ...]:
    entries, failures = [], {}
    for done, (name, exporter) in enumerate(exporters.items()):
        progress(done, len(exporters), f"writing and proving {exporter.file}")
        path = staging / exporter.file
        exporter.write(subject, path)
        asked, tolerance, quantization = probe, TOLERANCE, None
        try:
            if exporter.is_quantized:  # noise is what a check has without the data
                asked, tolerance = probe_of(subject, None), math.inf
                quantization = judged(exporter, path, subject)
            found = prove(exporter, path, subject, asked, tolerance)
        except ExportMismatchError as error:
            path.unlink()
            failures[name] = error
            continue
        entries.append(
            ExportedFile(
                format=name,
                file=exporter.file,
                sha256=sha256_of(path),
                bytes=path.stat().st_size,
                runtime=exporter.runtime,
                versions=_versions(exporter.libraries),
                max_difference=found,
                tolerance=None if exporter.is_quantized else tolerance,
                inputs=asked.inputs,
                batch_sizes=BATCH_SIZES,
                layout=exporter.layout,
                quantization=quantization,
            )
        )
    if failures:
        raise ExportMismatchError(failures_text(failures))
    return tuple(entries)


def _manifest(subject: Subject, notes: Iterable[str]) -> Manifest:
    """All but the files and their timing."""
    arch, card = subject.architecture, subject.card
    counts = count(arch)
    told = list(notes)
    if not subject.origin.trained:
        told.append("the weights are not trained: good for measuring latency, not for classifying")
    return Manifest(
        architecture=NetworkName(id=arch.id, name=arch.name),
        counts=NetworkCounts(
            params=counts.params,
            params_without_classifier=counts.params_without_classifier,
            macs=counts.macs,
            peak_activation_bytes=counts.peak_activation_bytes,
        ),
        weights=subject.origin,
        formats=(),
        timing=None,
        input=InputSpec(
            channels=arch.input.channels,
            resolution=arch.input.resolution,
            mean=card.mean,
            std=card.std,
        ),
        num_classes=arch.num_classes,
        class_names=card.class_names,
        data_source=card.source,
        data_fingerprint=card.fingerprint,
        accuracy=card.accuracy,
        notes=tuple(told),
        versions=_versions(("mnas", "torch", "onnx", "onnxruntime", "safetensors")),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _versions(libraries: Iterable[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in libraries}
