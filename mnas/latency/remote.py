"""Measuring and verifying a table on another device: a job goes there, its rows come back."""

import os
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from mnas.arch import Architecture
from mnas.latency import agent
from mnas.latency.addresses import Address, Here, parse_address, require_repeated
from mnas.latency.errors import JobError, MeasuringError
from mnas.latency.job_rows import JobRows
from mnas.latency.job_running import Pause, finished_rows, name_there
from mnas.latency.jobs import Job, plan_job, write_job
from mnas.latency.passes import Passes
from mnas.latency.reachable import MeasurableSpace
from mnas.latency.reorders import PASS_THROUGHS
from mnas.latency.rounds import Progress, no_progress
from mnas.latency.table import LatencyTable
from mnas.latency.target import Target
from mnas.latency.timing import Settings
from mnas.latency.verifying import (
    require_measured,
    space_facts,
    spread_over_latency,
    with_verification,
)


def measure_on(
    address: Address | str,
    space: MeasurableSpace,
    target: Target,
    out: str | os.PathLike[str],
    also: Sequence[Architecture] = (),
    *,
    python: str | None = None,
    device: str | None = None,
    most: int | None = None,
    settings: Settings | None = None,
    timeout_s: float = 60,
    progress: Progress = no_progress,
    pause: Pause = time.sleep,
) -> LatencyTable:
    """Measure every block a space can reach on another device, and write the table.

    Plans the job `OUT.job`, brings it there, takes the rows as they come, and removes it when the
    table is written. What was measured before an interruption is kept in it.

    Args:
        address: Where the device is: `local`, `ssh:[user@]host[:port]` or `cmd:COMMAND`.
        space: The search space.
        target: Runtime, threads, dtype, batch.
        out: The table's file.
        also: Networks whose blocks belong into the table too.
        python: Runs the agent there, such as `venv/bin/python`.
        device: What the device is called; None for what it says itself.
        most: Largest number of blocks to measure.
        settings: The protocol.
        timeout_s: How long one model may take.
        progress: Told (done, total, what) after each row.
        pause: Waits before a lost connection is tried again.

    Returns:
        The table, not yet verified; its header says how the device was reached.

    Raises:
        DeviceAddressError: The address is none.
        DeviceError: The device cannot be reached or its agent cannot run; what was measured is
            kept.
        MeasuringError: Every block failed; tells the first reason.
        JobError: `OUT.job` is of something else.
    """
    folder = Path(f"{os.fspath(out)}.job")
    job = plan_job(
        space,
        target,
        folder,
        also,
        address=address,
        python=python,
        device=device,
        most=most,
        networks=0,
        settings=settings,
        timeout_s=timeout_s,
        progress=progress,
    )
    table = run_job(job, out, progress=progress, pause=pause)
    shutil.rmtree(folder)
    return table


def run_job(
    job: Job,
    out: str | os.PathLike[str],
    *,
    progress: Progress = no_progress,
    pause: Pause = time.sleep,
) -> LatencyTable:
    """Run what a job lacks on its device, and write the table of its rows.

    Args:
        job: What to measure; rows that were brought back by hand are taken as they are. What it
            names as command and `python` runs, if rows are lacking.
        out: The table's file.
        progress: Told (done, total, what) after each row.
        pause: Waits before a lost connection is tried again.

    Returns:
        The table; verified, if the job holds whole networks.

    Raises:
        JobError: It holds no blocks, or its rows do not say which device they are of.
        DeviceError: The device cannot be reached or its agent cannot run.
        MeasuringError: Every block failed; tells the first reason.
    """
    if job.reference is None:
        raise JobError(f"{job.folder} holds no blocks: a table is made of them. Plan a job for one")
    rows = finished_rows(job, progress, pause)
    table = _table_of(job, rows, os.fspath(out))
    if job.rounds:
        table = _verified(table, job, rows)
    table.save(out)
    return table


def has_all_rows(job: Job) -> bool:
    """Whether a job's agent has said that nothing is left: then `run_job` runs nothing.

    Raises:
        JobError: A row is none.
    """
    with JobRows(job.rows_path) as rows:
        return rows.is_done


def verify_on(
    table: LatencyTable,
    space: MeasurableSpace,
    networks: int = 70,
    *,
    address: Address | str | None = None,
    python: str | None = None,
    rounds: int = 6,
    settings: Settings | None = None,
    timeout_s: float = 60,
    progress: Progress = no_progress,
    pause: Pause = time.sleep,
    seed: int = 0,
    force: bool = False,
) -> LatencyTable:
    """Time whole networks on the device that a table was measured on; see `verify_table`.

    Args:
        table: What to verify.
        space: Where the networks come from.
        networks: How many to time.
        address: Where the device is; None for where the table says it was, if that is no command.
        python: Runs the agent there; what the table says has to be repeated.
        rounds: How often each is timed.
        settings: How networks are timed.
        timeout_s: How long one network may take.
        progress: Told (done, total, what) after each row.
        pause: Waits before a lost connection is tried again.
        seed: Decides the samples.
        force: Verify with a space whose blocks the table did not measure, too.

    Returns:
        The table with its correction and verification; also written to its file, if it has one.

    Raises:
        DeviceAddressError: The table names a program to run, and it was not repeated.
        TableMismatchError: The device there, or its runtime's version, is not the table's, or the
            space is not.
        DeviceError: It cannot be reached or its agent cannot run.
        MeasuringError: Too few networks could be timed.
    """
    said = parse_address(address) if isinstance(address, str) else address
    place = said or parse_address(table.where.get("address", "local"))
    if python is None:
        require_repeated(table.source, place, table.where.get("python"), said_address=said)
    else:
        require_repeated(table.source, place, None, said_address=said)
    chosen = spread_over_latency(table, space, networks, random.Random(seed))
    if not force:
        require_measured(table, space, chosen)
    folder = Path(f"{table.source}.verify-job")
    job = write_job(
        folder,
        table.target,
        blocks=(),
        networks=chosen,
        address=place,
        python=python,
        device=name_there(table, place),
        settings=settings or Settings(),
        timeout_s=timeout_s,
        space=space_facts(space),
        also=(),
        rounds=rounds,
        progress=progress,
    )
    rows = finished_rows(job, progress, pause, wanted=table)
    verified = _verified(table, job, rows)
    if Path(table.source).is_file():
        verified.save(table.source)
    shutil.rmtree(folder)
    return verified


def _table_of(job: Job, rows: JobRows, source: str) -> LatencyTable:
    blocks = job.blocks()
    names = {key: block.key for key, block in blocks.items()}
    found = Passes(
        blocks={block.key: block for block in blocks.values()},
        target=job.target,
        settings=job.settings,
        passes={},
        failures={},
    )
    names |= {agent.EMPTY: agent.EMPTY, agent.REFERENCE: found.reference_key}
    names |= {model.key: model.key for model in PASS_THROUGHS}
    return Passes(
        blocks=found.blocks,
        target=found.target,
        settings=found.settings,
        passes={names[key]: times for key, times in rows.passes.items() if key in names},
        failures={names[key]: said for key, said in rows.failures.items() if key in names},
    ).table(
        device=rows.about["device"],
        runtime_version=rows.about["runtime_version"],
        space=job.space,
        also=job.also,
        left_out=job.left_out,
        pinned=rows.about.get("pinned", {}),
        source=source,
        where=_where(job),
    )


def _where(job: Job) -> dict[str, str]:
    if isinstance(job.address, Here) and job.python is None and job.device is None:
        return {}
    found = {"address": str(job.address), "python": job.python, "device": job.device}
    return {name: value for name, value in found.items() if value is not None}


def _verified(table: LatencyTable, job: Job, rows: JobRows) -> LatencyTable:
    networks = job.networks()
    timed = {key: arch for key, arch in networks.items() if len(rows.passes.get(key, ())) >= 2}
    if len(timed) < 3:
        first = next((said[-1] for key, said in rows.failures.items() if key in networks), "")
        raise MeasuringError(
            f"only {len(timed)} of {len(networks)} networks could be timed on {job.address}, the "
            f"others failed, the first with {first or 'no reason'}"
        )
    ordered = sorted(timed.items(), key=lambda item: table.predict_raw_ms(item[1]))
    return with_verification(
        table,
        [arch for _, arch in ordered],
        {arch.id: rows.passes[key] for key, arch in ordered},
        random.Random(0),
        space=job.space,
    )
