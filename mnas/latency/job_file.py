"""The door of `job.json`: what a job says, checked before anything of it is used.

A job folder travels, and may come back changed. What a device is asked for follows from a few
facts; a file that says anything else is refused, so that no hand-edited line is run or believed.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from mnas.arch import (
    Architecture,
    Fault,
    InvalidArchitectureError,
    UnknownNameError,
    planned_from_key,
)
from mnas.arch.documents import faults_of
from mnas.latency import agent
from mnas.latency.addresses import ByCommand, parse_address
from mnas.latency.errors import JobError
from mnas.latency.model_files import check_writable
from mnas.latency.reorders import PASS_THROUGHS
from mnas.latency.target import Target
from mnas.latency.timing import Settings

SCHEMA = "mnas.job/1"
Role = Literal["empty", "pass_through", "block", "network"]
_PASS_THROUGHS = tuple(model.key for model in PASS_THROUGHS)
_Count = Annotated[int, Field(ge=0, le=10**9)]
_Seconds = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


def model_key(role: Role, holds: str) -> str:
    """The name of a model among the rows: it follows from what the model is."""
    if role == "empty":
        return agent.EMPTY
    if role == "pass_through":
        return holds
    return f"{role}-{hashlib.sha256(holds.encode()).hexdigest()[:16]}"


class _Door(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ModelDocument(_Door):
    """One model of a job; see `JobModel`."""

    key: str
    role: Role
    holds: str
    file: str
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    sha256: str | None = None


def _address(text: str) -> str:
    parse_address(text)
    return text


class JobDocument(_Door):
    """The content of `job.json`; see `Job`."""

    schema_: Literal["mnas.job/1"] = Field(alias="schema")
    address: Annotated[str, AfterValidator(_address)]
    command: str | None
    python: str | None
    device: str | None
    target: Target
    settings: Settings
    reference: str | None
    rounds: _Count
    space: dict[str, str]
    also: list[str]
    left_out: _Count
    timeout_s: _Seconds
    seed: int
    models: Annotated[list[ModelDocument], Field(min_length=1)]

    @field_validator("target", "settings", mode="before")
    @classmethod
    def _nothing_is_guessed(cls, value: Any, info: ValidationInfo) -> Any:
        kind: type[Target | Settings] = Target if info.field_name == "target" else Settings
        missing = [
            one.name for one in fields(kind) if isinstance(value, dict) and one.name not in value
        ]
        if missing:
            raise ValueError(f"needs {', '.join(missing)} too; got {', '.join(value) or 'nothing'}")
        return value


def read_document(path: Path) -> JobDocument:
    """Read and check `job.json`.

    Raises:
        JobError: It is missing, or says what no job can; names each place of it.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise JobError(
            f"cannot read the job {path}: {error.strerror}. Write one with "
            "`mnas latency plan SPACE -o JOB`"
        ) from None
    subject = f"{path} is not a sound job of mnas (schema {SCHEMA}):"
    try:
        document = JobDocument.model_validate_json(text)
    except ValidationError as error:
        raise JobError(subject, faults_of(error, JobDocument)) from None
    faults = list(_impossible(document))
    if faults:
        raise JobError(subject, faults)
    return document


def _impossible(document: JobDocument) -> Iterator[Fault]:
    """What each value alone may be, and all together cannot."""
    address = parse_address(document.address)
    command = address.template if isinstance(address, ByCommand) else None
    if document.command != command:
        yield Fault(
            "command", f"must be that of the address, {command!r}; got {document.command!r}"
        )
    try:
        check_writable(document.target, is_command=command is not None)
    except UnknownNameError as error:
        yield Fault("target", str(error))
    if document.seed != 0:
        yield Fault("seed", f"must be 0; got {document.seed}")
    blocks = {model.key for model in document.models if model.role == "block"}
    if not (document.reference in blocks if blocks else document.reference is None):
        yield Fault(
            "reference", f"must be the key of one of its blocks; got {document.reference!r}"
        )
    met: set[str] = set()
    for number, model in enumerate(document.models):
        if (model.role == "empty") != (number == 0):
            yield Fault(f"models.{number}.role", f"the first alone is empty; got {model.role!r}")
        if model.key in met:
            yield Fault(f"models.{number}.key", f"is there twice: {model.key!r}")
        met.add(model.key)
        yield from _faults_of_model(model, f"models.{number}")


def _faults_of_model(model: ModelDocument, place: str) -> Iterator[Fault]:
    key = model_key(model.role, model.holds)
    if model.key != key:
        yield Fault(
            f"{place}.key",
            f"of what the model holds it is {key!r}; got {model.key!r}: one of both was changed",
        )
    if not re.fullmatch(rf"models/{re.escape(model.key)}\.[a-z0-9]+", model.file):
        yield Fault(f"{place}.file", f"must be models/KEY.SUFFIX; got {model.file!r}")
    try:
        if model.role == "block":
            planned_from_key(model.holds)
        elif model.role == "network":
            Architecture.from_json(model.holds)
        elif model.role == "pass_through" and model.holds not in _PASS_THROUGHS:
            allowed = ", ".join(_PASS_THROUGHS)
            yield Fault(f"{place}.holds", f"must be one of {allowed}; got {model.holds!r}")
    except InvalidArchitectureError as error:
        yield Fault(f"{place}.holds", " ".join(str(error).split()))
