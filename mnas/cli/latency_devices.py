"""`mnas latency compare`, and what measuring does when the device is another one."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.arch import MnasError
from mnas.cli.answers import answering
from mnas.cli.options import AsJson, refuse_overwriting, saved_when_interrupted
from mnas.cli.progress import progress_of, reporter
from mnas.cli.tables import table_of
from mnas.cli.wording import counted, milliseconds

if TYPE_CHECKING:
    from mnas.latency import Comparison, Job, LatencyTable, Target
    from mnas.latency.comparing import Disagreement, Pair
    from mnas.space import SearchSpace

Where = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="local|ssh:HOST|cmd:COMMAND",
        help="Where the device is: here, behind ssh ([user@]host[:port]), or behind a command "
        "with {model} in it.",
    ),
]
Python = Annotated[
    str | None,
    typer.Option("--python", metavar="PATH", help="The Python that has the runtime there."),
]
DeviceName = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="What the device is called in the table."),
]
JobFolder = Annotated[
    Path | None,
    typer.Option("--job", metavar="JOB", help="A job folder of `plan`: its rows are collected."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnswer:
    """What `mnas latency plan` says of the job it wrote.

    Attributes:
        blocks: How many distinct blocks are measured.
        networks: How many whole networks.
        size_bytes: Of all models together.
        folder: The job.
    """

    target: "Target"
    address: str
    python: str | None
    blocks: int
    networks: int
    size_bytes: int
    folder: Path


def require_target(
    where: str | None, *, python: str | None, device: str | None, job: Path | None = None
) -> None:
    """Refuse options that would be ignored.

    Raises:
        MnasError: Names the option, and what it belongs to.
    """
    for name, value in (("--python", python), ("--device", device)):
        if value is not None and where is None and (job is None or name == "--device"):
            raise MnasError(f"{name} says something of another device: name that with --target")


def write_plan(
    space: "SearchSpace",
    target: "Target",
    out: Path | None,
    *,
    where: str,
    python: str | None,
    device: str | None,
    most: int | None,
    networks: int,
) -> JobAnswer:
    """Write a job folder.

    Raises:
        MnasError: It is not said where to.
    """
    from mnas.latency import plan_job

    if out is None:
        raise MnasError("with --target a job folder is written: name it with -o JOB")
    with reporter() as shown:
        job = plan_job(
            space,
            target,
            out,
            address=where,
            python=python,
            device=device,
            most=most,
            networks=networks,
            progress=progress_of(shown, "writing models"),
        )
    return JobAnswer(
        target=target,
        address=str(job.address),
        python=job.python,
        blocks=sum(model.role == "block" for model in job.models),
        networks=sum(model.role == "network" for model in job.models),
        size_bytes=sum((out / model.file).stat().st_size for model in job.models),
        folder=out,
    )


def plan_words(found: JobAnswer, space: str, data_options: str) -> Iterator[str]:
    """Print what was written and what to do with it."""
    yield (
        f"{counted(found.blocks, 'block')} and {counted(found.networks, 'whole network')} as "
        f"models for {found.target.runtime}, {found.size_bytes / 1e6:,.0f} MB, in {found.folder}."
    )
    if found.address == "local":
        yield f"On the device: python3 {found.folder}/agent.py, then bring the folder back here."
    repeated = f" --target {shlex.quote(found.address)}" if found.address[:4] == "cmd:" else ""
    repeated += f" --python {shlex.quote(found.python)}" if found.python else ""
    yield (
        f"next: mnas latency measure {space} -o TABLE.csv --job {found.folder}"
        f"{repeated}{data_options}"
    )


def measured_there(
    space: "SearchSpace",
    target: "Target",
    out: Path,
    *,
    where: str,
    python: str | None,
    device: str | None,
    most: int | None,
) -> "LatencyTable":
    """Plan, run and collect in one go."""
    from mnas.latency import measure_on

    saved = f"stopped; what was measured is in {out}.job. The same command goes on there."
    with saved_when_interrupted(saved), reporter() as shown:
        return measure_on(
            where,
            space,
            target,
            out,
            python=python,
            device=device,
            most=most,
            progress=progress_of(shown, "measuring"),
        )


def verified_there(
    table: "LatencyTable",
    space: "SearchSpace",
    networks: int,
    *,
    where: str | None,
    python: str | None,
    force: bool,
) -> "LatencyTable":
    """Time whole networks on the table's device."""
    from mnas.latency import verify_on

    saved = f"stopped; what was timed is in {table.source}.verify-job. The same command goes on."
    with saved_when_interrupted(saved), reporter() as shown:
        return verify_on(
            table,
            space,
            networks,
            address=where,
            python=python,
            force=force,
            progress=progress_of(shown, "verifying"),
        )


def collected(
    space: "SearchSpace", folder: Path, out: Path, *, where: str | None, python: str | None
) -> "LatencyTable":
    """The table of a job folder; what it lacks is measured on its device.

    Raises:
        JobError: It is no job, or one of another space or device.
        DeviceAddressError: Rows are lacking, and the program that the job names was not repeated.
    """
    from mnas.latency import JobError, parse_address, read_job, run_job
    from mnas.latency.addresses import require_repeated
    from mnas.latency.remote import has_all_rows

    job: Job = read_job(folder)
    if job.space.get("digest") != space.digest:
        raise JobError(
            f"{folder} is a job of the space {job.space.get('name')!r} as it was then, not of "
            f"{space.name!r} as it is now. Name that space (with --num-classes and --channels, if "
            "it was planned with them), or plan a job anew"
        )
    said = None if where is None else parse_address(where)
    if said not in (None, job.address) or python not in (None, job.python):
        raise JobError(
            f"{folder} is a job for {job.address}"
            + (f" with {job.python}" if job.python else "")
            + ": --target and --python can only repeat what it says. Plan another job"
        )
    if not has_all_rows(job):
        require_repeated(
            str(folder), job.address, job.python, said_address=said, said_python=python
        )
    saved = f"stopped; what was measured is in {folder}. The same command goes on there."
    with saved_when_interrupted(saved), reporter() as shown:
        return run_job(job, out, progress=progress_of(shown, "measuring"))


def add_compare(latency_app: typer.Typer) -> None:
    """Put `compare` into the group."""

    @latency_app.command("compare", epilog="Example: mnas latency compare pi.csv phone.csv")
    def compare(
        tables: Annotated[list[Path], typer.Argument(metavar="TABLE...", help="Two or more.")],
        merge: Annotated[
            Path | None,
            typer.Option("--merge", metavar="TABLE", help="Write one table of all their rows."),
        ] = None,
        force: Annotated[
            bool, typer.Option("--force", help="Merge what does not fit; the file will say so.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Compare tables: how far devices rank blocks alike, where they disagree most."""
        with answering(as_json) as answer:
            from mnas.latency import LatencyTable, compare_tables, merge_tables

            loaded = [LatencyTable.load(path) for path in tables]
            if force and merge is None:
                raise MnasError("--force is for merging: name the merged table with --merge TABLE")
            found = compare_tables(loaded)
            if merge is not None:
                refuse_overwriting(merge, tables)
                merged = merge_tables(loaded, source=str(merge), force=force)
                merged.save(merge)
            answer.give(found, lambda: _comparison_words(found, merge))


def _comparison_words(found: "Comparison", merged: Path | None) -> Iterator[str]:
    headers = ("table", "device", "runtime", "threads", "dtype", "space", "blocks", "verdict")
    yield from table_of(
        headers,
        [
            (
                one.source,
                one.device,
                f"{one.target.runtime} {one.runtime_version}",
                str(one.target.threads),
                one.target.dtype,
                one.space or "-",
                f"{one.blocks:,}",
                one.verdict or "not verified",
            )
            for one in found.tables
        ],
    )
    for pair in found.pairs:
        yield ""
        yield from _pair_words(pair)
    if merged is not None:
        yield f"\nMerged into {merged}; it is not verified."


def _pair_words(pair: "Pair") -> Iterator[str]:
    if pair.ratio is None or pair.spearman is None:
        shared = counted(pair.shared, "block")
        yield f"{pair.first} and {pair.second} share {shared}: too few to compare."
        return
    yield (
        f"{pair.second} against {pair.first}, {counted(pair.shared, 'shared block')}: "
        f"{pair.ratio:.3g} times as long, rank correlation {pair.spearman.value:.3f} (90 % "
        f"interval {pair.spearman.low:.3f} to {pair.spearman.high:.3f})"
    )
    for what, blocks in (("dearest", pair.dearer), ("cheapest", pair.cheaper)):
        if blocks:
            yield f"relatively {what} in {pair.second}:"
            yield from table_of(("block", "there", "here", "factor"), map(_cells, blocks))


def _cells(each: "Disagreement") -> tuple[str, str, str, str]:
    from mnas.cli.latency_words import block_words

    return (
        block_words(each.block),
        milliseconds(each.first_ms),
        milliseconds(each.second_ms),
        f"{each.factor:.2f}",
    )
