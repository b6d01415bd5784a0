"""The whole way through a real ssh server on this machine's loopback, with throw-away keys."""

import getpass
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_devices import QUICK

from mnas.latency import DeviceError, Target, measure_on, time_networks_on, verify_on

pytestmark = pytest.mark.external
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@pytest.fixture
def port(tmp_path, monkeypatch):
    """A server that knows one key, and an ssh configuration that knows the server."""
    if not Path(SSHD).exists():
        pytest.skip("there is no sshd: install Debian's openssh-server")
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"Port {number}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\n"
        f"AuthorizedKeysFile {tmp_path / 'user.pub'}\nStrictModes no\nUsePAM no\n"
        f"PidFile {tmp_path / 'pid'}\nPermitRootLogin yes\n"
        f"SetEnv HOME={tmp_path} MNAS_LOCK_FOLDER={tmp_path}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.DEVNULL
    )
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    (tmp_path / "ssh_config").write_text(
        f"Host *\nIdentityFile {tmp_path / 'user'}\nIdentitiesOnly yes\n"
        f"UserKnownHostsFile {tmp_path / 'known'}\nStrictHostKeyChecking accept-new\n"
    )
    # What a user has in ~/.ssh/config, which a test must not touch.
    script.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {tmp_path / "ssh_config"} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                break
        time.sleep(0.05)
    yield number
    server.terminate()
    server.wait()


def test_a_table_is_measured_and_verified_through_a_real_server(tiny_space, tmp_path, port):
    address = f"ssh:{getpass.getuser()}@127.0.0.1:{port}"

    table = measure_on(
        address, tiny_space, Target(), tmp_path / "t.csv", python=sys.executable, settings=QUICK
    )
    verified = verify_on(table, tiny_space, 4, python=sys.executable, rounds=2, settings=QUICK)

    assert {row.block for row in verified.rows} == set(tiny_space.reachable_blocks())
    assert verified.verification is not None
    assert verified.where["address"] == address


def test_whole_networks_are_timed_through_a_real_server(tiny_space, tmp_path, port):
    rng = random.Random(0)
    networks = list({arch.id: arch for arch in (tiny_space.sample(rng) for _ in range(4))}.values())

    found = time_networks_on(
        f"ssh:{getpass.getuser()}@127.0.0.1:{port}",
        networks,
        Target(),
        tmp_path / "job",
        python=sys.executable,
        rounds=2,
        settings=QUICK,
    )

    assert found.timings.keys() == {arch.id for arch in networks}
    assert not found.failures


def test_a_server_that_does_not_know_the_user_is_an_error_at_once(tiny_space, tmp_path, port):
    with pytest.raises(DeviceError, match=r"no connection to ssh:nobody@(?s:.*)denied"):
        measure_on(
            f"ssh:nobody@127.0.0.1:{port}", tiny_space, Target(), tmp_path / "t.csv", settings=QUICK
        )
