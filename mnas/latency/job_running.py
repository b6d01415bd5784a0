"""Running a job on its device: rows come back as they are timed, a broken connection goes on."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from mnas.latency import agent
from mnas.latency.addresses import Address, ByCommand
from mnas.latency.connections import Connection, ConnectionLostError, connection_to, rows_in
from mnas.latency.errors import DeviceError, TableMismatchError
from mnas.latency.job_rows import JobRows
from mnas.latency.jobs import Job
from mnas.latency.rounds import Progress
from mnas.latency.table import LatencyTable

# Pauses before a lost connection is tried again; after the last one it is given up.
_PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
Pause = Callable[[float], None]


def name_there(table: LatencyTable, address: Address) -> str | None:
    """What a table's device is called at an address; None where it says so itself.

    What is behind a command cannot say what it is: it is taken to be the table's device.
    """
    if isinstance(address, ByCommand):
        return table.device
    return table.where.get("device") if str(address) == table.where.get("address") else None


def finished_rows(
    job: Job,
    progress: Progress,
    pause: Pause,
    *,
    wanted: LatencyTable | None = None,
    is_awaited: bool = False,
) -> JobRows:
    """All rows of a job; the device is asked for those that are not here.

    Args:
        job: What is measured.
        progress: Told (done, total, what) after each row.
        pause: Waits before a lost connection is tried again.
        wanted: The device and the version of its runtime must be those of this table.
        is_awaited: Try a device that was never reached as often as one whose connection broke.

    Raises:
        DeviceError: The device cannot be reached or its agent cannot run; what it said is kept.
        TableMismatchError: Another device, or another version of the runtime.
        JobError: A row is none.
    """
    with JobRows(job.rows_path) as rows:
        if not rows.is_done:
            connection = connection_to(job)
            try:
                _run(job, connection, rows, progress, pause, wanted, is_awaited)
            except DeviceError as error:
                is_asked_only = job.reference is None and not job.rounds
                if not rows.timed or is_asked_only:
                    raise
                raise type(error)(
                    f"{error}\nWhat was measured so far is in {job.folder}: "
                    "the same command goes on there."
                ) from None
            finally:
                connection.close()
        rows.require_about()
        if wanted is not None:
            _require_same(wanted, rows.about)
    return rows


def _run(
    job: Job,
    connection: Connection,
    rows: JobRows,
    progress: Progress,
    pause: Pause,
    wanted: LatencyTable | None,
    was_there: bool,
) -> None:
    lost = 0
    while not rows.is_done:
        before = rows.timed
        try:
            about = connection.ready()
            was_there = True
            rows.require_same(about)
            if wanted is not None:
                _require_same(wanted, about)
            _stream(job, connection, rows, progress)
        except ConnectionLostError as error:
            lost = 1 if rows.timed > before else lost + 1
            if not was_there or lost > len(_PAUSES_S):
                raise
            progress(rows.timed, _total(job), f"{error}; trying again".splitlines()[0])
            pause(_PAUSES_S[lost - 1])
    with contextlib.suppress(DeviceError):  # the rows are here: a folder left there harms nobody
        connection.clean()


def _stream(job: Job, connection: Connection, rows: JobRows, progress: Progress) -> None:
    """Take rows until the agent ends."""
    process = connection.start()
    total = _total(job)
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # why it is gone, its exit code says
            process.stdin.write("".join(f"{line}\n" for line in rows.lines).encode())
            process.stdin.close()
        for row in rows_in(process):
            waiting = row.get("waiting")
            if waiting is None:
                rows.add(row)
            progress(min(rows.timed, total), total, waiting or f"timed on {job.address}"[:60])
        code = process.wait()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code == agent.GONE:
        raise DeviceError(
            f"the device does not answer: not even an empty model runs ({rows.last_failure})"
        )
    if code or not rows.is_done:
        raise connection.complain(code)


def _total(job: Job) -> int:
    """About how many rows there will be."""
    blocks = sum(model.role == "block" for model in job.models)
    networks = sum(model.role == "network" for model in job.models)
    return 1 + blocks * job.settings.passes + networks * job.rounds


def _require_same(table: LatencyTable, about: Mapping[str, Any]) -> None:
    for what, there, here in (
        ("device", table.device, about["device"]),
        ("runtime version", table.runtime_version, about["runtime_version"]),
    ):
        if there != here:
            raise TableMismatchError(
                f"{table.source} was measured with {what} {there!r}, but the device there has "
                f"{here!r}. Measure a table there with `mnas latency measure`"
            )
