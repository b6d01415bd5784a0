"""`mnas space`: look at a search space, draw from it, check it."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.arch import InvalidFileError, MnasError
from mnas.cli.answers import answering, to_plain
from mnas.cli.options import AsJson, GroupHelp, SpaceArgument, read_space
from mnas.cli.skeleton_drawing import skeleton_lines
from mnas.cli.tables import facts, paragraph, table_of
from mnas.cli.wording import counted, memory, milliseconds, percent, span

if TYPE_CHECKING:
    from mnas.arch import Fault
    from mnas.cli.space_summary import SpaceSummary
    from mnas.latency import LatencyTable

space_app = typer.Typer(add_help_option=False, rich_markup_mode=None)


@space_app.callback()
def _group(show_help: GroupHelp = False) -> None:
    """Take the options of the group."""


def add_to(app: typer.Typer) -> None:
    """Put the group into the command tree."""
    app.add_typer(
        space_app,
        name="space",
        help="Look at a search space, draw architectures from it, check it.",
        epilog="Example: mnas space show mobilenet_v3",
    )


@space_app.command(
    "show", epilog="Example: mnas space show my_space.yaml --table my_table.csv --budget-ms 1.5"
)
def show_space(
    space: SpaceArgument,
    table: Annotated[
        Path | None, typer.Option(help="A latency table: adds what networks of the space take.")
    ] = None,
    budget_ms: Annotated[
        float | None,
        typer.Option(help="With --table: the share of the space within so many milliseconds."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how large a space is, its choices, and what its networks cost."""
    if budget_ms is not None and table is None:
        raise MnasError("--budget-ms needs a latency table: give one with --table")
    if budget_ms is not None and not 0 < budget_ms < math.inf:
        raise MnasError(f"--budget-ms must be above 0; got {budget_ms:g}")
    with answering(as_json) as answer:
        from mnas.cli.space_summary import summarise

        loaded = None
        if table is not None:
            from mnas.latency import LatencyTable

            loaded = LatencyTable.load(table)
        summary = summarise(read_space(space), loaded, budget_ms)
        answer.give(summary, lambda: _show(summary, loaded, budget_ms))


def _show(
    summary: "SpaceSummary", table: "LatencyTable | None", budget_ms: float | None
) -> Iterator[str]:
    size = summary.size
    distinct = f"not counted: {size.reason}"
    if size.architectures is not None:
        distinct = f"{size.architectures:,}"
    low, high = summary.peak_activation_bytes
    rows = [
        ("space", summary.name),
        ("source", summary.source or "-"),
        ("encodings", f"{size.encodings:,}"),
        ("architectures", distinct),
        *([("published size", summary.published_size)] if summary.published_size else []),
        ("resolutions", ", ".join(map(str, summary.resolutions))),
        ("parameters", span(*summary.params)),
        ("MACs", span(*summary.macs)),
        ("activation memory", f"{memory(low)} to {memory(high)} *"),
        ("blocks to measure", f"{summary.reachable_blocks:,}"),
    ]
    if summary.latency_ms is not None:
        fastest, slowest = summary.latency_ms
        said = f"{milliseconds(fastest)} to {milliseconds(slowest)}, predicted"
        rows.append(("latency", said))
    if summary.within_budget is not None:
        rows.append((f"within {budget_ms:g} ms", f"{percent(summary.within_budget)} *"))
    yield from facts(rows)
    yield f"* of {summary.samples} random networks; the other figures are exact.\n"
    yield from skeleton_lines(summary.skeleton, max(summary.resolutions))
    yield ""
    if table is not None:
        from mnas.cli.latency_words import verification_words

        yield f"{paragraph(verification_words(table))}\n"
    options = [
        (name, ", ".join(json.dumps(option) for option in choice))
        for name, choice in summary.choices.items()
    ]
    yield from table_of(("choice", "options"), options)


@space_app.command("sample", epilog="Example: mnas space sample mobilenet_v3 -n 3 --seed 7")
def sample_space(
    space: SpaceArgument,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed draws the same networks.")] = 0,
    distinct: Annotated[
        bool,
        typer.Option("--distinct", help="Every distinct network as likely as any other."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw random architectures: one JSON document a line, or one list of them with --json."""
    import random

    with answering(as_json) as answer:
        loaded, rng = read_space(space), random.Random(seed)
        if as_json:
            drawn = [loaded.sample(rng, distinct=distinct) for _ in range(number)]
            answer.give(drawn, list)
            return
        for _ in range(number):
            answer.out.write(json.dumps(to_plain(loaded.sample(rng, distinct=distinct))) + "\n")


@space_app.command("check", epilog="Example: mnas space check my_space.yaml")
def check_space(space: SpaceArgument, as_json: AsJson = False) -> None:
    """Check a space file: faults end with exit code 2, choices that never matter are listed."""
    with answering(as_json) as answer:
        try:
            loaded = read_space(space)
        except InvalidFileError as error:
            if as_json:  # the same faults as a document; the message and exit code stay
                found = {"name": None, "faults": to_plain(error.faults), "warnings": []}
                answer.give(found, list)
            raise
        warnings = loaded.warnings()
        found = {"name": loaded.name, "faults": [], "warnings": to_plain(tuple(warnings))}
        answer.give(found, lambda: _show_warnings(loaded.path, warnings))


def _show_warnings(path: str, warnings: "list[Fault]") -> Iterator[str]:
    if not warnings:
        yield f"{path} is a sound search space."
        return
    yield f"{path} can be searched; {counted(len(warnings), 'warning')}:"
    for warning in warnings:
        yield f"  {warning}"
