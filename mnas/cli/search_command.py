"""`mnas search`: run an experiment, or look at what it would cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.answers import Answer, answering
from mnas.cli.options import AsJson, saved_when_interrupted
from mnas.cli.progress import reporter
from mnas.cli.run_log import logged_to

if TYPE_CHECKING:
    from mnas.results import Run
    from mnas.search import Step


def add_to(app: typer.Typer) -> None:
    """Put the command into the tree."""
    app.command(
        "search",
        epilog="Example: mnas search experiments/quickstart.yaml search.trials=50 --out my_run",
    )(search)


def search(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            help="An experiment file, the name of a shipped one, or a run to go on with.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key=value]...", help="Keys of the file to set otherwise."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run; what is there is gone on with."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what it would cost and whether it can succeed."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Search for networks as an experiment file says; the same command resumes."""
    with answering(as_json) as answer:
        if dry_run:
            _preview(answer, experiment, overrides or [])
        else:
            _search(answer, experiment, overrides or [], out)


def _preview(answer: Answer, experiment: str, overrides: list[str]) -> None:
    from mnas.cli.search_words import show_preview
    from mnas.search import preview_search

    with reporter() as shown:
        preview = preview_search(
            experiment,
            overrides,
            observer=lambda step: shown.step(step.phase, step.done, step.total, step.text),
        )
    answer.give(preview, lambda: show_preview(preview))


def _search(answer: Answer, experiment: str, overrides: list[str], out: Path | None) -> None:
    from mnas.cli.search_words import show_result
    from mnas.search import StopRequest, run_search

    directory = _directory(experiment, overrides, out)
    stop = StopRequest()
    saved = f"stopped; everything finished is in {directory}. The same command goes on from there."
    with saved_when_interrupted(saved), reporter() as shown, logged_to(directory) as log:

        def told() -> None:
            shown.say("finishing the running trainings; Ctrl-C again stops at once")

        def observe(step: "Step") -> None:
            log.note(step)
            if step.phase == "notice":
                shown.say(step.text)
            else:
                shown.step(step.phase, step.done, step.total, step.text)

        with stop.listening(told):
            run = run_search(experiment, overrides, out=out, observer=observe, stop=stop)
    answer.give(result_of(run, directory), lambda: show_result(run, directory))


def result_of(run: "Run", directory: Path) -> dict[str, object]:
    """What `mnas search --json` says."""
    return {
        "directory": directory,
        "name": run.name,
        "verdict": run.verdict,
        "tables": run.environment.get("tables"),
        "report": directory / "report.html",
    }


def _directory(experiment: str, overrides: list[str], out: Path | None) -> Path:
    """Where `run_search` will write; a faulty experiment is refused here, before anything is."""
    if out is not None:
        return out
    if Path(experiment).is_dir():
        return Path(experiment)
    from mnas.search import load_experiment

    return Path("results") / load_experiment(experiment, overrides).name
