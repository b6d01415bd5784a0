import json
import logging
import os
import random

import pytest

from mnas.cli.run_log import logged_to
from mnas.cli.run_status import status_of
from mnas.search import Step, driver_of, optimize
from mnas.search.holding import hold_run


@pytest.fixture
def run(tmp_path, space_file):
    folder = tmp_path / "run"
    numbers = random.Random(0)
    optimize(
        space_file,
        lambda arch: numbers.random(),
        latency=lambda arch: float(arch.input.resolution),
        budget_ms=100.0,
        trials=2,
        sampler="random",
        directory=folder,
    )
    return folder


def test_status_tells_trials_and_the_best_so_far(mnas, run):
    ended = mnas("status", run, "--json")

    found = json.loads(ended.out)
    assert (found["trials"], found["trials_wanted"], found["state"]) == (2, 2, "stopped")
    assert found["best"]["stage"] == "proxy"
    assert found["best"]["id"] in mnas("status", run).out


def test_a_stopped_run_is_told_the_command_that_goes_on(mnas, run):
    assert f"next: mnas search {run}" in mnas("status", run).out


def test_a_run_that_still_measures_its_table_has_a_status(run, tmp_path):
    young = tmp_path / "young"
    young.mkdir()
    (run / "experiment.yaml").rename(young / "experiment.yaml")

    assert status_of(young).phase == "table"


def test_a_run_that_is_held_has_a_driver_and_one_that_was_let_go_has_none(tmp_path):
    with hold_run(tmp_path):
        assert driver_of(tmp_path) == os.getpid()

    assert (tmp_path / "driver.lock").is_file()
    assert driver_of(tmp_path) is None


def test_a_folder_that_nobody_ever_drove_has_no_driver(tmp_path):
    assert driver_of(tmp_path) is None


def test_report_writes_the_page_anew(mnas, run):
    ended = mnas("report", run)

    assert ended.out == f"report: {run / 'report.html'}\n"
    assert (run / "report.html").is_file()


def test_the_log_of_a_run_has_steps_and_what_rooms_log(tmp_path):
    (tmp_path / "experiment.yaml").touch()

    with logged_to(tmp_path) as log:
        log.note(Step(phase="data", text="reading"))
        logging.getLogger("mnas.latency").warning("before the run is held")
        for done in range(3):
            log.note(Step(phase="table", done=done, total=3, text="block"))
        log.note(Step(phase="search", done=1, total=2, text="trial one"))
        logging.getLogger("mnas.latency").warning("a block failed")
    logging.getLogger("mnas.latency").warning("after the end")

    text = (tmp_path / "log.txt").read_text()
    assert text.count("block\n") == 1
    assert "trial one" in text
    assert "a block failed" in text
    assert "reading" not in text
    assert "held" not in text
    assert "after the end" not in text


def test_nothing_is_logged_into_a_folder_that_the_search_did_not_make(tmp_path):
    with logged_to(tmp_path / "run") as log:
        log.note(Step(phase="table", text="block"))

    assert not (tmp_path / "run").exists()
