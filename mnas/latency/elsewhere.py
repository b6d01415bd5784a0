"""Deployed networks timed end to end on another device, and asking what is there."""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.arch import Architecture, MnasError
from mnas.latency.addresses import Address, parse_address
from mnas.latency.job_running import Pause, finished_rows, name_there
from mnas.latency.jobs import write_job
from mnas.latency.rounds import Progress, no_progress, split_half_difference
from mnas.latency.table import LatencyTable
from mnas.latency.target import Target, Timing
from mnas.latency.timing import Settings, combine

_FEWEST_ROUNDS = 2  # what failed oftener has no time that could be believed


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTimes:
    """What timing networks on a device gave.

    Attributes:
        device: What the device says it is.
        runtime_version: Of its runtime.
        timings: By the architecture's id; lower is better.
        failures: Why a network has no time, by the architecture's id.
        noise_floor: Mean relative difference of a network's two halves of rounds; None where
            nothing was timed.
    """

    device: str
    runtime_version: str
    timings: Mapping[str, Timing]
    failures: Mapping[str, str]
    noise_floor: float | None


def time_networks_on(
    address: Address | str,
    networks: Sequence[Architecture],
    target: Target,
    folder: str | os.PathLike[str],
    *,
    files: Mapping[str, Path] | None = None,
    table: LatencyTable | None = None,
    python: str | None = None,
    device: str | None = None,
    rounds: int = 6,
    settings: Settings | None = None,
    timeout_s: float = 60,
    is_awaited: bool = False,
    progress: Progress = no_progress,
    pause: Pause = time.sleep,
) -> DeviceTimes:
    """Time whole networks on another device, interleaved, as a table's verification times them.

    Args:
        address: Where the device is: `ssh:[user@]host[:port]`, `cmd:COMMAND` or `local`.
        networks: What to time.
        target: Runtime, threads, dtype, batch.
        folder: The job; what was timed before an interruption is kept in it. Remove it when what
            this returns is kept elsewhere.
        files: Deployed files by the architecture's id, in the format of the target's runtime; of
            other networks one with random weights is written.
        table: The device and its runtime's version must be this table's.
        python: Runs the agent there, such as `venv/bin/python`.
        device: What the device is called; None for the table's name of it, or what it says.
        rounds: How often each network is timed; at least 2.
        settings: How a round is timed.
        timeout_s: How long one network may take.
        is_awaited: Try a device that was never reached as often as one whose connection broke.
        progress: Told (done, total, what) after each row.
        pause: Waits before a connection is tried again.

    Returns:
        Times of the networks, and for those that failed a reason.

    Raises:
        DeviceAddressError: The address is none.
        DeviceError: The device cannot be reached, does not answer any more, or its agent cannot
            run; what was timed is kept in the folder.
        TableMismatchError: Another device is there than the table's.
        UnknownNameError: No agent can run the target's runtime.
        JobError: The folder holds another job, or one of other files.
        MnasError: Fewer than two rounds.
    """
    if rounds < _FEWEST_ROUNDS:
        raise MnasError(f"each network is timed at least {_FEWEST_ROUNDS} times; got {rounds}")
    place = parse_address(address) if isinstance(address, str) else address
    job = write_job(
        folder,
        target,
        blocks=(),
        networks=networks,
        address=place,
        python=python,
        device=device or (name_there(table, place) if table is not None else None),
        settings=settings or Settings(),
        timeout_s=timeout_s,
        space={},
        also=(),
        rounds=rounds,
        files=files,
        progress=progress,
    )
    rows = finished_rows(job, progress, pause, wanted=table, is_awaited=is_awaited)
    found = {key: rows.passes.get(key, []) for key in job.networks()}
    timed = {key: passes for key, passes in found.items() if len(passes) >= _FEWEST_ROUNDS}
    ids = {key: arch.id for key, arch in job.networks().items()}
    return DeviceTimes(
        device=rows.about["device"],
        runtime_version=rows.about["runtime_version"],
        timings={ids[key]: combine(passes) for key, passes in timed.items()},
        failures={
            ids[key]: rows.failures.get(key, ["it was not timed"])[-1]
            for key in found
            if key not in timed
        },
        noise_floor=split_half_difference(timed) if timed else None,
    )


def ask_device(
    address: Address | str,
    target: Target,
    *,
    table: LatencyTable | None = None,
    python: str | None = None,
    device: str | None = None,
    timeout_s: float = 60,
    progress: Progress = no_progress,
    pause: Pause = time.sleep,
) -> Mapping[str, Any]:
    """Run an empty model on a device, and say what it is: whoever needs it later asks first.

    Args:
        address: Where the device is.
        target: Runtime, threads, dtype, batch.
        table: The device and its runtime's version must be this table's.
        python: Runs the agent there.
        device: What the device is called; None for the table's name of it, or what it says.
        timeout_s: How long it may take.
        progress: Told what it waits for.
        pause: Waits before a connection is tried again.

    Returns:
        At least `device` and `runtime_version`.

    Raises:
        DeviceError: It cannot be reached, its agent cannot run, or runs not even that.
        TableMismatchError: Another device is there than the table's.
        UnknownNameError: No agent can run the target's runtime.
    """
    place = parse_address(address) if isinstance(address, str) else address
    with tempfile.TemporaryDirectory() as folder:
        job = write_job(
            Path(folder) / "job",
            target,
            blocks=(),
            networks=(),
            address=place,
            python=python,
            device=device or (name_there(table, place) if table is not None else None),
            settings=Settings(),
            timeout_s=timeout_s,
            space={},
            also=(),
        )
        rows = finished_rows(job, progress, pause, wanted=table)
        return dict(rows.about)
