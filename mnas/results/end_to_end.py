"""`timing.json`: what was timed end to end, where, and what is lacking and why."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mnas.arch import write_atomically
from mnas.results.errors import RunError

_FILE = "timing.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd:
    """Times of exported networks, end to end, on the first target.

    Attributes:
        ms: Milliseconds by the architecture's id; lower is better.
        failed: Why a network has no time, by its id; it is not timed again.
        address: Where the device is, as the experiment says; None before anything was timed.
        device: What the device is.
        runtime_version: Of its runtime; None where this machine timed.
        noise_floor: Mean relative difference of two halves of the rounds, the largest of those
            seen; None where this machine timed, whose tables say it.
        waits: Why what is still to be timed was not; None when nothing is.
    """

    schema: Literal["mnas.timing/1"] = "mnas.timing/1"
    address: str | None = None
    device: str | None = None
    runtime_version: str | None = None
    noise_floor: float | None = None
    waits: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    ms: Mapping[str, float] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(extra="ignore")  # a later mnas may say more


def read_end_to_end(directory: Path | None) -> EndToEnd:
    """What a run timed end to end; nothing, where it timed nothing.

    Raises:
        RunError: `timing.json` is damaged.
    """
    path = None if directory is None else directory / _FILE
    if path is None or not path.is_file():
        return EndToEnd()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and "schema" not in document:
            document = {"ms": document}  # as versions before addresses wrote it
        return TypeAdapter(EndToEnd).validate_python(document)
    except (OSError, ValueError, ValidationError) as error:
        raise RunError(
            f"{path} is not what a search writes ({' '.join(str(error).split())[:200]}). Delete "
            "it, and the search times its networks again"
        ) from None


def write_end_to_end(directory: Path, found: EndToEnd) -> None:
    """Write `timing.json`."""
    write_atomically(directory / _FILE, json.dumps(asdict(found), indent=1) + "\n")
