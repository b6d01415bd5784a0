"""Measuring on another device: addresses, jobs, lost connections, devices that misbehave."""

import json
import random
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from fake_devices import QUICK, device_command

from mnas.arch import MnasError, UnknownNameError
from mnas.latency import (
    DeviceAddressError,
    DeviceError,
    JobError,
    LatencyTable,
    MeasuringError,
    TableMismatchError,
    TableRow,
    Target,
    agent,
    describe_device,
    measure_on,
    parse_address,
    plan_job,
    read_job,
    run_job,
    verify_on,
)
from mnas.latency.reorders import PASS_THROUGHS


def measured(address, space, tmp_path, **options):
    options.setdefault("pause", lambda seconds: None)
    return measure_on(address, space, Target(), tmp_path / "t.csv", settings=QUICK, **options)


@pytest.fixture
def table_of_jobs(tiny_space):
    """A table as if it had been measured."""
    rows = tuple(
        TableRow(block=key, ms=1.0, wall_ms=1.0, spread=0.0, runs=10, status="measured")
        for key in tiny_space.reachable_blocks()
    )
    return LatencyTable(
        target=Target(), device=describe_device(), runtime_version="1", rows=rows, source="evil.csv"
    )


# --- addresses


@pytest.mark.parametrize(
    "text",
    ["local", "ssh:pi", "ssh:pi@raspberry:2222", "ssh:pi@[fe80::1%eth0]:22", "cmd:run {model}"],
)
def test_an_address_is_written_as_it_was_read(text):
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a target is local, ssh:"),
        ("pi@host", "a target is local, ssh:"),
        ("telnet:host", "a target is local, ssh:"),
        ("ssh:", r"ssh:\[user@\]host"),
        ("ssh:-oProxyCommand=x", "cannot begin with a dash"),
        ("ssh:pi@-oProxyCommand=x", "cannot begin with a dash"),
        ("ssh:-l@host", "cannot begin with a dash"),
        ("ssh:host name", r"ssh:\[user@\]host"),
        ("ssh:host:0", "a port is 1 to 65535"),
        ("ssh:host:99999", "a port is 1 to 65535"),
        ("cmd:adb shell run", r"must say where the model goes: \{model\}"),
    ],
)
def test_a_wrong_address_is_refused_with_what_is_allowed(text, message):
    with pytest.raises(DeviceAddressError, match=message):
        parse_address(text)


# --- the job folder


def test_a_job_measures_and_verifies_where_it_was_copied_to(tiny_space, tmp_path):
    target = Target()
    plan_job(tiny_space, target, tmp_path / "job", networks=5, settings=QUICK)
    (tmp_path / "job").rename(tmp_path / "usb")

    done = subprocess.run(
        [sys.executable, tmp_path / "usb" / "agent.py"], capture_output=True, text=True, check=True
    )
    table = run_job(read_job(tmp_path / "usb"), tmp_path / "t.csv")

    assert "done" in done.stderr
    assert table.device == describe_device()
    assert table.reorders is not None
    assert {row.block for row in table.rows} == set(tiny_space.reachable_blocks())
    assert table.verification is not None
    assert len(table.verification.networks) == 5
    assert LatencyTable.load(tmp_path / "t.csv") == table


def test_a_job_holds_each_model_once_and_is_not_written_twice(tiny_space, tmp_path):
    job = plan_job(tiny_space, Target(), tmp_path / "job", networks=0)
    models = sorted((tmp_path / "job" / "models").iterdir())
    before = [path.stat().st_mtime_ns for path in models]

    again = plan_job(tiny_space, Target(), tmp_path / "job", networks=0)

    assert again.id == job.id
    assert len(models) == 1 + len(tiny_space.reachable_blocks()) + len(PASS_THROUGHS)
    assert [path.stat().st_mtime_ns for path in models] == before


def test_a_command_times_no_cold_runs(tiny_space, tmp_path):
    with pytest.raises(MeasuringError, match="whose caches mnas cannot fill: use --regime steady"):
        plan_job(tiny_space, Target(regime="cold"), tmp_path / "job", address="cmd:time {model}")


def test_another_job_in_the_folder_is_refused_with_both_sides(tiny_space, tmp_path):
    plan_job(tiny_space, Target(), tmp_path / "job", networks=0)
    with pytest.raises(JobError, match=r'target .*"threads": 1.* there, .*"threads": 2.* now'):
        plan_job(tiny_space, Target(threads=2), tmp_path / "job", networks=0)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "mnas.job/9"}'])
def test_a_folder_that_holds_no_job_is_refused(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(JobError, match=r"job\.json"):
        read_job(tmp_path)


def _replace(document, place, value):
    *way, last = place
    for step in way:
        document = document[step]
    document[last] = value


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("space",), None, "space: must be an object; got None"),
        (("spice",), {}, r"spice: unknown field \(did you mean 'space'\?\)"),
        (("command",), "touch PWNED", "command: must be that of the address, None; got 'touch"),
        (("address",), "telnet:x", "address: a target is local, ssh:"),
        (
            ("reference",),
            "block-0",
            "reference: must be the key of one of its blocks; got 'block-0'",
        ),
        (("timeout_s",), "60", "timeout_s: must be a valid number; got '60'"),
        (("target",), {"threads": 1}, "target: needs name, runtime, dtype, batch, regime too"),
        (("target", "threads"), 0, "target: a target's threads must be at least 1; got 0"),
        (("target", "runtime"), "abacus", "target: unknown runtime of a device's agent 'abacus'"),
        (("settings", "runs"), 0, "settings: the protocol's runs must be 1 to 1,000,000; got 0"),
        (("models", 0, "role"), "block", r"models\.0\.role: the first alone is empty; got 'block'"),
        (("models", 1, "key"), "block-0", r"models\.1\.key: of what the model holds it is 'block-"),
        (("models", 1, "holds"), "{}", r"models\.1\.holds: not the key of a block"),
        (("models", 1, "file"), "../../etc/shadow", r"models\.1\.file: must be models/KEY\.SUFFIX"),
        (("models", -1, "holds"), "reorder-9", r"models\.\d+\.holds: must be one of reorder-16x"),
        (("models", 1, "shape"), [1, -3, 8, 8], r"models\.1\.shape\.1: must be greater than"),
    ],
)
def test_a_line_of_a_job_that_was_changed_is_named_with_its_file(
    tmp_path, job_text, place, value, message
):
    document = json.loads(job_text)
    _replace(document, place, value)
    (tmp_path / "job.json").write_text(json.dumps(document))
    with pytest.raises(JobError, match=rf"job\.json is not a sound job(?s:.*)\n  {message}"):
        read_job(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"done": true}\n', "does not say which device its rows are of"),
        ('{"about": {"device": "d", "runtime_version": "1"}}\n{"done": true}\n', "an empty model"),
        (
            '{"about": {"device": "d", "runtime_version": "1"}}\n'
            '{"key": "empty", "ms": 1.0, "wall_ms": 1.0}\n{"done": true}\n',
            "all .* blocks failed in onnxruntime, the first with nothing that was timed",
        ),
    ],
)
def test_rows_without_times_are_one_error(tmp_path, job_text, rows, message):
    (tmp_path / "job.json").write_text(job_text)
    (tmp_path / "rows.jsonl").write_text(rows)
    with pytest.raises(MnasError, match=message):
        run_job(read_job(tmp_path), tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_a_job_of_networks_alone_makes_no_table(tmp_path, job_text):
    document = json.loads(job_text)
    document["models"] = document["models"][:1]
    document["reference"] = None
    (tmp_path / "job.json").write_text(json.dumps(document))
    with pytest.raises(JobError, match="holds no blocks"):
        run_job(read_job(tmp_path), tmp_path / "t.csv")


def test_a_runtime_that_no_agent_has_is_named_with_those_that_are_known(tiny_space, tmp_path):
    with pytest.raises(UnknownNameError, match=r"agent 'torch'.*onnxruntime"):
        plan_job(tiny_space, Target(runtime="torch"), tmp_path / "job")


# --- behind ssh


def test_a_table_comes_back_through_ssh_and_says_where_from(tiny_space, tmp_path, ssh_home):
    table = measured("ssh:pi@there:2222", tiny_space, tmp_path, python=sys.executable)

    assert {row.block for row in table.rows} == set(tiny_space.reachable_blocks())
    assert table.where["address"] == "ssh:pi@there:2222"
    assert LatencyTable.load(tmp_path / "t.csv").where == table.where
    assert not (tmp_path / "t.csv.job").exists()
    assert not list((ssh_home / ".cache/mnas/jobs").iterdir())
    calls = [eval(line) for line in (ssh_home / "calls").read_text().splitlines()]
    assert all(call[call.index("-p") + 1] == "2222" for call in calls)
    assert all(call[call.index("--") + 1] == "pi@there" for call in calls)


def test_a_lost_connection_goes_on_where_it_broke(tiny_space, tmp_path, ssh_home):
    (ssh_home / "drops").write_text("7")
    pauses = []

    table = measured("ssh:there", tiny_space, tmp_path, python=sys.executable, pause=pauses.append)

    streams = (ssh_home / "calls").read_text().count("--stream")
    assert (len(pauses), streams) == (1, 2)
    assert {row.status for row in table.rows} <= {"measured", "noisy"}


@pytest.mark.slow
def test_a_connection_that_stays_lost_keeps_the_rows(tiny_space, tmp_path, ssh_home):
    def pause(seconds):
        (ssh_home / "drops").write_text("0")  # from here on it breaks at once

    (ssh_home / "drops").write_text("5")
    lost = r"no connection to ssh:there: .*Broken pipe(?s:.*)t\.csv\.job"
    with pytest.raises(DeviceError, match=lost):
        measured("ssh:there", tiny_space, tmp_path, python=sys.executable, pause=pause)

    rows = [
        json.loads(line) for line in (tmp_path / "t.csv.job/rows.jsonl").read_text().splitlines()
    ]
    assert sum("key" in row for row in rows) >= 3
    (ssh_home / "drops").unlink(missing_ok=True)
    assert measured("ssh:there", tiny_space, tmp_path, python=sys.executable).rows


def test_an_unreachable_host_is_an_error_at_once(tiny_space, tmp_path, ssh_home):
    with pytest.raises(DeviceError, match=r"no connection to ssh:nowhere: .*No route to host"):
        measured("ssh:nowhere", tiny_space, tmp_path)


def test_a_device_without_the_runtime_says_how_to_install_it(tiny_space, tmp_path, ssh_home):
    bare = ssh_home / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(DeviceError, match=r"no onnxruntime .*pip install onnxruntime.*--python"):
        measured("ssh:there", tiny_space, tmp_path, python="./python")


def test_a_device_without_space_is_an_error_before_the_models_go(tiny_space, tmp_path, ssh_home):
    full = ssh_home / "python"
    full.write_text(
        f"#!{sys.executable}\nimport json\n"
        "print('Welcome!')\nprint(json.dumps({'device': 'd', 'runtime_version': '1', 'files': {}, "
        "'free_bytes': 10}))\n"
    )
    full.chmod(0o755)
    with pytest.raises(DeviceError, match="0 MB of free space, and the models take"):
        measured("ssh:there", tiny_space, tmp_path, python="./python")


@pytest.mark.slow
def test_a_verification_runs_on_the_tables_device(tiny_space, tmp_path, ssh_home):
    table = measured("ssh:there", tiny_space, tmp_path, python=sys.executable)

    verified = verify_on(table, tiny_space, 4, python=sys.executable, rounds=2, settings=QUICK)

    assert verified.verification is not None
    assert len(verified.verification.networks) == 4
    assert LatencyTable.load(tmp_path / "t.csv") == verified


@pytest.mark.slow
def test_a_verification_on_another_device_is_refused_with_both_sides(tiny_space, tmp_path):
    command = device_command(tmp_path, "print(1.5)\n")
    table = measured(command, tiny_space, tmp_path, device="Phone")
    with pytest.raises(TableMismatchError, match=f"device 'Phone', but .*{describe_device()[:12]}"):
        verify_on(table, tiny_space, 4, address="local", settings=QUICK)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"address": "cmd:touch PWNED # {model}"}, "--target 'cmd:touch PWNED # {model}'"),
        ({"address": "local", "python": "evil.sh"}, "--python evil.sh"),
        ({"address": "ssh:there", "python": "evil.sh"}, "--python evil.sh"),
    ],
)
def test_a_program_that_a_table_names_is_not_run_unless_it_is_repeated(
    tiny_space, tmp_path, monkeypatch, table_of_jobs, where, said
):
    monkeypatch.chdir(tmp_path)
    table = replace(table_of_jobs, where=where)
    with pytest.raises(DeviceAddressError, match=f"names a program to run.* {re.escape(said)}$"):
        verify_on(table, tiny_space, 4, settings=QUICK)
    assert not list(tmp_path.iterdir())


def test_a_job_runs_the_agent_of_mnas_and_no_code_that_came_with_it(tiny_space, tmp_path):
    job = plan_job(tiny_space, Target(), tmp_path / "job", networks=0, settings=QUICK)
    for name in ("agent.py", "json.py"):
        (job.folder / name).write_text("import sys\nsys.exit('foreign code ran')\n")

    assert run_job(job, tmp_path / "t.csv").device == describe_device()


# --- behind a command


def test_a_commands_number_is_the_time_of_each_model(tiny_space, tmp_path):
    command = device_command(tmp_path, "print(1.0 if 'empty' in model else 3.0, 'ms')\n")

    table = measured(command, tiny_space, tmp_path, device="Phone")

    assert (table.device, table.runtime_version) == ("Phone", "unknown")
    assert table.empty_ms == 1.0
    assert {row.ms for row in table.rows} == {2.0}


@pytest.mark.slow
def test_a_model_on_which_the_command_fails_is_a_row_with_its_reason(tiny_space, tmp_path):
    failing = sorted(tiny_space.reachable_blocks())[0]
    job = plan_job(tiny_space, Target(), tmp_path / "names", networks=0)
    name = next(model.file for model in job.models if model.holds == failing)
    command = device_command(
        tmp_path,
        f"if {name!r} in model:\n    sys.exit('no such op')\n"
        "print(1.0 if 'empty' in model else 3.0)\n",
    )

    table = measured(command, tiny_space, tmp_path)

    (failed,) = [row for row in table.rows if row.ms is None]
    assert failed.block == failing
    assert failed.status == "failed: the command ended with exit code 1: it said no such op"
    assert table.predict(tiny_space.sample(random.Random(0))).ms > 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("print('loading...')\n", "holds no one time: it said loading"),
        ("time.sleep(60)\n", r"gave no answer in 0\.3 s"),
        ("sys.exit(7)\n", "ended with exit code 7"),
    ],
)
def test_a_device_that_never_answers_is_one_error(tiny_space, tmp_path, body, reason):
    with pytest.raises(DeviceError, match=f"not even an empty model runs .*{reason}"):
        measured(device_command(tmp_path, body), tiny_space, tmp_path, timeout_s=0.3)


@pytest.mark.slow
def test_a_device_that_dies_half_way_keeps_its_rows_and_goes_on_later(tiny_space, tmp_path):
    dies = (
        "if n > 10 and not alive:\n    sys.exit('error: device offline')\n"
        "print(3.0 - ('empty' in model))\n"
    )
    alive = tmp_path / "alive"
    command = device_command(tmp_path, f"alive = pathlib.Path({str(alive)!r}).exists()\n{dies}")
    with pytest.raises(DeviceError, match=r"device offline(?s:.*)goes on there"):
        measured(command, tiny_space, tmp_path)
    alive.touch()

    table = measured(command, tiny_space, tmp_path)

    assert {row.status for row in table.rows} == {"measured"}


def test_a_runtime_that_kills_its_process_costs_one_block(tiny_space, tmp_path, monkeypatch):
    job = plan_job(tiny_space, Target(), tmp_path / "t.csv.job", networks=0, settings=QUICK)
    broken = job.models[1]
    (job.folder / broken.file).write_bytes(b"kill")
    monkeypatch.setattr(agent, "__file__", _killing(job.folder / "agent.py"))

    table = run_job(job, tmp_path / "t.csv")

    (failed,) = [row for row in table.rows if row.ms is None]
    assert failed.block == broken.holds
    assert failed.status == "failed: the runtime ended the process with signal SIGKILL"


def test_a_runtime_that_prints_spoils_no_row(tiny_space, tmp_path, monkeypatch):
    """From Python, from C, and from programs that it starts; where it is looked for, too."""
    job = plan_job(tiny_space, Target(), tmp_path / "job", networks=0, settings=QUICK)
    text = (job.folder / "agent.py").read_text()
    noise = "    print('[1]'); os.system('echo loading'); os.write(1, b'raw')\n"
    for begin in ('    """ONNX Runtime on the CPU', '    """What the session options above'):
        head, found, tail = text.partition(begin)
        line, _, rest = tail.partition("\n")
        assert found
        text = f"{head}{begin}{line}\n{noise}{rest}"
    (tmp_path / "agent.py").write_text(text)
    monkeypatch.setattr(agent, "__file__", str(tmp_path / "agent.py"))

    table = run_job(job, tmp_path / "t.csv")

    assert len(table.rows) == len(tiny_space.reachable_blocks())
    assert {row.status.partition(":")[0] for row in table.rows} <= {"measured", "noisy"}


def test_what_is_no_row_is_passed_over():
    lines = (b"loading", b"3", b"[1]", b'{"key"', b'{"begin": "a"}')
    assert [agent._row_in(line) for line in lines] == [None, None, None, None, {"begin": "a"}]


def _killing(path):
    text = path.read_text()
    begin = '    """ONNX Runtime on the CPU'
    kill = "    if Path(model).read_bytes() == b'kill':\n        os.kill(os.getpid(), 9)\n"
    head, found, tail = text.partition(begin)
    assert found
    first_line, _, rest = tail.partition("\n")
    path.write_text(f"{head}{begin}{first_line}\n{kill}{rest}")
    return str(path)


# --- rows that were brought back


@pytest.mark.parametrize(
    "line",
    ["garbage", "[]", '{"key": 1}', '{"key": "a", "ms": -1, "wall_ms": 1}', '{"about": {}}'],
)
def test_rows_that_are_none_are_named_by_their_line(tiny_space, tmp_path, line):
    job = plan_job(tiny_space, Target(), tmp_path / "job", networks=0)
    job.rows_path.write_text(f"{line}\n")
    with pytest.raises(JobError, match=r"rows\.jsonl: line 1"):
        run_job(job, tmp_path / "t.csv")


def test_rows_of_another_device_are_not_mixed(tiny_space, tmp_path):
    job = plan_job(tiny_space, Target(), tmp_path / "job", networks=0)
    job.rows_path.write_text('{"about": {"device": "A board", "runtime_version": "1"}}\n{"key')
    with pytest.raises(TableMismatchError, match="begun with device 'A board', and now there is"):
        run_job(job, tmp_path / "t.csv")


@pytest.mark.slow
def test_a_job_whose_blocks_all_failed_gives_no_table(tiny_space, tmp_path):
    command = device_command(
        tmp_path, "print(1.0) if 'empty' in model else sys.exit('unsupported')\n"
    )
    with pytest.raises(MeasuringError, match=r"all .* blocks failed .*unsupported"):
        measured(command, tiny_space, tmp_path)
