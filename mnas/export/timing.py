"""The exported file's latency, measured, beside what the table predicts."""

import tempfile
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

from mnas.arch import MnasError
from mnas.export.errors import ExportError
from mnas.export.manifest import ExportTiming
from mnas.export.subject import Subject
from mnas.latency import (
    Latency,
    LatencyTable,
    Target,
    describe_device,
    runtime_for,
    time_networks,
    write_onnx,
)

# The target that runs a file of a format; the first that was exported is the usual one.
_TARGETS = {
    "onnx": Target(),
    "onnx-int8": Target(dtype="int8"),
    "litert": Target(runtime="litert"),
    "openvino": Target(runtime="openvino"),
    "ncnn": Target(runtime="ncnn"),
}
_OF_DTYPES = {"fp32": "", "int8": "-int8"}  # what a format's name ends in


def target_for(formats: Collection[str]) -> Target | None:
    """One thread of the runtime that runs a file of these formats, ONNX Runtime before others.

    Returns:
        None where no file of these formats can be timed.
    """
    return next((target for name, target in _TARGETS.items() if name in formats), None)


def check_timing(
    target: Target | None, table: LatencyTable | None, formats: Collection[str]
) -> None:
    """Refuse what could not be timed, before anything is written.

    Raises:
        ExportError: A table without a target, a target without the file that is timed, or a
            target whose runtime runs none of the exported files.
        TableMismatchError: The table was measured on another kind of target.
    """
    if target is None:
        if table is not None:
            raise ExportError("a table's prediction is compared with a measurement: give a target")
        return
    timed_here = timed_format(target)
    if timed_here not in formats:
        raise ExportError(
            f"a target is given, and what is timed on it is the {timed_here} file: add the "
            f"format {timed_here!r}, or give no target"
        )
    if table is not None:
        table.require(target)


def timed_format(target: Target) -> str:
    """The format whose file is timed on a target.

    Raises:
        ExportError: No exported file can be timed there; says why.
    """
    asked = f"the target {target.name!r} asks for {target.runtime} in {target.dtype}"
    try:
        found = runtime_for(target).file_format
    except MnasError as error:
        raise ExportError(f"no exported file can be timed: {asked}: {error}") from error
    if found is None:
        raise ExportError(f"no exported file can be timed: {asked}, which runs no files")
    if target.dtype not in _OF_DTYPES:
        known = " or ".join(_OF_DTYPES)
        raise ExportError(f"exported files compute in {known}, {asked}")
    return found + _OF_DTYPES[target.dtype]


def timed(path: Path, subject: Subject, target: Target, table: LatencyTable | None) -> ExportTiming:
    """Time a file on this machine and set the prediction beside it.

    Args:
        path: A file of the format `timed_format(target)`.
        subject: What it was written from.
        target: How to run it.
        table: Where the prediction comes from, if there is one.

    Returns:
        Both, with a note wherever the two cannot be taken as agreeing, or where int8 is not faster
        than fp32.
    """
    arch = subject.architecture
    timing = time_networks({arch.id: path}, target)[arch.id]
    found = ExportTiming(
        file=path.name,
        target=asdict(target),
        device=describe_device(),
        measured_ms=timing.ms,
        spread=timing.spread,
        wall_ms=timing.wall_ms,
    )
    if target.dtype == "int8":
        found = _beside_fp32(found, subject, target)
    if table is None:
        return found
    verification, doubt = table.verification, ""
    if verification is not None and verification.verdict != "trusted":
        doubt = f"the table is {verification.verdict}: {verification.reason.rstrip('.')}"
    return beside_prediction(found, table.predict(arch), table.device, doubt)


def _beside_fp32(timing: ExportTiming, subject: Subject, target: Target) -> ExportTiming:
    name = subject.architecture.id
    with tempfile.TemporaryDirectory(prefix="mnas-fp32-") as folder:
        path = Path(folder, "model.onnx")
        write_onnx(subject.module, subject.architecture, path)
        fp32_ms = time_networks({name: path}, replace(target, dtype="fp32"))[name].ms
    if timing.measured_ms < fp32_ms:
        return replace(timing, fp32_ms=fp32_ms)
    note = f"int8 is not faster here: the fp32 file takes {fp32_ms:.4g} ms"
    return replace(timing, fp32_ms=fp32_ms, note=note)


def beside_prediction(
    timing: ExportTiming, latency: Latency, table_device: str, doubt: str = ""
) -> ExportTiming:
    """Set a prediction beside a measurement and say whether they agree.

    Args:
        timing: The measurement.
        latency: The table's prediction.
        table_device: Where the table was measured.
        doubt: What its verification says against it, if anything.
    """
    low, high = latency.low_ms, latency.high_ms
    within: bool | None = None
    notes = [timing.note] if timing.note else []
    if low is None or high is None:
        notes.append("the table is not verified, so the prediction has no margin")
    else:
        within = low <= timing.measured_ms <= high
        if not within:
            notes.append(
                f"measured {timing.measured_ms:.4g} ms, outside the predicted margin of "
                f"{low:.4g} to {high:.4g} ms"
            )
    if doubt:
        notes.append(doubt)
    if table_device != timing.device:
        notes.append(f"the table was measured on {table_device}, the file on {timing.device}")
    return replace(
        timing,
        predicted_ms=latency.ms,
        low_ms=low,
        high_ms=high,
        predicted_share=latency.predicted_share,
        within_margin=within,
        note="; ".join(notes),
    )
