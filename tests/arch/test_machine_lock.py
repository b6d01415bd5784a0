"""Measuring has the machine alone, trainings share it."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mnas.arch import MachineLockError, machine_lock
from mnas.arch import machine as machine_module

HOLD = """
import sys
from mnas.arch import machine_lock
with machine_lock(alone=sys.argv[1] == "alone"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(kind: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, kind], stdin=-1, stdout=-1, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()


class Taking:
    """A thread of this process that takes the lock and lets go of it at once."""

    def __init__(self, *, alone: bool) -> None:
        self.waited = threading.Event()
        self.got_it = threading.Event()
        self.thread = threading.Thread(target=self._take, args=(alone,), daemon=True)
        self.thread.start()

    def _take(self, alone: bool) -> None:
        with machine_lock(alone=alone, waiting=self.waited.set, poll_seconds=0.01):
            self.got_it.set()


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of this test's own: the machine may really be training."""
    monkeypatch.setenv("MNAS_LOCK_FOLDER", str(tmp_path))


@pytest.mark.parametrize(
    ("there", "here"), [("alone", "shared"), ("shared", "alone"), ("alone", "alone")]
)
def test_who_measures_and_who_trains_wait_for_each_other(there: str, here: str) -> None:
    with held_elsewhere(there):
        taking = Taking(alone=here == "alone")
        assert taking.waited.wait(timeout=30)
        assert not taking.got_it.is_set()
    taking.thread.join(timeout=30)

    assert taking.got_it.is_set()


def test_trainings_share_the_machine() -> None:
    with held_elsewhere("shared"):
        taking = Taking(alone=False)
        assert taking.got_it.wait(timeout=30)

    assert not taking.waited.is_set()


def test_a_process_that_dies_lets_go_of_the_machine() -> None:
    with held_elsewhere("alone") as process:
        process.kill()
        process.wait(timeout=30)
        waited = threading.Event()
        with machine_lock(alone=True, waiting=waited.set):
            pass

    assert not waited.is_set()


def test_an_error_lets_go_of_the_machine() -> None:
    waited = threading.Event()

    def fail() -> None:
        with machine_lock(alone=True):
            raise RuntimeError("the measurement failed")

    with pytest.raises(RuntimeError, match="the measurement failed"):
        fail()
    with machine_lock(alone=True, waiting=waited.set):
        pass

    assert not waited.is_set()


def test_measurement_that_waits_goes_before_trainings_that_come_later() -> None:
    with held_elsewhere("shared"):
        measuring = Taking(alone=True)
        assert measuring.waited.wait(10)
        training = Taking(alone=False)

        assert training.waited.wait(10)
        assert not training.got_it.is_set()
        assert not measuring.got_it.is_set()

    assert measuring.got_it.wait(10)
    assert training.got_it.wait(10)


def taken() -> None:
    with machine_lock(alone=False):
        pass


def test_every_user_may_open_the_lock_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        taken()
    finally:
        os.umask(before)

    for name in ("mnas.lock", "mnas.turn"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666


def test_a_lock_that_may_only_be_read_is_enough(tmp_path: Path) -> None:
    taken()
    for path in tmp_path.iterdir():
        path.chmod(0o444)

    taken()

    assert {path.name for path in tmp_path.iterdir()} == {"mnas.lock", "mnas.turn"}


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mnas.lock").symlink_to(tmp_path / "victim")

    with pytest.raises(MachineLockError, match=r"mnas\.lock cannot be opened.*MNAS_LOCK_FOLDER"):
        taken()

    assert not (tmp_path / "victim").exists()


def test_a_lock_that_may_not_be_opened_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int, mode: int = 0) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        MachineLockError, match=r"mnas\.lock cannot be opened: Permission denied\. Remove the file"
    ):
        taken()


def test_a_folder_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNAS_LOCK_FOLDER", str(tmp_path / "nowhere"))

    with pytest.raises(MachineLockError, match=r"nowhere/mnas\.lock cannot be opened: No such"):
        taken()


@pytest.mark.parametrize(("mode", "is_shared"), [(0o1777, True), (0o755, False)])
def test_without_a_named_folder_the_lock_lies_where_all_users_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, is_shared: bool
) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    own.mkdir()
    shared.chmod(mode)
    monkeypatch.delenv("MNAS_LOCK_FOLDER")
    monkeypatch.setattr(machine_module, "_ALL_USERS", shared)
    monkeypatch.setattr(tempfile, "tempdir", str(own))

    taken()

    assert (shared / "mnas.lock").exists() is is_shared
    assert (own / "mnas.lock").exists() is not is_shared
