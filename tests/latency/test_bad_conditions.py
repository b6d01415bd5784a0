"""A full disk, a device that sleeps, a killed process: what was measured stays, and counts once."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from mnas.arch import MnasError, UnwritableFileError, write_atomically
from mnas.latency import LatencyTable, Settings, Target, measure_table

FEW = Settings(passes=2, most_passes=4, group_ms=0.001)
KILLED = """
import sys
from mnas.latency import Settings, Target, measure_table
from mnas.space import load_space
few = Settings(warm_ups=1, runs=2, passes=2, most_passes=2, group_ms=0.01)
measure_table(load_space("small_digits"), Target(), sys.argv[1], settings=few, most=60)
"""


def measure(space, machine, out, **options):
    return measure_table(
        space, Target(**options), out, runtime=machine, clock=machine.clock, settings=FEW
    )


@pytest.fixture
def disk_of():
    """Sets how large a file may become; the system then answers as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_error_and_the_measurement_goes_on_from_there(
    space, machine, tmp_path, disk_of
):
    disk_of(20_000)
    with pytest.raises(
        UnwritableFileError, match=r"cannot write .*t\.csv\.partial: File too large"
    ):
        measure(space, machine, tmp_path / "t.csv")
    kept = (tmp_path / "t.csv.partial").read_text().splitlines()
    disk_of(resource.RLIM_INFINITY)
    timed = len(machine.prepared)

    table = measure(space, machine, tmp_path / "t.csv")

    # All lines but the torn last one were used: the header, and one for each timing.
    again = len(machine.prepared) - timed
    whole = len(kept) - 2
    assert again < 2 * len(table.rows) + 40 - whole
    assert {row.status for row in table.rows} == {"measured"}
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_full_disk_at_the_end_leaves_the_passes_and_no_half_table(
    space, machine, tmp_path, disk_of, monkeypatch
):
    monkeypatch.setattr(LatencyTable, "to_text", lambda self: disk_of(1_000) or "x" * 2_000)

    with pytest.raises(UnwritableFileError, match=r"cannot write .*t\.csv: File too large"):
        measure(space, machine, tmp_path / "t.csv")
    disk_of(resource.RLIM_INFINITY)  # at once: pytest writes of this test into a file, too

    assert [path.name for path in tmp_path.iterdir()] == ["t.csv.partial"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_device_that_sleeps_for_an_hour_does_not_spoil_a_row(space, machine, tmp_path, threads):
    """The clock on the wall jumps in the middle of one pass; with one thread CPU time counts."""
    key, block = sorted(space.reachable_blocks().items())[0]
    hour_ms = 3.6e6

    def sleep(ran):
        if ran != key or machine.prepared.count(key) != 1:
            return 0.0, 0.0
        return 0.0, hour_ms / 100

    machine.disturb = sleep

    row = {r.block: r for r in measure(space, machine, tmp_path / "t.csv", threads=threads).rows}[
        key
    ]

    assert row.ms == pytest.approx(machine.cost_ms(block))
    assert machine.prepared.count(key) == (4 if threads == 2 else 2)


def test_a_killed_process_loses_at_most_the_block_it_was_timing(tmp_path):
    out = tmp_path / "t.csv"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(out)])
    partial = tmp_path / "t.csv.partial"
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if partial.exists() and partial.read_bytes().count(b"\n") > 10:
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    lines = partial.read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n")]

    subprocess.run([sys.executable, "-c", KILLED, str(out)], check=True)

    assert len(kept) > 10
    assert len(LatencyTable.load(out).rows) == 60
    assert not partial.exists()


def test_a_folder_that_is_a_file_is_said_to_be_one(space, machine, tmp_path):
    (tmp_path / "t.csv").write_text("a file")
    with pytest.raises(UnwritableFileError, match=r"t\.csv is a file, no folder"):
        measure(space, machine, tmp_path / "t.csv" / "x.csv")
    with pytest.raises(UnwritableFileError, match=r"t\.csv is a file, no folder"):
        write_atomically(tmp_path / "t.csv" / "deep" / "x.csv", "text")
    assert not machine.prepared


def test_more_threads_than_cores_are_refused_before_anything_is_timed(space, tmp_path):
    with pytest.raises(
        MnasError, match=r"9999 threads are asked for, and this machine has \d+ log"
    ):
        measure_table(space, Target(threads=9999), tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())
