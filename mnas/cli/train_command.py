"""`mnas train`: the full recipe, for weights that are deployed."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.arch import MnasError
from mnas.cli.answers import answering
from mnas.cli.options import (
    AsJson,
    Pick,
    is_run,
    read_architecture,
    saved_when_interrupted,
    spec_of,
)
from mnas.cli.progress import progress_of, reporter
from mnas.cli.tables import facts
from mnas.cli.wording import with_interval

if TYPE_CHECKING:
    from mnas.training import TrainedNetwork


class TrainingRequestError(MnasError):
    """Options of `mnas train` that do not go together, or one that is lacking."""


def add_to(app: typer.Typer) -> None:
    """Put the command into the tree."""
    app.command("train", epilog="Example: mnas train results/quickstart --pick best")(train)


def train(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RUN|ARCH.json", help="The folder of a run, or an architecture document."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[key=value]...",
            help="Keys to set otherwise: train.epochs=20; with ARCH.json also data.val, seed.",
        ),
    ] = None,
    pick: Pick = "best",
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE[:PATH]", help="With ARCH.json: what to train on."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="With ARCH.json: the folder to write."),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(min=1, help="How many train it together; they share the processors."),
    ] = 1,
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="tensorboard|mlflow|wandb", help="Send metrics there, too; can be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network fully and keep its best weights; the same command goes on after a kill."""
    with answering(as_json) as answer:
        saved = "stopped; the last finished epoch is saved. The same command goes on from there."
        of_run = is_run(subject)
        _require_sense(of_run, pick, data, out)
        from mnas.search import train_architecture, train_run
        from mnas.training import metrics_logger

        loggers = [metrics_logger(name) for name in dict.fromkeys(log or [])]
        arch = None if of_run else read_architecture(subject)
        with saved_when_interrupted(saved), reporter() as shown:
            progress = progress_of(shown, "training")
            if arch is None:
                trained = train_run(
                    subject,
                    overrides or (),
                    pick=pick,
                    processes=processes,
                    loggers=loggers,
                    progress=progress,
                )
            else:
                trained = train_architecture(
                    arch,
                    overrides or (),
                    data=spec_of(data or ""),
                    directory=out or Path(),
                    processes=processes,
                    loggers=loggers,
                    progress=progress,
                )
        command = _next_command(subject, pick, trained, as_the_run_says=of_run and not overrides)
        answer.give(trained, lambda: _show(trained, command))


def _require_sense(of_run: bool, pick: str, data: str | None, out: Path | None) -> None:
    """An option that would be ignored is an error, and so is one that is lacking."""
    if of_run and (data is not None or out is not None):
        raise TrainingRequestError(
            "a run has its own data and folder; --data and -o go with an architecture document"
        )
    if not of_run and pick != "best":
        raise TrainingRequestError("--pick chooses a network of a run; an ARCH.json is one already")
    if not of_run and (data is None or out is None):
        raise TrainingRequestError(
            "training an architecture document needs --data SOURCE[:PATH] and -o DIR, such as "
            "--data digits -o my_training"
        )


def _next_command(
    subject: str, pick: str, trained: "TrainedNetwork", *, as_the_run_says: bool
) -> str:
    if as_the_run_says:
        chosen = "" if pick == "best" else f" --pick {pick}"
        return f"mnas export {shlex.quote(subject)}{chosen}"
    document, weights = trained.directory / "architecture.json", trained.weights
    return f"mnas export {shlex.quote(str(document))} --weights {shlex.quote(str(weights))}"


def _show(trained: "TrainedNetwork", command: str) -> Iterator[str]:
    val, test = trained.val, trained.test
    rows = [
        ("validation accuracy", f"{with_interval(val.value, val.low, val.high)}, chose the epoch"),
    ]
    if test is not None:
        rows.append(("test accuracy", with_interval(test.value, test.low, test.high)))
        rows.append(("test images", f"{test.total:,}; in brackets the 95 % interval"))
    rows += [("best epoch", str(trained.best_epoch)), ("weights", str(trained.weights))]
    rows.append(("curves", str(trained.directory / "training.html")))
    yield from facts(rows)
    yield f"next: {command}"
