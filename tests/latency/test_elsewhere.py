"""Deployed networks timed on another device, and asking what is there."""

import random
import sys

import onnx
import pytest
from fake_devices import QUICK, device_command

from mnas.arch import MnasError, UnknownNameError
from mnas.latency import (
    DeviceError,
    JobError,
    LatencyTable,
    TableMismatchError,
    TableRow,
    Target,
    ask_device,
    default_table_path,
    describe_device,
    find_table,
    measure_on,
    parse_address,
    time_networks_on,
    write_onnx,
)
from mnas.latency.job_file import model_key
from mnas.nets import build


@pytest.fixture
def networks(tiny_space):
    rng = random.Random(0)
    found = {}
    while len(found) < 3:
        arch = tiny_space.sample(rng)
        found[arch.id] = arch
    return list(found.values())


def timed(address, networks, tmp_path, **options):
    options.setdefault("pause", lambda seconds: None)
    return time_networks_on(
        address, networks, Target(), tmp_path / "job", rounds=3, settings=QUICK, **options
    )


def table_of(device, version="1"):
    row = TableRow(block="{}", ms=1.0, wall_ms=1.0, spread=0.0, runs=10, status="measured")
    return LatencyTable(target=Target(), device=device, runtime_version=version, rows=(row,))


@pytest.mark.slow
def test_networks_are_timed_behind_ssh_and_a_lost_connection_goes_on(networks, tmp_path, ssh_home):
    (ssh_home / "drops").write_text("4")

    found = timed("ssh:there", networks, tmp_path, python=sys.executable)

    assert found.timings.keys() == {arch.id for arch in networks}
    assert found.device == describe_device()
    assert found.noise_floor is not None
    assert not found.failures
    assert (ssh_home / "calls").read_text().count("--stream") == 2


def test_a_network_that_fails_has_a_reason_and_the_others_have_times(networks, tmp_path):
    failing = networks[1]
    command = device_command(
        tmp_path,
        f"if {model_key('network', failing.to_json())!r} in model:\n    sys.exit('no such op')\n"
        "print(2.0)\n",
    )

    found = timed(command, networks, tmp_path, device="Phone")

    assert found.failures == {failing.id: "the command ended with exit code 1: it said no such op"}
    assert {timing.ms for timing in found.timings.values()} == {2.0}
    assert found.device == "Phone"


def test_a_device_that_goes_while_few_networks_are_left_is_not_taken_for_their_fault(
    networks, tmp_path
):
    alive = tmp_path / "alive"
    command = device_command(
        tmp_path,
        f"if n > 7 and not pathlib.Path({str(alive)!r}).exists():\n"
        "    sys.exit('error: device offline')\nprint(2.0)\n",
    )
    with pytest.raises(DeviceError, match=r"device offline(?s:.*)goes on there"):
        timed(command, networks, tmp_path)
    alive.touch()

    found = timed(command, networks, tmp_path)

    assert found.timings.keys() == {arch.id for arch in networks}


def test_what_a_command_times_is_the_deployed_file_with_the_batch_written_out(networks, tmp_path):
    from mnas.latency import write_onnx
    from mnas.nets import build

    arch = networks[0]
    write_onnx(build(arch).eval(), arch, tmp_path / "net.onnx")
    kept = tmp_path / "seen.onnx"
    command = device_command(
        tmp_path,
        f"if 'network' in model:\n    import shutil; shutil.copy(model, {str(kept)!r})\n"
        "print(2.0)\n",
    )

    timed(command, [arch], tmp_path, files={arch.id: tmp_path / "net.onnx"})

    seen = onnx.load(kept)
    assert [d.dim_value for d in seen.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 16, 16]
    assert seen.graph.name == onnx.load(tmp_path / "net.onnx").graph.name


def test_a_host_that_is_awaited_is_tried_again(networks, tmp_path, ssh_home):
    pauses = []
    with pytest.raises(DeviceError, match="no connection to ssh:nowhere"):
        timed("ssh:nowhere", networks, tmp_path, is_awaited=True, pause=pauses.append)
    assert len(pauses) == 6


def test_a_device_that_is_asked_says_what_it_is_and_leaves_nothing(tmp_path, ssh_home):
    about = ask_device("ssh:there", Target(), python=sys.executable)

    assert about["device"] == describe_device()
    assert about["runtime_version"]
    assert not list((ssh_home / ".cache/mnas/jobs").iterdir())


def test_another_device_than_the_tables_is_refused_with_both_sides(tmp_path, ssh_home):
    with pytest.raises(TableMismatchError, match=f"device 'A board', but .*{describe_device()}"):
        ask_device("ssh:there", Target(), table=table_of("A board"), python=sys.executable)


def test_a_command_that_fails_is_told_when_the_device_is_asked(tmp_path):
    with pytest.raises(DeviceError, match=r"not even an empty model runs .*no phone"):
        ask_device(device_command(tmp_path, "sys.exit('no phone')\n"), Target())


def test_a_runtime_that_no_device_has_is_refused(networks, tmp_path):
    with pytest.raises(UnknownNameError, match="runtime of a device's agent 'torch'"):
        ask_device("ssh:there", Target(runtime="torch"))


def test_the_table_of_a_device_is_found_by_its_address(tiny_space, tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    address = parse_address(device_command(tmp_path, "print(2.0 + ('block' in model))\n"))
    target = Target(runtime="npu/2")
    path = default_table_path(tiny_space, target, address=address)
    path.parent.mkdir(parents=True)

    measure_on(address, tiny_space, target, path, settings=QUICK, device="Phone")

    assert "npu_2" in path.name
    found = find_table(tiny_space, target, address=address)
    assert found is not None
    assert found.device == "Phone"
    assert find_table(tiny_space, target, address=parse_address("ssh:pi")) is None


def test_a_folder_of_other_files_of_the_same_networks_is_refused(networks, tmp_path):
    address = device_command(tmp_path, "print('1.0 ms')\n")
    files = {arch.id: tmp_path / f"{arch.id}.onnx" for arch in networks}
    for arch in networks:
        write_onnx(build(arch).eval(), arch, files[arch.id])
    timed(address, networks, tmp_path, device="Phone", files=files)

    write_onnx(build(networks[0]).eval(), networks[0], files[networks[0].id])  # other weights

    with pytest.raises(JobError, match=r"another job lies in .*models"):
        timed(address, networks, tmp_path, device="Phone", files=files)


def test_one_round_is_refused_before_a_device_is_asked(networks, tmp_path):
    with pytest.raises(MnasError, match="timed at least 2 times; got 1"):
        time_networks_on("ssh:nowhere", networks, Target(), tmp_path / "job", rounds=1)
