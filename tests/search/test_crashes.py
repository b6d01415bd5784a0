"""kill -9 of the driver, of Ray's raylet and of workers, at random moments: nothing is lost.

The default tests kill four times. `MNAS_CRASHES=100 pytest -m slow tests/search/test_crashes.py`
kills a hundred drivers without Ray, then a hundred workers, raylets and drivers in turn, which the
samplers share; 24 each if it is not set. A test that killed fewer than it was asked fails.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from driver_to_kill import drive
from formulas import FormulaBench

from mnas.results import RecordStore
from mnas.search.reaper import start_ticks

TESTS = Path(__file__).parents[1]
END_S = 120
# Workers go on without a raylet until Ray has missed it five times: 15 s by Ray's own 3 s.
SOON = {"RAY_health_check_period_ms": "100"}
CRASHES = int(os.environ.get("MNAS_CRASHES", "24"))


def trials_for(kills: int) -> int:
    """So many that the search is not done before the last kill."""
    return 8 * kills + 20


class Driver:
    """A search in a process of its own, in a folder that is kept between its lives."""

    def __init__(self, folder: Path, workers: int, sampler: str, trials: int) -> None:
        self.folder = folder
        environment = os.environ | SOON | {"PYTHONPATH": str(TESTS)}
        command = [sys.executable, str(TESTS / "driver_to_kill.py"), str(folder)]
        self.process = subprocess.Popen(
            [*command, str(workers), sampler, str(trials)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ended(self, seconds: float = END_S) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def offspring(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self, kind: str) -> None:
        """kill -9 of one that lives, as soon as there is one; the others are left alone."""
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the search ended before its {kind} was killed"
            for each in self.victims(kind):
                ticks = start_ticks(each.pid)
                if ticks is not None:
                    os.kill(each.pid, signal.SIGKILL)
                    assert_gone({each.pid: ticks})
                    return
            time.sleep(0.005)
        pytest.fail(f"there is no {kind} to kill")

    def victims(self, kind: str) -> list[psutil.Process]:
        if kind == "driver":
            return [psutil.Process(self.process.pid)]
        return [each for each in self.offspring() if NAMES[kind] in name_of(each)]


# Ray's other processes are no workers: ray::IDLE waits for work that never comes.
NAMES = {"raylet": "/raylet/raylet", "worker": "ray::Worker"}


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:
        return ""


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


def kill_until_done(
    folder: Path, space: str, kinds: Sequence[str], *, workers: int, sampler: str
) -> tuple[list, Counter]:
    """Start the search again and again, each time killing somebody at a random moment.

    Args:
        folder: Of the search.
        space: Its text.
        kinds: Whom to kill: `driver`, `raylet`, `worker`; in an order that chance decides.
        workers: Of Ray; 0 for none.
        sampler: The name of one.

    Returns:
        The records, and how many of each kind were killed.
    """
    folder.mkdir()
    (folder / "tiny.yaml").write_text(space)
    rng = random.Random(len(kinds))
    waiting = deque(rng.sample(kinds, len(kinds)))
    killed: Counter = Counter()
    returncode = None
    while returncode != 0:
        done, before = keys(finished(folder)), begun(folder)
        endings = killed["driver"] + killed["raylet"]
        # When nobody is left to be killed Ray is not needed, and takes long to start.
        driver = Driver(folder, workers if waiting else 0, sampler, trials_for(len(kinds)))
        try:
            ticks = kill_somebody(driver, waiting, killed, rng)
            assert driver.ended(), f"the search goes on for ever after {killed}"
        finally:
            driver.process.kill()
        returncode = driver.process.wait()
        was_ended = killed["driver"] + killed["raylet"] > endings
        assert was_ended == (returncode != 0), f"exit code {returncode} after {killed}"
        assert_gone(ticks)
        again = {key for key, times in begun(folder).items() if times > before[key]}
        assert not again & done, "a finished evaluation was run again"
    lost = begun(folder).total() - len(begun(folder))
    assert lost <= killed.total() * max(workers, 1), "more evaluations were lost than were running"
    return finished(folder), killed


def kill_somebody(
    driver: Driver, waiting: deque[str], killed: Counter, rng: random.Random
) -> dict[int, int | None]:
    """Kill workers of a driver, and at last what ends it; gives the processes it had then."""
    ticks: dict[int, int | None] = {}
    # A candidate whose worker is killed twice is at fault itself: let the next one begin.
    at_least = 0
    while waiting:
        wait_for_progress(driver, at_least + rng.randrange(4))
        time.sleep(rng.random() * 0.1)
        ticks = {each.pid: start_ticks(each.pid) for each in driver.offspring()}
        kind = waiting.popleft()
        driver.kill(kind)
        killed[kind] += 1
        if kind != "worker":
            break
        at_least = 2
    return ticks


def wait_for_progress(driver: Driver, evaluations: int) -> None:
    wanted = begun(driver.folder).total() + evaluations
    deadline = time.monotonic() + END_S
    while begun(driver.folder).total() < wanted:
        assert driver.process.poll() is None, f"the search ended: {driver.process.returncode}"
        assert time.monotonic() < deadline, "the search makes no progress"
        time.sleep(0.005)


def assert_gone(ticks) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [pid for pid, tick in ticks.items() if tick and start_ticks(pid) == tick]
        if not left:
            return
        time.sleep(0.05)
    pytest.fail(f"{len(left)} processes outlive the run")


def undisturbed(folder: Path, space: str, kills: int, sampler: str) -> list:
    folder.mkdir()
    (folder / "tiny.yaml").write_text(space)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FormulaBench, "seconds", 0.0)
        drive(folder, 0, sampler, trials_for(kills))
    return finished(folder)


@pytest.mark.parametrize("kills", [2, pytest.param(CRASHES, marks=pytest.mark.slow)])
def test_killed_driver_loses_nothing_and_ends_in_the_records_of_an_undisturbed_one(
    tmp_path, tiny, kills
):
    kinds = ["driver"] * kills
    records, killed = kill_until_done(tmp_path / "run", tiny, kinds, workers=0, sampler="tpe")

    assert killed == {"driver": kills}
    assert records == undisturbed(tmp_path / "undisturbed", tiny, kills, "tpe")


def in_turn(kills: int) -> list[str]:
    kinds = ["worker", "raylet", "driver"]
    return [kinds[index % len(kinds)] for index in range(kills)]


@pytest.mark.ray
@pytest.mark.parametrize(
    ("sampler", "kills"),
    [
        ("greybox", 2),
        pytest.param("greybox", CRASHES // 2, marks=pytest.mark.slow),
        pytest.param("tpe", CRASHES - CRASHES // 2, marks=pytest.mark.slow),
    ],
)
def test_whoever_is_killed_every_finished_evaluation_is_there_once(tmp_path, tiny, sampler, kills):
    kinds = in_turn(kills)
    records, killed = kill_until_done(tmp_path / "run", tiny, kinds, workers=1, sampler=sampler)

    assert killed == Counter(kinds)
    complete = [record for record in records if record.state == "complete"]
    assert len(keys(complete)) == len(complete)
    assert [record.reason for record in records if record.state == "failed"] == []
    # One worker: also the order is the same.
    assert records == undisturbed(tmp_path / "undisturbed", tiny, kills, sampler)
