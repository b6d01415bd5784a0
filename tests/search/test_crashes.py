"""kill -9 of the driver, of Ray's raylet and of workers, at random moments: nothing is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mnas.results import RecordStore
from mnas.search.reaper import start_ticks

HERE = Path(__file__).parent
TRIALS = 30
END_S = 120


class Driver:
    """A search in a process of its own, in a folder that is kept between its lives."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
        command = [sys.executable, str(HERE / "driver_to_kill.py"), str(folder)]
        self.process = subprocess.Popen(
            [*command, str(workers), str(TRIALS)], env=environment, stderr=subprocess.DEVNULL
        )

    def ended(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def offspring(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def finished(folder: Path) -> list:
    if not (folder / "records.db").exists():
        return []
    with RecordStore(folder / "records.db") as store:
        return [replace(record, seconds=0.0, started="") for record in store.all()]


def begun(folder: Path) -> Counter:
    """How often each evaluation was begun, by id and epochs."""
    paths = (folder / "checkpoints" / "proxy").glob("*-*-*")
    return Counter(path.name.rsplit("-", 1)[0] for path in paths)


def keys(records) -> set[str]:
    return {f"{record.id}-{record.epochs}" for record in records if record.state == "complete"}


def kill_until_done(folder: Path, space: str, *, workers: int, kills: int, seed: int, victim):
    """Start the search again and again, each time killing somebody at a random moment."""
    folder.mkdir()
    (folder / "tiny.yaml").write_text(space)
    rng = random.Random(seed)
    done: set[str] = set()
    for _ in range(kills):
        before = begun(folder)
        driver = Driver(folder, workers)
        wait_for_progress(driver, before, rng)
        processes = driver.offspring() if driver.process.poll() is None else []
        ticks = {each.pid: start_ticks(each.pid) for each in processes}
        victim(driver, processes, rng)
        if not driver.ended(END_S):  # a lost worker alone does not end the search
            driver.process.kill()
            driver.process.wait()
        assert_gone(ticks)
        again = {key for key, times in begun(folder).items() if times > before[key]}
        assert not again & done, "a finished evaluation was run again"
        done |= keys(finished(folder))
        if driver.process.returncode == 0:
            break
    last = Driver(folder, workers)
    assert last.ended(END_S)
    assert last.process.returncode == 0
    return finished(folder)


def wait_for_progress(driver: Driver, before: Counter, rng: random.Random) -> None:
    wanted = before.total() + rng.randrange(4)
    deadline = time.monotonic() + END_S
    while begun(driver.folder).total() < wanted and time.monotonic() < deadline:
        if driver.process.poll() is not None:
            return
        time.sleep(0.005)
    time.sleep(rng.random() * 0.1)


def assert_gone(ticks) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [pid for pid, tick in ticks.items() if tick and start_ticks(pid) == tick]
        if not left:
            return
        time.sleep(0.05)
    pytest.fail(f"{len(left)} processes outlive the run")


def the_driver(driver, processes, rng) -> None:
    driver.process.kill()


def anybody(driver, processes, rng) -> None:
    """The driver, the raylet or a worker."""
    raylets = [each for each in processes if "raylet" in name_of(each)]
    trainers = [each for each in processes if name_of(each).startswith("ray::")]
    chosen = rng.choice([[psutil.Process(driver.process.pid)], raylets, trainers])
    for each in chosen[:1]:
        os.kill(each.pid, signal.SIGKILL)


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:
        return ""


@pytest.fixture
def undisturbed(tmp_path, tiny):
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(tiny)
    driver = Driver(folder, 0)
    assert driver.ended(END_S)
    return finished(folder)


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_driver_loses_nothing_and_ends_in_the_records_of_an_undisturbed_one(
    tmp_path, tiny, undisturbed, kills
):
    records = kill_until_done(
        tmp_path / "run", tiny, workers=0, kills=kills, seed=kills, victim=the_driver
    )

    assert records == undisturbed


@pytest.mark.ray
@pytest.mark.slow
def test_whoever_is_killed_every_finished_evaluation_is_there_once(tmp_path, tiny, undisturbed):
    for seed in range(int(os.environ.get("MNAS_CRASHES", "4"))):
        records = kill_until_done(
            tmp_path / f"run{seed}", tiny, workers=1, kills=3, seed=seed, victim=anybody
        )

        complete = [record for record in records if record.state == "complete"]
        assert len(keys(complete)) == len(complete)
        assert [record.reason for record in records if record.state == "failed"] == []
        assert records == undisturbed  # one worker: also the order is the same
