"""`mnas proxy-check`: how far the proxy of an experiment can be trusted."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.answers import answering
from mnas.cli.options import AsJson, saved_when_interrupted
from mnas.cli.progress import reporter
from mnas.cli.tables import facts, table_of
from mnas.cli.wording import counted, duration, percent

if TYPE_CHECKING:
    from mnas.results.proxy_checks import ProxyCheck
    from mnas.search import Step


def add_to(app: typer.Typer) -> None:
    """Put the command into the tree."""
    app.command(
        "proxy-check",
        epilog="Example: mnas proxy-check experiments/quickstart.yaml --networks 12 --seeds 2",
    )(proxy_check)


def proxy_check(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            help="An experiment file, the name of a shipped one, or the folder of a run.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key=value]...", help="Keys of the file to set otherwise."),
    ] = None,
    networks: Annotated[
        int, typer.Option(min=3, max=200, help="Networks, from all sizes of the space.")
    ] = 12,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each at each length.")] = 2,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of the longer training; default three times the highest rung."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder; what is there is gone on with."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how far the short training ranks networks as a longer one does; resumable."""
    with answering(as_json) as answer:
        from mnas.search import StopRequest, check_proxy

        stop = StopRequest()
        saved = "stopped; every training that ended is saved. The same command goes on from there."
        with saved_when_interrupted(saved), reporter() as shown:

            def told() -> None:
                shown.say("finishing the running trainings; Ctrl-C again stops at once")

            def observe(step: "Step") -> None:
                shown.step(step.phase, step.done, step.total, step.text)

            with stop.listening(told):
                check = check_proxy(
                    experiment,
                    overrides or [],
                    networks=networks,
                    seeds=seeds,
                    epochs=epochs,
                    out=out,
                    observer=observe,
                    stop=stop,
                )
        answer.give(check, lambda: _show(check))


def _show(check: "ProxyCheck") -> Iterator[str]:
    yield from facts(
        [
            ("networks", f"{check.networks}, {counted(check.seeds, 'seed')} at each length"),
            ("held against", f"{counted(check.long_epochs, 'epoch')}, annealed to the end"),
            ("its seed noise", percent(check.long_noise, 2)),
            ("parameters alone", f"rho {_rho(check.params_rho)}: what a proxy must beat"),
            ("failed trainings", str(check.failed)),
            ("kept in", str(check.directory)),
        ]
    )
    yield ""
    rows = [
        (
            str(rung.epochs),
            f"{_rho(rung.rho)} ({_rho(rung.low)} to {_rho(rung.high)})",
            _rho(rung.single_rho),
            percent(rung.noise, 2),
            percent(rung.smallest_gap, 2),
            percent(rung.span, 2),
            duration(rung.seconds),
        )
        for rung in check.rungs
    ]
    headers = ("epochs", "rho (95 %)", "one seed", "seed noise", "least gap", "span", "a training")
    yield from table_of(headers, rows, numbers=True)
    yield ""
    if check.cheapest_epochs is None:
        yield "No rung ranks these networks surely better than chance."
    else:
        yield f"Cheapest rung that keeps the ranking: {counted(check.cheapest_epochs, 'epoch')}."
    yield "least gap: equally good networks differ by less in 95 % of single trainings."


def _rho(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
