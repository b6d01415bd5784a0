"""`mnas latency`: measure a latency table, verify it, predict with it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.answers import answering
from mnas.cli.count_command import NetworkArgument
from mnas.cli.latency_devices import DeviceName, JobFolder, Python, Where, add_compare
from mnas.cli.options import (
    AsJson,
    Channels,
    GroupHelp,
    NumClasses,
    SpaceArgument,
    read_architecture,
    read_space,
    refuse_overwriting,
    saved_when_interrupted,
)
from mnas.cli.progress import progress_of, reporter
from mnas.cli.wording import counted, duration, latency_with_margin, percent

if TYPE_CHECKING:
    from mnas.latency import Target

TableArgument = Annotated[
    Path, typer.Argument(metavar="TABLE", help="A latency table, as `mnas latency measure` writes.")
]
TableOut = Annotated[
    Path, typer.Option("-o", "--out", metavar="TABLE", help="The table's file, a CSV.")
]
RuntimeOption = Annotated[str, typer.Option(help="What runs the network.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the runtime.")]
Dtype = Annotated[str, typer.Option(help="Numbers the network computes with.")]
Regime = Annotated[
    str,
    typer.Option(help="steady: caches are warm; cold: filled with something else before a run."),
]
Most = Annotated[
    int | None,
    typer.Option(
        min=1, help="Measure at most so many blocks, the most informative ones; predict the rest."
    ),
]

latency_app = typer.Typer(add_help_option=False, rich_markup_mode=None)


add_compare(latency_app)


@latency_app.callback()
def _group(show_help: GroupHelp = False) -> None:
    """Take the options of the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAnswer:
    """What `mnas latency plan` says.

    Attributes:
        blocks: How many distinct blocks would be measured.
        left_out: How many others would be predicted from those.
        predicted_share: About which part of a network's time these make up.
        seconds: Estimated duration; an order of magnitude.
        out: Where the table would be written; None if that was not said.
    """

    target: "Target"
    blocks: int
    left_out: int
    predicted_share: float
    seconds: float
    out: Path | None


def add_to(app: typer.Typer) -> None:
    """Put the group into the command tree."""
    app.add_typer(
        latency_app,
        name="latency",
        help="Measure a latency table of this machine, verify it, predict with it.",
        epilog="Example: mnas latency measure mobilenet_v3 -o my_table.csv",
    )


@latency_app.command("plan", epilog="Example: mnas latency plan mobilenet_v3 --threads 1")
def plan_table(
    space: SpaceArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="TABLE|JOB", help="The table's file; with --target a job folder."
        ),
    ] = None,
    runtime: RuntimeOption = "onnxruntime",
    threads: Threads = 1,
    dtype: Dtype = "fp32",
    regime: Regime = "steady",
    most: Most = None,
    where: Where = None,
    python: Python = None,
    device: DeviceName = None,
    networks: Annotated[
        int, typer.Option(min=0, help="Whole networks in the job, to verify with; 0 for none.")
    ] = 70,
    num_classes: NumClasses = None,
    channels: Channels = None,
    as_json: AsJson = False,
) -> None:
    """Say what measuring a table takes; with --target, write a job folder for another device."""
    with answering(as_json) as answer:
        from mnas.cli.latency_devices import plan_words, require_target, write_plan
        from mnas.latency import Target, plan_measurement, runtime_for
        from mnas.latency.device import require_cores

        target = Target(runtime=runtime, threads=threads, dtype=dtype, regime=regime)
        require_target(where, python=python, device=device)
        if where is not None:
            job = write_plan(
                read_space(space, num_classes, channels),
                target,
                out,
                where=where,
                python=python,
                device=device,
                most=most,
                networks=networks,
            )
            data_options = _data_options(num_classes, channels)
            answer.give(job, lambda: plan_words(job, space, data_options))
            return
        require_cores(target)
        runtime_for(target)
        plan = plan_measurement(read_space(space, num_classes, channels), target, most=most)
        found = PlanAnswer(target=target, out=out, **asdict(plan))

        def show() -> Iterator[str]:
            yield (
                f"{counted(found.blocks, 'block')} to measure with {runtime} ({dtype}, "
                f"{counted(threads, 'thread')}), in about {duration(found.seconds)}."
            )
            if found.left_out:
                share = percent(found.predicted_share, 0)
                yield (
                    f"{counted(found.left_out, 'block')} will be predicted from these: about "
                    f"{share} of a network's time. What that costs, measure and verify tell."
                )
            yield (
                f"next: mnas latency measure {space} -o {out or 'TABLE.csv'}"
                + _target_options(target)
                + ("" if most is None else f" --most {most}")
                + _data_options(num_classes, channels)
            )

        answer.give(found, show)


@latency_app.command(
    "measure", epilog="Example: mnas latency measure mobilenet_v3 -o my_table.csv --threads 1"
)
def measure(
    space: SpaceArgument,
    out: TableOut,
    runtime: RuntimeOption = "onnxruntime",
    threads: Threads = 1,
    dtype: Dtype = "fp32",
    regime: Regime = "steady",
    most: Most = None,
    where: Where = None,
    python: Python = None,
    device: DeviceName = None,
    job: JobFolder = None,
    num_classes: NumClasses = None,
    channels: Channels = None,
    as_json: AsJson = False,
) -> None:
    """Measure every block the space can reach; the same command goes on after an interruption."""
    with answering(as_json) as answer:
        from mnas.cli.latency_devices import collected, measured_there, require_target
        from mnas.cli.latency_words import show_table
        from mnas.latency import Target, measure_table

        require_target(where, python=python, device=device, job=job)
        target = Target(runtime=runtime, threads=threads, dtype=dtype, regime=regime)
        loaded = read_space(space, num_classes, channels)
        saved = f"stopped; what was measured is in {out}.partial. The same command goes on there."
        if job is not None:
            table = collected(loaded, job, out, where=where, python=python)
        elif where is not None:
            table = measured_there(
                loaded, target, out, where=where, python=python, device=device, most=most
            )
        else:
            with saved_when_interrupted(saved), reporter() as shown:
                table = measure_table(
                    loaded, target, out, most=most, progress=progress_of(shown, "measuring")
                )
        data_options = _data_options(num_classes, channels)

        def show() -> Iterator[str]:
            yield from show_table(table, slowest=5)
            yield f"next: mnas latency verify {out} {space}{data_options}"

        answer.give(table, show)


@latency_app.command("verify", epilog="Example: mnas latency verify my_table.csv mobilenet_v3")
def verify(
    table: TableArgument,
    space: SpaceArgument,
    networks: Annotated[
        int, typer.Option(min=3, help="Whole networks to time; more give narrower intervals.")
    ] = 70,
    where: Where = None,
    python: Python = None,
    num_classes: NumClasses = None,
    channels: Channels = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also with a space the table was not measured for.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Time whole networks end to end, and write into the table how far it can be trusted."""
    with answering(as_json) as answer:
        from mnas.cli.latency_devices import verified_there
        from mnas.cli.latency_words import show_verification
        from mnas.latency import LatencyTable, verify_table

        loaded = LatencyTable.load(table)
        if where is not None or loaded.where.get("address"):
            there = verified_there(
                loaded,
                read_space(space, num_classes, channels),
                networks,
                where=where,
                python=python,
                force=force,
            )
            answer.give(there.verification, lambda: show_verification(there, space))
            return
        saved = f"stopped; {table} is as it was. The same command starts verifying again."
        with saved_when_interrupted(saved), reporter() as shown:
            verified = verify_table(
                loaded,
                read_space(space, num_classes, channels),
                networks,
                progress=progress_of(shown, "verifying"),
                force=force,
            )
        answer.give(verified.verification, lambda: show_verification(verified, space))


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictAnswer:
    """What `mnas latency predict` says.

    Attributes:
        predicted_blocks: Milliseconds, before any correction, of each block that the table did not
            measure, by its place in the network.
        verdict: Of the table's verification; None where it is not verified.
    """

    ms: float
    low_ms: float | None
    high_ms: float | None
    predicted_share: float
    predicted_blocks: dict[str, float]
    verdict: str | None


@latency_app.command("predict", epilog="Example: mnas latency predict my_table.csv mobilenet_v2")
def predict(table: TableArgument, network: NetworkArgument, as_json: AsJson = False) -> None:
    """Predict what a network takes on the table's target, with its margin."""
    with answering(as_json) as answer:
        from mnas.cli.latency_words import predicted_words, verification_words, warnings_of
        from mnas.cli.tables import paragraph
        from mnas.latency import LatencyTable

        loaded = LatencyTable.load(table)
        arch = read_architecture(network)
        latency = loaded.predict(arch)
        found = PredictAnswer(
            **asdict(latency),
            predicted_blocks=loaded.unmeasured(arch),
            verdict=loaded.verification.verdict if loaded.verification else None,
        )

        def show() -> Iterator[str]:
            margin = latency_with_margin(found.ms, found.low_ms, found.high_ms)
            yield f"{arch.name} ({arch.id}): {margin}"
            if found.predicted_blocks:
                yield from predicted_words(loaded, arch, found.predicted_blocks)
            yield from warnings_of(loaded)
            yield paragraph(verification_words(loaded))

        answer.give(found, show)


@latency_app.command("show", epilog="Example: mnas latency show my_table.csv --html my_table.html")
def show_file(
    table: TableArgument,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", "-o", metavar="FILE", help="Write the page about this device there, too."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a table's target, its slowest blocks and how far it can be trusted, also as a page."""
    with answering(as_json) as answer:
        from mnas.cli.latency_words import show_table
        from mnas.latency import LatencyTable

        loaded = LatencyTable.load(table)
        if html is not None:
            refuse_overwriting(html, [table])
            from mnas.results import write_table_page

            write_table_page(loaded, html)

        def show() -> Iterator[str]:
            yield from show_table(loaded, slowest=10)
            if html is None:
                page = table.with_suffix(".html")
                yield f"next: mnas latency show {table} --html {page}  (plots, what SE costs here)"
            else:
                yield f"page: {html}"

        answer.give(loaded, show)


def _target_options(target: "Target") -> str:
    usual = {"runtime": "onnxruntime", "threads": 1, "dtype": "fp32", "regime": "steady"}
    return "".join(
        f" --{name} {getattr(target, name)}"
        for name, value in usual.items()
        if getattr(target, name) != value
    )


def _data_options(num_classes: int | None, channels: int | None) -> str:
    given = {"--num-classes": num_classes, "--channels": channels}
    return "".join(f" {name} {value}" for name, value in given.items() if value is not None)
