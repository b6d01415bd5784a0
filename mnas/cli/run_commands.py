"""`mnas status` and `mnas report`: look at a run; nothing of it is run."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from mnas.cli.answers import answering
from mnas.cli.options import AsJson, RunArgument
from mnas.cli.tables import facts
from mnas.cli.wording import counted, duration, percent

if TYPE_CHECKING:
    from mnas.cli.run_status import RunStatus


def add_to(app: typer.Typer) -> None:
    """Put the commands into the tree."""
    app.command("status", epilog="Example: mnas status results/quickstart")(status)
    app.command("report", epilog="Example: mnas report results/quickstart")(report)


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
            f"{counted(found.infeasible, 'proposal')} over a limit and not trained",
        ),
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


def report(run: RunArgument, as_json: AsJson = False) -> None:
    """Write report.html anew from a run's records."""
    with answering(as_json) as answer:
        from mnas.results import Run, write_report

        path = write_report(Run.load(run))
        answer.give({"report": path}, lambda: [f"report: {path}"])
