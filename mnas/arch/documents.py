"""The JSON door: architecture documents in and out, and the wording of what pydantic found.

pydantic stands here only; inside, values are plain dataclasses.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, TypeAdapter, ValidationError

from mnas.arch.architecture import Architecture, BatchNorm, Input
from mnas.arch.blocks import BLOCKS, Block, HeadConv, HeadLinear, HeadPool, Stem
from mnas.arch.errors import Fault, InvalidArchitectureError, did_you_mean
from mnas.arch.layers import Padding

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=False)


class _ArchitectureDocument(BaseModel):
    model_config = STRICT

    schema_: Literal["mnas.architecture/1"] = Field(alias="schema")
    name: str
    input: Input
    num_classes: int
    padding: Padding
    norm: BatchNorm
    dropout: float
    stem: Stem
    blocks: list[Annotated[Block, Discriminator("op")]]
    head: list[Annotated[HeadConv | HeadPool | HeadLinear, Discriminator("op")]]


AnyArchitecture = TypeVar("AnyArchitecture", bound=Architecture)


def architecture_from_json(cls: type[AnyArchitecture], text: str | bytes) -> AnyArchitecture:
    """Read a document; see `Architecture.from_json`."""
    subject = "not an architecture document (schema mnas.architecture/1):"
    try:
        door = _ArchitectureDocument.model_validate_json(text)
    except ValidationError as error:
        raise InvalidArchitectureError(subject, faults_of(error, _ArchitectureDocument)) from None
    values = {name: getattr(door, name) for name in type(door).model_fields if name != "schema_"}
    return cls(**{**values, "blocks": tuple(door.blocks), "head": tuple(door.head)})


def to_fields(value: Any) -> Any:
    """A value of `arch` as JSON types: dataclasses become dictionaries, tuples lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_fields(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_fields(item) for item in value]
    return value


def canonical_json(fields_: Mapping[str, Any]) -> str:
    """The one spelling of a document that ids and table keys are made from."""
    return json.dumps(fields_, sort_keys=True, separators=(",", ":"))


def to_document(arch: Architecture, *, indent: int | None = None) -> str:
    """The architecture as a JSON document, in the order of the fields."""
    return json.dumps(to_fields(arch), indent=indent)


@functools.cache
def _block_adapter() -> TypeAdapter[Block]:
    return TypeAdapter(Annotated[Block, Discriminator("op")])


def block_from_fields(document: Mapping[str, Any]) -> Block:
    """A block operator from its document, for readers of table keys.

    Raises:
        InvalidArchitectureError: The fields are not those of a block.
    """
    if document.get("op") not in BLOCKS:
        raise InvalidArchitectureError.at(
            "not a block:", "op", f"got {document.get('op')!r}; allowed: {', '.join(BLOCKS)}"
        )
    try:
        return _block_adapter().validate_json(json.dumps(document), strict=True, extra="forbid")
    except ValidationError as error:
        raise InvalidArchitectureError("not a block:", faults_of(error)) from None


def faults_of(
    error: ValidationError,
    model: type[BaseModel] | None = None,
    locate: Callable[[tuple[str | int, ...]], tuple[int, int] | None] | None = None,
) -> list[Fault]:
    """Say what pydantic found in the words of our errors.

    Args:
        error: What a door raised.
        model: The door, to suggest the field that a misspelt one may mean.
        locate: Gives (line, column) of a path in the document, if it is known.

    Returns:
        One fault for each place, in the order found.
    """
    known = _field_names(model) if model is not None else ()
    faults = []
    for found in error.errors(include_url=False):
        path = tuple(step for step in found["loc"] if not _is_tag(step, known))
        line, column = (locate(path) if locate is not None else None) or (None, None)
        problem = _wording(found["type"], found["msg"], found.get("input"), path, known)
        faults.append(Fault(".".join(map(str, path)), problem, line, column))
    return faults


def _is_tag(step: str | int, known: Iterable[str]) -> bool:
    """Whether a step of pydantic's path is a discriminator's tag and not a field."""
    return isinstance(step, str) and step in (*BLOCKS, "pool", "linear") and step not in known


def _field_names(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields a document may have anywhere, to suggest one for a misspelt name."""
    schema = model.model_json_schema(by_alias=True)
    parts = [schema, *schema.get("$defs", {}).values()]
    return tuple({name: None for part in parts for name in part.get("properties", {})})


def _wording(
    kind: str, message: str, found: Any, path: tuple[str | int, ...], known: Iterable[str]
) -> str:
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown field{did_you_mean(str(path[-1]), known)}"
    if kind == "missing":
        return "this field is required"
    if kind.startswith("json_invalid"):
        return message
    said = message.removeprefix("Value error, ").removeprefix("Input should be ")
    allowed = f"must be {said}" if message.startswith("Input should be ") else said
    return f"{allowed}; got {_short(found)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
