"""`mnas export`: deployable files, each proven equal; or check such a folder again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.arch import MnasError
from mnas.cli.answers import Answer, answering
from mnas.cli.options import (
    AsJson,
    Pick,
    is_run,
    read_architecture,
    saved_when_interrupted,
    spec_of,
)
from mnas.cli.progress import progress_of, reporter
from mnas.cli.tables import facts, table_of
from mnas.cli.wording import latency_with_margin, memory, milliseconds, percent, with_interval

if TYPE_CHECKING:
    from mnas.export import Check, ExportTiming, Manifest, Quantization
    from mnas.training import DataSpec


class ExportRequestError(MnasError):
    """Options of `mnas export` that do not go together, or one that is lacking."""


def add_to(app: typer.Typer) -> None:
    """Put the command into the tree."""
    app.command("export", epilog="Example: mnas export results/quickstart --format onnx,source")(
        export
    )


def export(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|ARCH.json", help="The folder of a run, or an architecture document."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[data.key=value]...",
            help="How the data is divided, where it is not as usual: data.val=5000 data.seed=1.",
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="a,b",
            help="Formats, separated by commas; default those that need no extra.",
        ),
    ] = None,
    pick: Pick = "best",
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A safetensors file; for a run its own by default."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="The folder to write; default exports/ID of the run."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE[:PATH]",
            help="Images of the training, for onnx-int8; for a run those of its experiment.",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Instead: check a folder that an export wrote."),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="With --check: also run files that may do anything: source, pt2 and others.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a network for deployment; every file is run and compared with the network."""
    with answering(as_json) as answer:
        if check is not None:
            divided = [] if subject is None else [subject, *(overrides or [])]
            if (formats, weights, out) != (None, None, None) or pick != "best":
                raise ExportRequestError("--check DIR stands alone, or with --trust and --data")
            _check(answer, check, trust=trust, data=_images(data, divided))
            return
        if trust:
            raise ExportRequestError("--trust goes with --check DIR")
        if subject is None:
            raise ExportRequestError(
                "say what to export: the folder of a run or an ARCH.json. See `mnas export --help`"
            )
        stopped = "stopped; an export is written whole or not at all."
        with saved_when_interrupted(stopped), reporter() as shown:
            manifest, folder = _exported(
                subject,
                formats,
                pick,
                weights,
                out,
                data=_images(data, overrides or []),
                progress=progress_of(shown, "export"),
            )
        answer.give(manifest, lambda: _show(manifest, folder))


def _images(source: str | None, overrides: list[str]) -> "DataSpec | None":
    """Where the images are that a person names, and how they are divided."""
    if source is None:
        if overrides:
            raise ExportRequestError(
                f"{overrides[0]} says how data is divided, and no data is given: --data "
                "SOURCE[:PATH]"
            )
        return None
    if not overrides:
        return spec_of(source)
    from mnas.search import divided_data

    return divided_data(spec_of(source), overrides)


def _exported(
    subject: str,
    formats: str | None,
    pick: str,
    weights: Path | None,
    out: Path | None,
    *,
    data: "DataSpec | None",
    progress: Callable[[int, int, str], None],
) -> "tuple[Manifest, Path]":
    from mnas.export import (
        DEFAULT_FORMATS,
        data_card_beside,
        export_network,
        export_run,
        target_for,
    )

    names = [each.strip() for each in formats.split(",")] if formats else list(DEFAULT_FORMATS)
    if is_run(subject):
        manifest = export_run(
            subject, names, pick=pick, weights=weights, out=out, data=data, progress=progress
        )
        return manifest, out or Path(subject) / "exports" / manifest.architecture.id
    if pick != "best":
        raise ExportRequestError("--pick chooses a network of a run; an ARCH.json is one already")
    arch = read_architecture(subject)
    folder = out or Path("exports") / arch.id
    manifest = export_network(
        arch,
        weights,
        names,
        folder,
        target_for(names),
        data=data,
        progress=progress,
        data_card=None if weights is None else data_card_beside(weights, arch),
    )
    return manifest, folder


def _show(manifest: "Manifest", folder: Path) -> Iterator[str]:
    rows = [
        (
            entry.format,
            entry.file,
            memory(entry.bytes),
            f"{entry.max_difference:.1e}" if entry.quantization is None else "see below",
        )
        for entry in manifest.formats
    ]
    yield from table_of(("format", "file", "size", "max difference"), rows)
    yield "Max difference: of the logits from the network's, over its largest logit.\n"
    told = [("folder", str(folder)), ("network", manifest.architecture.id)]
    for entry in manifest.formats:
        if entry.quantization is not None:
            told += _quantization_rows(entry.format, entry.quantization)
    for found in manifest.accuracy:
        said = with_interval(found.value, found.low, found.high)
        told.append((f"{found.split} accuracy", said))
    if manifest.timing is not None:
        told += _timing_rows(manifest.timing)
    yield from facts(told)
    for note in manifest.notes:
        yield f"note: {note}"
    yield f"next: mnas export --check {folder}"


def _quantization_rows(name: str, found: "Quantization") -> list[tuple[str, str]]:
    share, own, agreement = found.accuracy, found.network_accuracy, found.agreement
    return [
        (f"{name} accuracy", f"{with_interval(share.value, share.low, share.high)}"),
        ("", f"of {found.images:,} validation images; the network: {percent(own.value)}"),
        (f"{name} agreement", with_interval(agreement.value, agreement.low, agreement.high)),
    ]


def _timing_rows(timing: "ExportTiming") -> list[tuple[str, str]]:
    rows = [
        ("measured latency", f"{milliseconds(timing.measured_ms)} ({timing.file})"),
    ]
    if timing.predicted_ms is not None:
        predicted = latency_with_margin(timing.predicted_ms, timing.low_ms, timing.high_ms)
        rows.append(("predicted latency", predicted))
    if timing.fp32_ms is not None:
        rows.append(("the fp32 file takes", milliseconds(timing.fp32_ms)))
    if timing.note:
        rows.append(("", timing.note))
    return rows


def _check(answer: Answer, directory: Path, *, trust: bool, data: "DataSpec | None") -> None:
    from mnas.export import check_export

    checks = check_export(directory, trust=trust, data=data)
    answer.give(checks, lambda: _show_checks(checks))
    if any(each.state == "failed" for each in checks):
        raise typer.Exit(5)


def _show_checks(checks: "list[Check]") -> Iterator[str]:
    rows = [(each.format, each.file, each.state, each.detail) for each in checks]
    yield from table_of(("format", "file", "state", "found"), rows)
    if any(each.state == "not run" for each in checks):
        yield "Files that may run anything are run only with --trust."
