"""Where a device is: this machine, behind ssh, or behind a command."""

import re
import shlex
from dataclasses import dataclass

from mnas.arch import MnasError

_FORMS = "local, ssh:[user@]host[:port], or cmd:COMMAND with {model} in it"
_HOST = re.compile(
    r"(?:(?P<user>[^-@\s:\[\]][^@\s:\[\]]*)@)?"
    r"(?P<host>[^-@\s:\[\]][^@\s:\[\]]*|\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\])"
    r"(?::(?P<port>[0-9]+))?"
)
PLACEHOLDERS = ("model", "file", "threads", "runs", "warm_ups")


class DeviceAddressError(MnasError):
    """A text that says no place where a device could be."""


@dataclass(frozen=True, slots=True)
class Here:
    """This machine."""

    def __str__(self) -> str:
        return "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverSsh:
    """A machine that the system's ssh reaches; the user's configuration applies.

    Attributes:
        destination: `[user@]host` as ssh takes it; does not begin with a dash.
        port: None for what ssh's configuration says.
    """

    destination: str
    port: int | None = None

    def __str__(self) -> str:
        user, _, host = self.destination.rpartition("@")
        host = f"[{host}]" if ":" in host else host
        port = "" if self.port is None else f":{self.port}"
        return f"ssh:{user + '@' if user else ''}{host}{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCommand:
    """A device behind a command of this machine, such as a phone behind adb.

    Attributes:
        template: For the shell. `{model}` is the model's path on this machine, `{file}` its path
            within the job folder, for a device that the folder was copied to; `{threads}`,
            `{runs}` and `{warm_ups}` are numbers.
    """

    template: str

    def __str__(self) -> str:
        return f"cmd:{self.template}"


Address = Here | OverSsh | ByCommand


def parse_address(text: str) -> Address:
    """Read where a device is.

    Args:
        text: `local`, `ssh:[user@]host[:port]` (an IPv6 address in brackets), or `cmd:COMMAND`.

    Raises:
        DeviceAddressError: It is none of these; says what was found and what is allowed.
    """
    kind, colon, rest = text.partition(":")
    if text == "local":
        return Here()
    if kind == "ssh" and colon:
        return _over_ssh(rest, text)
    if kind == "cmd" and colon:
        if not any(f"{{{name}}}" in rest for name in ("model", "file")):
            raise DeviceAddressError(
                f"the command of a target must say where the model goes: {{model}} is its path "
                f"on this machine, {{file}} its path within the job folder; got {rest!r}"
            )
        return ByCommand(template=rest)
    raise DeviceAddressError(f"a target is {_FORMS}; got {text!r}")


def _over_ssh(rest: str, text: str) -> OverSsh:
    found = _HOST.fullmatch(rest)
    if found is None:
        dashed = rest.startswith("-") or "@-" in rest
        raise DeviceAddressError(
            f"a target behind ssh is ssh:[user@]host[:port]; got {text!r}"
            + (": a user or host cannot begin with a dash" if dashed else "")
        )
    user, host, port = found["user"], found["host"].strip("[]"), found["port"]
    if port is not None and not 1 <= int(port) <= 65535:
        raise DeviceAddressError(f"a port is 1 to 65535; got {port} in {text!r}")
    destination = f"{user}@{host}" if user else host
    return OverSsh(destination=destination, port=None if port is None else int(port))


def require_repeated(
    source: str,
    address: Address,
    python: str | None,
    *,
    said_address: Address | None = None,
    said_python: str | None = None,
) -> None:
    """Refuse to run what only a file says: tables and jobs come from others, too.

    Args:
        source: The file.
        address: Where the device is, by the file; a command of it would run on this machine.
        python: What runs the agent, by the file.
        said_address: Where it is, by who asks; None if that was not said.
        said_python: What runs the agent, by who asks.

    Raises:
        DeviceAddressError: Something was not repeated; tells it, and how to say it.
    """
    options = []
    if isinstance(address, ByCommand) and address != said_address:
        options.append(f"--target {shlex.quote(str(address))}")
    if python is not None and python != said_python:
        options.append(f"--python {shlex.quote(python)}")
    if options:
        raise DeviceAddressError(
            f"{source} names a program to run, and a file may come from anybody. Read it; if it "
            f"is what you want, say it yourself: {' '.join(options)}"
        )
