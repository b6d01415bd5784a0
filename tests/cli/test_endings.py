import logging
import subprocess
import sys
import warnings

import pytest

from mnas.cli.running import quiet_libraries


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


def test_a_defect_is_told_in_short_and_its_traceback_is_kept(mnas, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("mnas.cli.count_command.count", failing(ZeroDivisionError("by zero")))

    ended = mnas("count", "mobilenet_v2", "--no-thop")

    (kept,) = tmp_path.iterdir()
    assert ended.code == 1
    assert ended.out == ""
    assert "defect of mnas" in ended.err
    assert "ZeroDivisionError: by zero" in ended.err
    assert str(kept) in ended.err
    assert "Traceback" not in ended.err
    assert "Traceback" in kept.read_text()


def test_with_debug_the_traceback_of_a_defect_is_shown(mnas, monkeypatch):
    monkeypatch.setattr("mnas.cli.count_command.count", failing(ZeroDivisionError("by zero")))

    ended = mnas("--debug", "count", "mobilenet_v2", "--no-thop")

    assert ended.code == 1
    assert "Traceback" in ended.err


def test_ctrl_c_ends_with_130_and_one_word(mnas, monkeypatch):
    monkeypatch.setattr("mnas.cli.count_command.count", failing(KeyboardInterrupt()))

    ended = mnas("count", "mobilenet_v2", "--no-thop")

    assert (ended.code, ended.out, ended.err) == (130, "", "stopped\n")


def test_ctrl_c_while_measuring_says_what_is_saved(mnas, monkeypatch, space_file, tmp_path):
    monkeypatch.setattr("mnas.latency.measuring.measure_table", failing(KeyboardInterrupt()))

    ended = mnas("latency", "measure", space_file, "-o", tmp_path / "t.csv")

    assert ended.code == 130
    assert "t.csv.partial" in ended.err
    assert "The same command goes on" in ended.err


def test_ctrl_c_while_searching_says_what_is_saved(mnas, monkeypatch, experiment_file, tmp_path):
    monkeypatch.setattr("mnas.search.searching.run_search", failing(KeyboardInterrupt()))

    ended = mnas("search", experiment_file, "--out", tmp_path / "run")

    assert ended.code == 130
    assert f"everything finished is in {tmp_path / 'run'}" in ended.err


def test_a_reader_that_goes_away_is_no_error():
    # `head` closes the pipe after the first line; the rest is far more than a pipe holds.
    command = f"{sys.executable} -m mnas space sample small_digits -n 200 | head -n 1"

    found = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )

    assert found.returncode == 0
    assert found.stderr == ""
    assert found.stdout.count("\n") == 1


def test_warnings_and_logs_of_libraries_stay_off_the_console(capsys):
    with warnings.catch_warnings(), quiet_libraries():
        warnings.simplefilter("always")
        warnings.warn("something is old", DeprecationWarning, stacklevel=1)
        logging.getLogger("somebody").warning("something is odd")

    assert capsys.readouterr().err == ""


def test_a_failed_check_of_an_export_ends_with_5(mnas, monkeypatch, tmp_path):
    from mnas.export import Check

    found = [Check(format="onnx", file="model.onnx", state="failed", detail="was changed")]
    monkeypatch.setattr("mnas.export.checking.check_export", lambda directory, trust, data: found)

    ended = mnas("export", "--check", tmp_path)

    assert ended.code == 5
    assert "was changed" in ended.out


def test_a_search_without_a_winner_does_not_end_with_0(
    mnas, tmp_path, experiment_file, monkeypatch
):
    from mnas.search.ledger import EvaluationFailuresError

    def fail(*_, **__):
        raise EvaluationFailuresError("no candidate was confirmed")

    monkeypatch.setattr("mnas.search.searching.run_search", fail)

    ended = mnas("search", experiment_file, "--out", tmp_path / "run")

    assert ended.code == 4
    assert "error: no candidate was confirmed" in ended.err


@pytest.mark.parametrize("command", [["-m", "mnas"], ["-c", "from mnas.cli import main; main()"]])
def test_the_module_and_the_function_are_the_same_command(command):
    found = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)

    assert found.stdout.startswith("Usage: mnas")
