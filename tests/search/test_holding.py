import json
import os
import subprocess
import sys
import time

import pytest

from mnas.arch import MnasError
from mnas.search.holding import RunHeldError, end_leftovers, hold_run, note_processes
from mnas.search.reaper import start_ticks

HOLD = """
import sys, time
from pathlib import Path
from mnas.search.holding import hold_run
with hold_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that drives the run in `tmp_path`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_run_that_another_process_drives_is_refused_with_its_pid(tmp_path, holder):
    with pytest.raises(RunHeldError, match=f"driven by process {holder.pid}"), hold_run(tmp_path):
        pass


def test_run_of_a_killed_driver_can_be_held_again(tmp_path, holder):
    holder.kill()
    holder.wait()

    with hold_run(tmp_path):
        assert (tmp_path / "driver.lock").read_text() == str(os.getpid())


def test_leftover_process_is_ended_and_one_with_a_used_again_pid_is_not(tmp_path):
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep) as left, subprocess.Popen(sleep) as innocent:
        noted = [
            {"pid": left.pid, "started": start_ticks(left.pid)},
            {"pid": innocent.pid, "started": 12},
        ]
        (tmp_path / "processes.json").write_text(json.dumps(noted))

        assert end_leftovers(tmp_path) == 1
        assert left.poll() is not None
        assert innocent.poll() is None
        innocent.kill()


def test_started_processes_are_noted_with_their_start_time(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        note_processes(tmp_path)
        noted = json.loads((tmp_path / "processes.json").read_text())
        child.kill()

    assert child.pid in {each["pid"] for each in noted}


WATCH = """
import subprocess, sys, time
from pathlib import Path
from mnas.search.holding import hold_run, note_processes, watched
folder = Path(sys.argv[1])
with hold_run(folder), watched(folder):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note_processes(folder)
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_no_process_of_a_run_outlives_a_killed_driver(tmp_path):
    command = [sys.executable, "-c", WATCH, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        child = int(driver.stdout.readline())
        assert start_ticks(child) is not None
        driver.kill()
        driver.wait()

    deadline = time.monotonic() + 30
    while start_ticks(child) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert start_ticks(child) is None


def test_start_of_a_process_does_not_depend_on_the_clock(monkeypatch):
    before = start_ticks(os.getpid())
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert start_ticks(os.getpid()) == before
    assert start_ticks(2**22 + 1) is None


def test_folder_that_cannot_be_written_is_refused_with_the_next_step(tmp_path):
    (tmp_path / "driver.lock").mkdir()

    with (
        pytest.raises(MnasError, match=r"cannot write into the folder of the run.* --out"),
        hold_run(tmp_path),
    ):
        pass
