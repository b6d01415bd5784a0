"""Manifest: what an export wrote, how it was proven, how fast it is."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mnas.arch import Fault
from mnas.arch.canonical import to_fields
from mnas.arch.documents import faults_of
from mnas.export.card import MeasuredAccuracy
from mnas.export.errors import InvalidManifestError

MANIFEST_FILE = "manifest.json"
LAYOUT = "NCHW float32, (x/255 - mean)/std"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_plain_name(name: str) -> bool:
    """Whether a file of that name lies within the folder, whatever the folder is."""
    return _PLAIN_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkName:
    """Which network it is."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCounts:
    """What the network costs, as `mnas.count` counts it."""

    params: int
    params_without_classifier: int
    macs: int
    peak_activation_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsOrigin:
    """Where the weights came from.

    Attributes:
        source: File name, `given tensors`, or `untrained`.
        trained: False for the seeded initial weights that an export without weights has.
        sha256: Digest of names and values.
    """

    source: str
    trained: bool
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What the exported files take.

    Attributes:
        channels: 1 for grey, 3 for colour.
        resolution: Side of the images the network was made for, in pixels.
        mean: Of each channel, in units of [0, 1]; None when it is not known.
        std: Likewise.
        layout: How the numbers lie and what was done to them.
    """

    channels: int
    resolution: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    layout: str = LAYOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of the validation images, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a file that computes with fewer bits was calibrated, and what that costs.

    Attributes:
        method: What the ranges of the activations are.
        calibration_images: How many training images they were found on.
        data_fingerprint: Of the data that these and the validation images are of.
        images: Validation images that file and network were asked.
        network_accuracy: Share of them that the network gets right; higher is better.
        accuracy: Share of them that the file gets right.
        drop: Accuracy of the network less that of the file; lower is better.
        agreement: Share of the images on which both put the same class first; higher is better.
        most_drop: What `drop.value` was allowed to be.
        least_agreement: What `agreement.value` had to be.
    """

    method: str
    calibration_images: int
    data_fingerprint: str
    images: int
    network_accuracy: Share
    accuracy: Share
    drop: Share
    agreement: Share
    most_drop: float
    least_agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """One file and its proof.

    Attributes:
        format: Name of the format.
        file: Name within the folder.
        sha256: Of the file's bytes.
        bytes: The file's size.
        runtime: What ran it for the proof.
        versions: Of the libraries that wrote and ran it.
        max_difference: Largest |file - network| over largest |logit| of the network; lower is
            better.
        tolerance: What it was allowed to be; None for a quantised file, which is judged by its
            answers on images (`quantization`).
        inputs: What both were given: `samples` of the data, or `noise`.
        batch_sizes: Sizes of the batches they were given in.
        layout: How the numbers of images lie in what this file takes, where it is not the layout
            of `input`: `NHWC` has the channels last, `CHW` is one image at a time.
        quantization: How a quantised file answers on real images; None for the others.
    """

    format: str
    file: str
    sha256: str
    bytes: int
    runtime: str
    versions: Mapping[str, str]
    max_difference: float
    tolerance: float | None
    inputs: Literal["samples", "noise"]
    batch_sizes: tuple[int, ...]
    layout: str = "NCHW"
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTiming:
    """The exported file's measured latency beside the prediction; lower is better.

    Attributes:
        file: Which file was timed.
        target: What it was timed on: name, runtime, threads, dtype, batch, regime.
        device: The machine it was timed on.
        measured_ms: Thread CPU milliseconds with one thread, wall milliseconds with several.
        spread: Relative difference of the two fastest passes.
        wall_ms: Wall milliseconds.
        predicted_ms: The table's prediction; None without a table.
        low_ms: Lower end of its 90 % interval; None when the table is unverified.
        high_ms: Upper end of it.
        predicted_share: Part of the prediction that comes from blocks nobody measured.
        within_margin: Whether the measurement lies in the interval; None without one.
        fp32_ms: What the same network takes as an fp32 file; None where the timed file is one.
        note: What a reader must know, such as a disagreement; empty when all is well.
    """

    file: str
    target: Mapping[str, str | int]
    device: str
    measured_ms: float
    spread: float
    wall_ms: float
    predicted_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    predicted_share: float | None = None
    within_margin: bool | None = None
    fp32_ms: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an export wrote: the content of `manifest.json`, read back by `from_json`.

    Attributes:
        formats: The files, each with its proof.
        timing: None when no target was given.
        class_names: In the order of the logits; None when they are not known.
        data_fingerprint: Of the data the network was trained on.
        accuracy: What training measured, by split.
        notes: What a reader must know beside this.
        versions: Of mnas and the libraries it wrote the files with.
        created: When, in UTC, ISO 8601.
    """

    schema: Literal["mnas.manifest/1"] = "mnas.manifest/1"
    architecture: NetworkName
    counts: NetworkCounts
    weights: WeightsOrigin
    formats: tuple[ExportedFile, ...]
    timing: ExportTiming | None
    input: InputSpec
    num_classes: int
    class_names: tuple[str, ...] | None
    data_source: str | None
    data_fingerprint: str | None
    accuracy: tuple[MeasuredAccuracy, ...]
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    created: str

    def to_json(self) -> str:
        """The document, indented, ending in a newline."""
        return json.dumps(to_fields(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str = MANIFEST_FILE) -> Self:
        """Read a manifest back.

        Args:
            text: A JSON object with all fields; unknown fields are errors.
            source: The file's name, for messages.

        Raises:
            InvalidManifestError: Names each faulty place; a file name that would leave the folder
                is one.
        """
        subject = f"{source} is not a manifest (schema mnas.manifest/1):"
        try:
            door = _ManifestDocument.model_validate_json(text)
        except ValidationError as error:
            raise InvalidManifestError(subject, faults_of(error, _ManifestDocument)) from None
        values = {
            name: getattr(door, name) for name in type(door).model_fields if name != "schema_"
        }
        manifest = cls(
            **{**values, **{name: tuple(values[name]) for name in ("formats", "accuracy", "notes")}}
        )
        faults = list(_file_faults(manifest))
        if faults:
            raise InvalidManifestError(subject, faults)
        return manifest


class _ManifestDocument(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    schema_: Literal["mnas.manifest/1"] = Field(alias="schema")
    architecture: NetworkName
    counts: NetworkCounts
    weights: WeightsOrigin
    formats: list[ExportedFile]
    timing: ExportTiming | None
    input: InputSpec
    num_classes: int
    class_names: tuple[str, ...] | None
    data_source: str | None
    data_fingerprint: str | None
    accuracy: list[MeasuredAccuracy]
    notes: list[str]
    versions: dict[str, str]
    created: str


def _file_faults(manifest: Manifest) -> list[Fault]:
    names = [(f"formats.{index}.file", entry.file) for index, entry in enumerate(manifest.formats)]
    listed = [entry.file for entry in manifest.formats]
    if len(set(listed)) != len(listed):
        return [Fault("formats", f"each file is listed once; got {', '.join(listed)}")]
    if manifest.timing is not None:
        names.append(("timing.file", manifest.timing.file))
    return [
        Fault(place, f"must be a plain file name inside the folder; got {name!r}")
        for place, name in names
        if not is_plain_name(name)
    ]
