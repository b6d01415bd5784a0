"""The command tree. Building it loads nothing heavy: commands import what they need themselves."""

from typing import Annotated

import typer

from mnas.cli import (
    count_command,
    doctor_command,
    export_command,
    latency_commands,
    proxy_check_command,
    run_commands,
    search_command,
    space_commands,
    train_command,
)
from mnas.cli.options import GroupHelp

app = typer.Typer(
    name="mnas",
    help="Find MobileNet-family networks that are as accurate as possible within a latency budget.",
    epilog=(
        "Example: mnas search experiments/quickstart.yaml, then mnas train results/quickstart, "
        "then mnas export results/quickstart"
    ),
    add_completion=False,
    add_help_option=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    if asked:
        from mnas import __version__

        typer.echo(f"mnas {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a defect of mnas itself.")
    ] = False,
    show_help: GroupHelp = False,
) -> None:
    """Take the options that stand before a command; `run_command` reads --debug itself."""


for _module in (
    space_commands,
    count_command,
    latency_commands,
    search_command,
    proxy_check_command,
    run_commands,
    train_command,
    export_command,
    doctor_command,
):
    _module.add_to(app)
