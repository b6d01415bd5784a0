"""`mnas status`, `report` and `rescore`: look at a run; nothing of it is run."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.answers import answering
from mnas.cli.options import AsJson, RunArgument
from mnas.cli.tables import facts
from mnas.cli.wording import counted, duration, milliseconds, percent

if TYPE_CHECKING:
    from mnas.cli.run_status import RunStatus
    from mnas.results import Rescored


def add_to(app: typer.Typer) -> None:
    """Put the commands into the tree."""
    app.command("status", epilog="Example: mnas status results/quickstart")(status)
    app.command("report", epilog="Example: mnas report results/quickstart")(report)
    app.command(
        "rescore", epilog="Example: mnas rescore results/quickstart --table phone.csv --budget-ms 8"
    )(rescore)


def status(run: RunArgument, as_json: AsJson = False) -> None:
    """Show how far a run is and what it has found; also while it is running."""
    with answering(as_json) as answer:
        from mnas.cli.run_status import status_of

        found = status_of(run)
        answer.give(found, lambda: _show(found))


def _show(found: "RunStatus") -> Iterator[str]:
    state = f"{found.state}, driven by process {found.pid}" if found.pid else found.state
    wanted = f" of {found.trials_wanted:,}" if found.trials_wanted is not None else ""
    rows = [
        ("run", str(found.directory)),
        ("state", f"{state}; phase: {found.phase}"),
        ("trials", f"{found.trials:,}{wanted}"),
        (
            "evaluations",
            f"{found.complete:,} complete, {found.failed:,} failed, "
            f"{counted(found.infeasible, 'proposal')} over a limit and not trained"
            + (f", {found.filtered:,} filtered" if found.filtered else ""),
        ),
        *_timing_rows(found),
        ("confirmed", f"{counted(found.confirmed, 'training')} of the comparison"),
        ("trained for", f"{duration(found.seconds)}, summed over the workers"),
    ]
    if found.best is not None:
        accuracy = percent(found.best.accuracy)
        rows.append(("best so far", f"{found.best.id}, {accuracy} ({found.best.stage})"))
    yield from facts(rows)
    folder = shlex.quote(str(found.directory))
    match found.state:
        case "stopped":
            yield f"next: mnas search {folder}"
        case "finished":
            yield f"next: mnas train {folder} --pick best"
        case "running":
            pass


def _timing_rows(found: "RunStatus") -> Iterator[tuple[str, str]]:
    if found.timed:
        where = "" if found.timed_at in (None, "local") else f", by {found.timed_at}"
        yield "end to end", f"{counted(found.timed, 'network')} timed{where}"
    if found.waits:
        yield "waits", found.waits


def report(run: RunArgument, as_json: AsJson = False) -> None:
    """Write report.html anew from a run's records."""
    with answering(as_json) as answer:
        from mnas.results import Run, write_report

        path = write_report(Run.load(run))
        answer.give({"report": path}, lambda: [f"report: {path}"])


def rescore(
    run: RunArgument,
    table: Annotated[
        Path, typer.Option("--table", metavar="TABLE", help="Latency table of the other device.")
    ],
    budget_ms: Annotated[
        float | None,
        typer.Option("--budget-ms", metavar="MS", help="Highest latency there, in milliseconds."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the device; default the table's.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Default RUN/rescored/<name>."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score the same trials on another device; nothing is trained."""
    with answering(as_json) as answer:
        from mnas.latency import LatencyTable
        from mnas.results import Run
        from mnas.results import rescore as score_again

        found = score_again(
            Run.load(run),
            LatencyTable.load(table),
            budget_ms=budget_ms,
            name=name,
            directory=out,
        )
        answer.give(_rescored(found), lambda: _show_rescored(found, budget_ms))


def _rescored(found: "Rescored") -> dict[str, object]:
    return {
        "directory": found.run.directory,
        "target": found.target,
        "within": found.within,
        "untrained": found.untrained,
        "front": found.front,
        "kept_of_front": found.kept_of_front,
        "predicted_share": found.predicted_share,
    }


def _show_rescored(found: "Rescored", budget_ms: float | None) -> Iterator[str]:
    budget = "" if budget_ms is None else f" within {milliseconds(budget_ms)}"
    rows = [
        ("device", found.target),
        ("networks", f"{found.within:,} at the highest rung{budget}"),
        ("front", f"{found.front:,} networks, {found.kept_of_front:,} of them of the old front"),
        ("not in the table", f"{percent(found.predicted_share)} of the front's time"),
    ]
    yield from facts(rows)
    if not found.is_well_covered:
        yield (
            "Much of that is predicted from other blocks: measure the blocks of this run's space "
            "on the device."
        )
    if found.untrained:
        yield (
            f"{counted(found.untrained, 'network')} that the first device ruled out would fit "
            "here and were never trained: a search there, with warm_start, may find better ones."
        )
    assert found.run.directory is not None
    yield f"report: {found.run.directory / 'report.html'}"
