"""The JSON door: architecture documents in and out, and the wording of what pydantic found.

pydantic stands here only; inside, values are plain dataclasses.
"""

import functools
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails

from mnas.arch.architecture import Architecture, BatchNorm, Input
from mnas.arch.blocks import BLOCKS
from mnas.arch.errors import Fault, InvalidArchitectureError, did_you_mean
from mnas.arch.heads import HeadItem
from mnas.arch.layers import Padding
from mnas.arch.mending import is_certain, mend
from mnas.arch.operators import BY_PACKAGES, added_operators
from mnas.arch.pieces import Block, Stem

Value = TypeVar("Value", bound=Hashable)

_TAGS = (*BLOCKS, "pool", "linear")


class _DocumentTop(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    schema_: Literal["mnas.architecture/1"] = Field(alias="schema")
    name: str
    input: Input
    num_classes: int
    padding: Padding
    norm: BatchNorm
    dropout: float
    stem: Stem


@functools.cache
def document_of(operators: tuple[type[Block], ...]) -> type[_DocumentTop]:
    """The door for documents of these block operators."""
    of_block, of_head = Discriminator("op"), Discriminator("op")
    block: Any = Union[operators]  # noqa: UP007 - the classes are known at run time only
    blocks: Any = (list[Annotated[block, of_block]], ...)
    head: Any = (list[Annotated[HeadItem, of_head]], ...)
    return create_model("ArchitectureDocument", __base__=_DocumentTop, blocks=blocks, head=head)


AnyArchitecture = TypeVar("AnyArchitecture", bound=Architecture)


def architecture_from_json(cls: type[AnyArchitecture], text: str | bytes) -> AnyArchitecture:
    """Read a document; see `Architecture.from_json`."""
    subject = "not an architecture document (schema mnas.architecture/1):"
    try:
        door = _validated(text)
    except ValidationError as error:
        model = document_of(tuple(BLOCKS.values()))
        faults = faults_of(error, model)
        if error.errors(include_url=False)[0]["type"] != "json_invalid":
            faults += _repeated(text)
            faults += _hidden(cls, text, faults)
        raise InvalidArchitectureError(subject, faults) from None
    values = {name: getattr(door, name) for name in type(door).model_fields if name != "schema_"}
    repeated = _repeated(text)
    if not repeated:
        return cls(**values)
    try:
        cls(**values)
    except InvalidArchitectureError as error:
        repeated += error.faults
    raise InvalidArchitectureError(subject, repeated)


def _hidden(cls: type[Architecture], text: str | bytes, told: list[Fault]) -> list[Fault]:
    """Faults of the sizes in a document whose fields have faults: of all that can be read."""
    document = json.loads(text)
    unsure = mend(document, told)
    try:
        door = _validated(json.dumps(document))
        cls(**{name: getattr(door, name) for name in type(door).model_fields if name != "schema_"})
    except ValidationError:
        return []
    except InvalidArchitectureError as error:
        return [fault for fault in error.faults if is_certain(fault, told, document, unsure)]
    return []


def _validated(text: str | bytes) -> _DocumentTop:
    """Read by mnas's own operators; an unknown one makes it look for those of other packages."""
    own = tuple(BLOCKS.values())
    try:
        return document_of(own).model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        asks_for_more = any(
            each["type"] == "union_tag_invalid" and each["loc"][0] == "blocks" for each in found
        )
        if not asks_for_more or not added_operators():
            raise
    return document_of((*own, *added_operators().values())).model_validate_json(text)


def _repeated(text: str | bytes) -> list[Fault]:
    return list(_repeated_fields(json.loads(text, object_pairs_hook=_Pairs), ()))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every field that was written, the repeated ones too."""


def _repeated_fields(node: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    if isinstance(node, _Pairs):
        for name, times in Counter(name for name, _ in node).items():
            if times > 1:
                place = ".".join(map(str, (*path, name)))
                yield Fault(place, f"must be written once; got it {times} times")
    elif not isinstance(node, list):
        return
    for step, child in node if isinstance(node, _Pairs) else enumerate(node):
        yield from _repeated_fields(child, (*path, step))


@functools.cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_value(kind: type[Value], fields: Mapping[str, Any], subject: str) -> Value:
    """A dataclass of `arch` from its fields as JSON types, strictly.

    Args:
        kind: The class to read.
        fields: All of its fields and no other.
        subject: First line of the error.

    Raises:
        InvalidArchitectureError: Names each faulty field.
    """
    adapter: TypeAdapter[Value] = _adapter(kind)
    try:
        return adapter.validate_json(json.dumps(fields), strict=True, extra="forbid")
    except ValidationError as error:
        raise InvalidArchitectureError(subject, faults_of(error)) from None


_UNKNOWN_FIELD = ("extra_forbidden", "unexpected_keyword_argument")


def faults_of(
    error: ValidationError,
    model: type[BaseModel] | None = None,
    locate: Callable[[tuple[str | int, ...], bool], tuple[int, int] | None] | None = None,
) -> list[Fault]:
    """Say what pydantic found in the words of our errors.

    Args:
        error: What a door raised.
        model: The door, to suggest the field that a misspelt one may mean.
        locate: Gives (line, column) of a path in the document, if it is known: of the value, or
            of the key if its second argument is true.

    Returns:
        One fault for each place, in the order found.
    """
    known = _field_names(model) if model is not None else ()
    faults = []
    for found in error.errors(include_url=False):
        path = _without_tags(found["loc"])
        if found["type"].startswith("union_tag_"):  # pydantic names the item, we its tag's field
            path += (found["ctx"]["discriminator"].strip("'"),)
        is_unknown = found["type"] in _UNKNOWN_FIELD
        line, column = (locate(path, is_unknown) if locate is not None else None) or (None, None)
        faults.append(Fault(".".join(map(str, path)), _wording(found, path, known), line, column))
    return faults


def _without_tags(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Pydantic's path without the tags of discriminated unions, which are no fields.

    A tag follows the number of an item (or begins the path of one), and a field follows the tag.
    """
    before = (None, 0, *path)
    return tuple(
        step
        for index, step in enumerate(path)
        if index == len(path) - 1
        or not isinstance(before[index + 1], int)
        or (step not in _TAGS and before[index] != "blocks")
    )


def _field_names(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields a document may have anywhere, to suggest one for a misspelt name."""
    schema = model.model_json_schema(by_alias=True)
    parts = [schema, *schema.get("$defs", {}).values()]
    return tuple({name: None for part in parts for name in part.get("properties", {})})


def _wording(found: ErrorDetails, path: tuple[str | int, ...], known: Iterable[str]) -> str:
    message = found["msg"]
    match found["type"]:
        case kind if kind in _UNKNOWN_FIELD:
            return f"unknown field{did_you_mean(str(path[-1]), known)}"
        case "missing" | "union_tag_not_found":
            return "this field is required"
        case "union_tag_invalid":
            allowed, tag = found["ctx"]["expected_tags"], found["ctx"]["tag"]
            near = did_you_mean(tag, [name.strip("'") for name in allowed.split(", ")])
            if not near and path[0] == "blocks":
                near = BY_PACKAGES
            return f"must be one of {allowed}; got {_short(tag)}{near}"
        case "json_invalid":
            return message
    if found["type"] == "value_error" and "; got" in message:
        return message.removeprefix("Value error, ")
    said = message.removeprefix("Value error, ").removeprefix("Input should be ")
    allowed = f"must be {said}" if message.startswith("Input should be ") else said
    return f"{allowed}; got {_short(found['input'])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
