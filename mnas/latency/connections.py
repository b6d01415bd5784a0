"""Ways to an agent: beside this process, or behind the system's ssh."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from mnas.arch import write_atomically
from mnas.latency import agent
from mnas.latency.addresses import OverSsh
from mnas.latency.errors import DeviceError
from mnas.latency.jobs import Job

_CONNECTION_LOST = 255  # ssh's own exit code; every other one is the command's
# A dead connection is noticed within a minute; all else is the user's configuration.
_SSH_OPTIONS = ("-T", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15",
                "-o", "ServerAliveCountMax=4")  # fmt: skip
_CONTROL = ("agent.py", "job.json")


class ConnectionLostError(DeviceError):
    """The way to the device broke; what it said so far is kept."""


class Connection(Protocol):
    """A way to an agent."""

    def ready(self) -> Mapping[str, Any]:
        """Bring the job there; gives what the agent says of itself (`about`)."""
        ...

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the agent in streaming; its stdin takes earlier rows, its stdout gives new ones."""
        ...

    def complain(self, code: int) -> DeviceError:
        """The error of an agent that ended with a code, with what it said."""
        ...

    def clean(self) -> None:
        """Remove what was brought there."""
        ...

    def close(self) -> None:
        """Let go of what the connection holds on this machine."""
        ...


def connection_to(job: Job) -> Connection:
    """The way to a job's device."""
    if isinstance(job.address, OverSsh):
        return SshConnection(job, job.address)
    return LocalConnection(job)


class _Errors:
    """What processes write on stderr, in a file so that a full pipe stops nobody."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its owner

    def tail(self) -> str:
        self.file.seek(0)
        said = self.file.read().decode(errors="replace").strip()
        self.file.seek(0, os.SEEK_END)
        return said[-1500:] or "it said nothing"

    def clear(self) -> None:
        self.file.seek(0)
        self.file.truncate()


class LocalConnection:
    """An agent on this machine; also the one that runs a command.

    It is mnas's own, in a folder of its own: a job that came back from a device may hold any code.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._errors = _Errors()
        self._own = tempfile.TemporaryDirectory()
        own = shutil.copy(agent.__file__, Path(self._own.name) / "agent.py")
        self._command = [
            job.python or sys.executable,
            str(own),
            "--folder",
            str(job.folder.resolve()),
        ]

    def ready(self) -> Mapping[str, Any]:
        try:
            found = subprocess.run(
                [*self._command, "--about"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors.file,
                check=False,
            )
        except OSError as error:
            raise DeviceError(f"cannot run {self._command[0]}: {error.strerror}") from None
        if found.returncode:
            raise self.complain(found.returncode)
        return _about(found.stdout, str(self._job.address))

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*self._command, "--stream"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors.file,
            start_new_session=True,  # Ctrl-C is for mnas, which ends the agent itself
        )

    def complain(self, code: int) -> DeviceError:
        return DeviceError(f"the agent ended with exit code {code}: {self._errors.tail()}")

    def clean(self) -> None:
        pass  # nothing was brought anywhere

    def close(self) -> None:
        self._errors.file.close()
        self._own.cleanup()


class SshConnection:
    """An agent behind the system's ssh and tar, in the folder `.cache/mnas/jobs/ID` there."""

    def __init__(self, job: Job, address: OverSsh) -> None:
        self._job = job
        self._errors = _Errors()
        port = () if address.port is None else ("-p", str(address.port))
        self._ssh = ("ssh", *_SSH_OPTIONS, *port, "--", address.destination)
        self._name = str(address)
        self._folder = f".cache/mnas/jobs/{job.id}"
        self._python = _remote_python(job.python)

    def ready(self) -> Mapping[str, Any]:
        write_atomically(self._job.folder / "agent.py", Path(agent.__file__).read_bytes())
        self._send(_CONTROL)
        about = self._about()
        there = about["files"]
        missing = [
            model.file
            for model in self._job.models
            if there.get(model.file) != (self._job.folder / model.file).stat().st_size
        ]
        needed = sum((self._job.folder / file).stat().st_size for file in missing)
        if needed > about["free_bytes"]:
            raise DeviceError(
                f"{self._name} has {about['free_bytes'] / 1e6:.0f} MB of free space, and the "
                f"models take {needed / 1e6:.0f} MB more. Make room there, or measure fewer blocks"
            )
        if missing:
            self._send(missing)
        return about

    def start(self) -> "subprocess.Popen[bytes]":
        self._errors.clear()
        return subprocess.Popen(
            [*self._ssh, self._agent("--stream")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors.file,
            start_new_session=True,
        )

    def complain(self, code: int) -> DeviceError:
        said = self._errors.tail()
        if code == _CONNECTION_LOST:
            return ConnectionLostError(f"no connection to {self._name}: {said}")
        if code == agent.NO_RUNTIME:
            return DeviceError(f"{self._name}: {said}. Name another one with --python")
        return DeviceError(f"the agent on {self._name} ended with exit code {code}: {said}")

    def clean(self) -> None:
        self._run(f"rm -rf {shlex.quote(self._folder)}")

    def close(self) -> None:
        self._errors.file.close()

    def _about(self) -> dict[str, Any]:
        return _about(self._run(self._agent("--about")), self._name)

    def _agent(self, option: str) -> str:
        return f"cd {shlex.quote(self._folder)} && exec {self._python} agent.py {option}"

    def _run(self, command: str) -> bytes:
        self._errors.clear()
        try:
            found = subprocess.run(
                [*self._ssh, command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors.file,
                check=False,
            )
        except FileNotFoundError:
            raise DeviceError("there is no ssh on this machine: install OpenSSH's client") from None
        if found.returncode:
            raise self.complain(found.returncode)
        return found.stdout

    def _send(self, files: Iterable[str]) -> None:
        """Pack files here and unpack them there, in one stream."""
        folder = shlex.quote(self._folder)
        self._errors.clear()
        with tempfile.TemporaryFile() as listed:
            listed.write("".join(f"{file}\n" for file in files).encode())
            listed.seek(0)
            try:
                packed = subprocess.Popen(
                    ["tar", "-cf", "-", "-C", str(self._job.folder), "-T", "-"],
                    stdin=listed,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
                sent = subprocess.Popen(
                    [*self._ssh, f"mkdir -p {folder} && tar -xf - -C {folder}"],
                    stdin=packed.stdout,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors.file,
                )
            except FileNotFoundError as error:
                raise DeviceError(f"there is no {error.filename} on this machine") from None
            assert packed.stdout is not None
            packed.stdout.close()
            code = sent.wait()
            packed.wait()
        if code == _CONNECTION_LOST:
            raise self.complain(code)
        if code:
            raise DeviceError(f"the models could not be written on {self._name}: "
                              f"{self._errors.tail()}")  # fmt: skip


def _remote_python(python: str | None) -> str:
    """As the shell there takes it: a path counts from the home folder."""
    if python is None:
        return "python3"
    path = python.removeprefix("~/")
    return f'"$HOME"/{shlex.quote(path)}' if "/" in path and not path.startswith("/") else (
        shlex.quote(path)
    )  # fmt: skip


def _about(said: bytes, where: str) -> dict[str, Any]:
    """What an agent says of itself; a login that prints a greeting is no reason to fail."""
    for line in reversed(said.decode(errors="replace").splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and {"device", "runtime_version", "files"} <= found.keys():
            return found
    raise DeviceError(f"{where} did not say what it is: {said[-300:].decode(errors='replace')!r}")


def rows_in(process: "subprocess.Popen[bytes]") -> Iterable[dict[str, Any]]:
    """Whole rows of a streaming agent, as they come; what is no row is passed over."""
    assert process.stdout is not None
    for line in process.stdout:
        if not line.endswith(b"\n"):
            return
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
