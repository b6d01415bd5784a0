"""Look at an exported folder again: checksums, and what may be run without trust is run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from mnas.arch import Architecture, MnasError, UnknownNameError
from mnas.export.card import DataCard
from mnas.export.errors import ExportError, ExportMismatchError
from mnas.export.exporters import Exporter
from mnas.export.exporting import no_progress
from mnas.export.finding import exporter_for, format_names
from mnas.export.folder import read_manifest, sha256_of
from mnas.export.formats import EXPORTERS
from mnas.export.images import images_at
from mnas.export.manifest import ExportedFile, Manifest
from mnas.export.proof import TOLERANCE, Probe, answers_of, noise, probe_of, prove
from mnas.export.quantizing import judged, told
from mnas.export.subject import Subject, subject_of
from mnas.training import Dataset, DataSpec, require_fit

# By how much a quantised file may answer noise otherwise than it did at the export: processors
# round differently. Of its largest logit; 0.012 was the most between two ways to compute it.
_NOISE_SLACK = 0.05
State = Literal["passed", "failed", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What became of one file of an export.

    Attributes:
        format: Name of the format.
        file: Name within the folder.
        state: `not run`: its checksum is right, and nothing was run.
        detail: What was found, for people.
        max_difference: Largest relative difference from the network, where it was compared.
    """

    format: str
    file: str
    state: State
    detail: str
    max_difference: float | None = None


def check_export(
    directory: str | Path, *, trust: bool = False, data: Dataset | DataSpec | None = None
) -> list[Check]:
    """Check a folder that an export wrote, maybe on another machine, maybe by somebody else.

    Every file is compared with its checksum. With `architecture.json` and `weights.safetensors`
    beside them the others are run again and compared with that network. Source, pt2 and the files
    of optional runtimes may run anything, so they are run only when trusted.

    A quantised file is judged anew with `data`; without it, it must answer noise as it did at the
    export.

    Args:
        directory: The folder with `manifest.json`.
        trust: Run these as well.
        data: The images of the export, divided as for it, loaded or not.

    Returns:
        One check for each file of the manifest, in its order.

    Raises:
        ExportError: There is no such folder, or it has no manifest; or the data is not that of the
            export, or nothing there is judged on data.
        InvalidManifestError: The manifest says what no export writes, such as a file name that
            leaves the folder.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if manifest is None:
        raise ExportError(
            f"{directory} holds no manifest.json; give a folder that `mnas export` wrote"
        )
    images = None if data is None else _images_of(data, manifest, directory)
    problems = {entry.file: _problem(directory, entry) for entry in manifest.formats}
    reference = _reference(directory, manifest, problems, images)
    return [
        _check(
            directory / entry.file,
            entry,
            manifest=manifest,
            problem=problems[entry.file],
            reference=reference,
            trust=trust,
        )
        for entry in manifest.formats
    ]


def _images_of(data: Dataset | DataSpec, manifest: Manifest, directory: Path) -> Dataset:
    """The images, if they are those that files of the folder were judged on."""
    quantized = [entry.quantization for entry in manifest.formats if entry.quantization is not None]
    if not quantized:
        raise ExportError(f"nothing in {directory} is judged on data: check it without")
    images = images_at(manifest.input.resolution, data, no_progress)
    for said in quantized:
        if said.data_fingerprint != images.fingerprint:
            raise ExportError(
                f"the files in {directory} were judged on data with the fingerprint "
                f"{said.data_fingerprint}, the data given ({images.source}) has "
                f"{images.fingerprint}: give the same images, divided alike (val, test and seed "
                "of the data)"
            )
    return images


def _problem(directory: Path, entry: ExportedFile) -> str | None:
    """Why a file must not be touched further."""
    path = directory / entry.file
    try:
        known = exporter_for(entry.format)
    except UnknownNameError:
        return f"the format {entry.format!r} is not known; known: {', '.join(format_names())}"
    except ExportError:
        known = None  # its checksum can be looked at all the same
    if known is not None and entry.file != known.file:
        return f"a file of the format {entry.format!r} is called {known.file}"
    if path.is_symlink():
        return "is a link; an export writes none, and it may lead out of the folder"
    if not path.is_file():
        return "is missing"
    found = sha256_of(path)
    if found != entry.sha256:
        return f"has the sha256 {found[:12]}..., the manifest says {entry.sha256[:12]}..."
    return None


def _reference(
    directory: Path,
    manifest: Manifest,
    problems: dict[str, str | None],
    data: Dataset | None,
) -> tuple[Subject, Probe] | str | MnasError:
    """The network that the folder describes, why it describes none, or what is wrong with it."""
    needed = [EXPORTERS[name].file for name in ("architecture", "weights")]
    lacking = [name for name in needed if problems.get(name, "is missing") is not None]
    if lacking:
        return f"no sound {' and '.join(lacking)} beside it to compare with"
    try:
        arch = Architecture.from_json((directory / needed[0]).read_bytes())
        if arch.id != manifest.architecture.id:
            said = manifest.architecture.id
            return ExportMismatchError(f"{needed[0]} is {arch.id}, the manifest says {said}")
        if data is not None:
            require_fit(arch, data)
            data = data.resized(arch.input.resolution)
        subject = subject_of(arch, directory / needed[1], DataCard(), data)
        return subject, probe_of(subject, None)
    except MnasError as error:
        return error


def _check(
    path: Path,
    entry: ExportedFile,
    *,
    manifest: Manifest,
    problem: str | None,
    reference: tuple[Subject, Probe] | str | MnasError,
    trust: bool,
) -> Check:
    def result(state: State, detail: str, max_difference: float | None = None) -> Check:
        return Check(
            format=entry.format,
            file=entry.file,
            state=state,
            detail=detail,
            max_difference=max_difference,
        )

    if problem is not None:
        return result("failed", f"{entry.file} {problem}")
    try:
        exporter = exporter_for(entry.format)
    except ExportError as error:
        return result("not run", f"checksum right; {error}")
    if exporter.is_code and not trust:
        return result("not run", "checksum right; it may run anything, so it needs trust")
    if isinstance(reference, MnasError):
        return result("failed", f"the network it belongs to is broken: {reference}")
    if isinstance(reference, str) and not exporter.is_self_contained:
        return result("not run", f"checksum right; {reference}")
    try:
        if isinstance(reference, str):
            _run_alone(exporter, path, manifest)
            return result("passed", f"runs, logits are finite; {reference}")
        if exporter.is_quantized and reference[0].data is not None:
            judgement = judged(exporter, path, reference[0])
            return result("passed", told(judgement))
        tolerance = math.inf if exporter.is_quantized else TOLERANCE
        found = prove(exporter, path, *reference, tolerance)
        if exporter.is_quantized and not abs(found - entry.max_difference) <= _NOISE_SLACK:
            raise ExportMismatchError(
                f"differs from the network by {found:.2g} of its largest logit on noise; at the "
                f"export it was {entry.max_difference:.2g}"
            )
    except ExportMismatchError as error:
        return result("failed", f"{entry.file} {error}")
    as_before = ", on noise, as at the export" if exporter.is_quantized else ""
    return result(
        "passed", f"differs by at most {found:.2g} of the largest logit{as_before}", found
    )


def _run_alone(exporter: Exporter, path: Path, manifest: Manifest) -> None:
    batches = noise(manifest.input.channels, manifest.input.resolution)
    answers = answers_of(exporter, path, batches, None)
    for batch, logits in zip(batches, answers, strict=True):
        wanted = (len(batch), manifest.num_classes)
        if tuple(logits.shape) != wanted or not bool(torch.isfinite(logits).all()):
            raise ExportMismatchError(f"does not give {wanted} finite logits")
