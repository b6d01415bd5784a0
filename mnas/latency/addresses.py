"""Where a device is: this machine, behind ssh, or behind a command."""

import re
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
