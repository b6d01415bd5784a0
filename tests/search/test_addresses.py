"""Searches whose first target is another device: fake ones, that also misbehave."""

import json
import os
import sys
from dataclasses import replace

import pytest
from fake_devices import device_command, fake_ssh
from formulas import WeightsExecutor, searched

from mnas.cli.run_status import status_of
from mnas.latency import DeviceError, LatencyTable, TableMismatchError
from mnas.results import EndToEnd, RunError, read_end_to_end
from mnas.search import InvalidExperimentError, load_experiment, preview_search
from mnas.search.experiment import differing_keys
from mnas.search.ledger import EvaluationFailuresError

# By the name, so that each network has its own.
TIMES = "print(1.0 + (int(model[-8:-5], 16) / 1e5 if '/network-' in model else 0))\n"


@pytest.fixture
def phone(experiment, tmp_path):
    """The experiment with a table of a phone; the device's Python body gives the command."""
    table = LatencyTable.load(tmp_path / "table.csv")
    replace(table, device="Phone", runtime_version="unknown").save(tmp_path / "phone.csv")

    def addressed(body):
        path = tmp_path / "phone.yaml"
        target = {
            "name": "phone",
            "address": device_command(tmp_path, body),
            "table": "phone.csv",
            "budget_ms": 50,
        }
        text = experiment.read_text()
        before = "[{name: this-cpu, table: table.csv, budget_ms: 50}]"
        assert before in text
        path.write_text(text.replace(before, json.dumps([target])))
        return path

    return addressed


def calls(tmp_path):
    return int((tmp_path / "calls").read_text())


def test_networks_are_timed_where_the_device_is_and_the_report_says_so(phone, tmp_path):
    steps = []
    path = phone(TIMES)

    run = searched(path, observer=steps.append)

    verdict, timed = run.verdict, read_end_to_end(run.directory)
    address = load_experiment(path).target.address
    assert steps.index(next(s for s in steps if s.phase == "notice")) < steps.index(
        next(s for s in steps if s.phase == "table")
    )
    assert address.removeprefix("cmd:") in next(s.text for s in steps if s.phase == "notice")
    assert verdict["winner"]["measured_ms"] == timed.ms[verdict["winner"]["id"]]
    assert 1 < verdict["baseline"]["measured_ms"] < 1.1
    assert verdict["timed_on"] == {
        "address": address,
        "device": "Phone",
        "runtime_version": "unknown",
        "waits": None,
    }
    assert f"(Phone, reached by {address.split(' ')[0]}" in (
        (run.directory / "report.html").read_text()
    )
    assert status_of(run.directory).timed_at == address
    assert not list((run.directory / "checkpoints").glob("timing_job-*"))
    asked = calls(tmp_path)

    assert searched(path).verdict == verdict  # nothing is lacking: nobody is asked
    assert calls(tmp_path) == asked


def test_a_device_that_dies_half_way_is_waited_for_and_nothing_is_trained_twice(phone, tmp_path):
    alive = tmp_path / "alive"
    path = phone(
        f"if n > 12 and not pathlib.Path({str(alive)!r}).exists():\n"
        f"    sys.exit('error: device offline')\n{TIMES}"
    )
    first = WeightsExecutor()
    with pytest.raises(DeviceError, match=r"waits for times of phone: .*offline(?s:.*)goes on"):
        searched(path, "baselines=[]", executor=first)

    directory = path.parent / "run"
    status = status_of(directory)
    assert (status.state, status.phase) == ("stopped", "confirm")
    assert "device offline" in status.waits
    assert "The comparison waits for times" in (directory / "report.html").read_text()
    assert {epochs for _, epochs, _ in first.performed} == {1, 3}
    alive.touch()
    before = calls(tmp_path)
    second = WeightsExecutor()

    run = searched(path, "baselines=[]", executor=second)

    assert not set(first.performed) & set(second.performed)
    assert run.verdict["winner"]["measured_ms"] > 1
    assert read_end_to_end(directory).waits is None
    networks = len(read_end_to_end(directory).ms)
    assert calls(tmp_path) - before < 6 * networks  # what had come back was not timed again


def test_a_network_that_fails_there_is_dropped_with_its_reason(phone, tmp_path):
    broken = tmp_path / "broken"
    path = phone(
        f"broken = pathlib.Path({str(broken)!r})\n"
        "if '/network-' in model and not broken.exists():\n    broken.write_text(model)\n"
        "if broken.exists() and broken.read_text() == model:\n    sys.exit('no such op')\n" + TIMES
    )

    run = searched(path, "baselines=[]", "confirm.top=6")

    (failed,) = run.verdict["dropped"]
    assert failed["measured_ms"] is None
    assert failed["reason"] == "the command ended with exit code 1: it said no such op"
    assert read_end_to_end(run.directory).failed == {failed["id"]: failed["reason"]}
    assert failed["id"] not in {each["id"] for each in run.verdict["confirmed"]}
    assert "could not be timed" in (run.directory / "report.html").read_text()


@pytest.mark.slow
def test_a_device_on_which_every_network_fails_ends_the_search_with_the_reason(phone):
    path = phone("if '/network-' in model:\n    sys.exit('no memory')\nprint(1.0)\n")
    with pytest.raises(EvaluationFailuresError, match=r"could be timed on phone: .*no memory"):
        searched(path)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit('error: no devices found')\n", r"not even an empty model .*no devices found"),
        ("print('hello')\n", r"not even an empty model .*holds no one time: it said hello"),
    ],
)
def test_a_device_that_does_not_answer_at_the_start_is_told_before_anything_is_trained(
    phone, body, said
):
    path = phone(body)
    with pytest.raises(DeviceError, match=said):
        searched(path)
    assert not (path.parent / "run").exists()


def test_another_device_than_the_tables_is_refused_before_anything_is_trained(
    experiment, tmp_path, monkeypatch
):
    home = fake_ssh(tmp_path)
    monkeypatch.setenv("FAKE_SSH_HOME", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    table = LatencyTable.load(tmp_path / "table.csv")
    replace(table, device="A board").save(tmp_path / "table.csv")

    with pytest.raises(TableMismatchError, match=r"with device 'A board', but the device there"):
        searched(experiment, "targets.0.address=ssh:there", f"targets.0.python={sys.executable}")
    assert not (tmp_path / "run").exists()


def test_a_dry_run_tells_what_would_go_where_and_runs_nothing(phone, tmp_path):
    from mnas.cli.search_words import show_preview

    preview = preview_search(phone(TIMES))

    text = "\n".join(show_preview(preview))
    assert not (tmp_path / "calls").exists()
    assert preview.tables[0].networks == 2 * 2 + 3
    assert "7 whole networks as models" in " ".join(text.split())
    assert "device.py" in text


@pytest.mark.slow
def test_a_table_is_measured_and_verified_there_and_reused(phone, tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mnas.search.tables.NETWORKS_TO_VERIFY", 4)
    path = phone("print((3.0 if '/network-' in model else 1.5) - ('empty' in model))\n")
    steps = []

    run = searched(path, "targets.0.table=auto", "baselines=[]")
    searched(
        path, "targets.0.table=auto", "baselines=[]", out=tmp_path / "2", observer=steps.append
    )

    table = LatencyTable.load(run.directory / "tables" / "phone.csv")
    assert (table.device, table.where["address"][:4]) == ("phone", "cmd:")
    assert len(table.verification.networks) == 4
    assert any(step.text.startswith("reusing ") for step in steps)
    assert run.environment["tables"]["phone"]["where"]["address"].startswith("cmd:")


# --- the file


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("{name: a, address: 'pi@host'}", r"targets\.0\.address: a target is local, ssh:"),
        ("{name: a, address: 'ssh:-oProxyCommand=x'}", "cannot begin with a dash"),
        ("{name: a, address: 'cmd:adb shell run'}", r"must say where the model goes: \{model\}"),
        ('{name: a, address: "cmd:run {model}\\e[2K"}', "one line of printable characters"),
        ("{name: a, python: venv/bin/python}", r"targets\.0\.python: names the Python of a device"),
        ("{name: a, address: 'cmd:x {model}', python: p}", "names the Python of a device behind"),
        ("{name: a}, {name: b, address: ssh:b, table: table.csv}", "address of b would never be"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_its_place(experiment, target, said):
    text = experiment.read_text()
    experiment.write_text(text.replace("{name: this-cpu, table: table.csv, budget_ms: 50}", target))
    with pytest.raises(InvalidExperimentError, match=said):
        load_experiment(experiment)


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ("ssh:pi", "ssh:pi@10.0.0.7:2222", []),
        ("ssh:pi", "local", []),
        ("cmd:adb {model}", "local", []),
        ("ssh:pi", "cmd:adb {model}", ["targets.0.address"]),
        ("cmd:adb {model}", "cmd:adb -s 2 {model}", ["targets.0.address"]),
    ],
)
def test_another_way_to_a_device_is_the_same_experiment_and_another_command_is_not(
    before, after, differs
):
    def experiment(address):
        return {"targets": [{"name": "a", "address": address, "python": None}]}

    assert differing_keys(experiment(before), experiment(after)) == differs


@pytest.mark.slow
def test_a_waiting_search_ends_by_its_table_when_its_device_is_given_up(phone):
    path = phone(f"if n > 9:\n    sys.exit('gone')\n{TIMES}")
    with pytest.raises(DeviceError, match="waits for times of phone"):
        searched(path)

    verdict = searched(path, "targets.0.address=local").verdict

    assert verdict["winner"]["measured_ms"] is None
    assert verdict["winner"]["predicted_ms"] > 0


# --- timing.json


def test_times_of_an_earlier_version_are_read(tmp_path):
    (tmp_path / "timing.json").write_text('{"0123456789ab": 1.5}')
    assert read_end_to_end(tmp_path) == EndToEnd(ms={"0123456789ab": 1.5})


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "mnas.timing/9"}', '{"a": "fast"}'])
def test_damaged_times_are_one_error_with_what_to_do(tmp_path, text):
    (tmp_path / "timing.json").write_text(text)
    with pytest.raises(RunError, match=r"timing\.json is not what a search writes .* Delete it"):
        read_end_to_end(tmp_path)
