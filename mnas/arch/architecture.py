"""Architecture: one network with every number explicit, the currency between all rooms."""

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, Literal, Self

from mnas.arch.blocks import BLOCKS
from mnas.arch.canonical import canonical_json, to_fields
from mnas.arch.errors import Fault, InvalidArchitectureError
from mnas.arch.field_types import has_declared_types, type_problems, wrong_type
from mnas.arch.heads import HeadConv, HeadItem, HeadLinear, HeadPool
from mnas.arch.layers import PADDINGS, Padding, halved
from mnas.arch.operators import added_operators
from mnas.arch.pieces import MOST, Block, Problems, Stem, one_of

_MOST_CLASSES = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What the network looks at: square images.

    Attributes:
        channels: 1 for grey, 3 for colour.
        resolution: Side in pixels.
    """

    channels: int
    resolution: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm:
    """Constants of every batch normalisation of the network (PyTorch's meaning of momentum)."""

    eps: float
    momentum: float

    def __post_init__(self) -> None:
        _as_floats(self, "eps", "momentum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A network of the MobileNet family, complete and immutable.

    After the head come dropout and a linear classifier with bias to `num_classes`. Equality,
    hash and `id` say whether two networks are the same; `id` alone leaves the name out.

    Every field has exactly the type that it declares: numbers of channels are `int`, neither
    `bool` nor `float` nor numpy's integers. Constants of `norm` and `dropout` become `float`.

    Attributes:
        name: For people; not part of `id`, and not empty.
        padding: `symmetric` is (kernel - 1) // 2 on each side, `same` is TensorFlow's.
        dropout: Rate before the classifier, in [0, 1).

    Raises:
        InvalidArchitectureError: No network can be built from this; names each place and what is
            allowed there.
    """

    schema: Literal["mnas.architecture/1"] = "mnas.architecture/1"
    name: str
    input: Input
    num_classes: int
    padding: Padding
    norm: BatchNorm
    dropout: float
    stem: Stem
    blocks: tuple[Block, ...]
    head: tuple[HeadItem, ...]

    def __post_init__(self) -> None:
        _as_floats(self, "dropout")
        for name in ("blocks", "head"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        faults = list(_type_faults(self)) or list(_faults(self))
        if faults:
            raise InvalidArchitectureError(
                f"the architecture {self.name!r} cannot be built:", faults
            )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read an architecture document (schema `mnas.architecture/1`).

        Args:
            text: A JSON object with all fields; unknown fields are errors.

        Raises:
            InvalidArchitectureError: Names each faulty place and what is allowed there.
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"from_json takes the text of a document; got {text!r}")
        from mnas.arch.documents import architecture_from_json  # pydantic is loaded at the door

        return architecture_from_json(cls, text)

    def to_json(self) -> str:
        """The document, indented, ending in a newline; `from_json` reads it back."""
        return json.dumps(to_fields(self), indent=1) + "\n"

    def with_body(self, blocks: tuple[Block, ...], head: tuple[HeadItem, ...]) -> Self:
        """The same network with other blocks and another head.

        What `dataclasses.replace` gives, at a fraction of the time where every piece is one that
        was accepted before where the same shape came in: a space makes all its networks from them.

        Raises:
            InvalidArchitectureError: As the constructor.
        """
        if not _are_accepted(self, blocks, head):
            made = replace(self, blocks=blocks, head=head)
            _accept(made)
            return made
        made = object.__new__(type(self))
        for name in _NAMES:
            object.__setattr__(made, name, getattr(self, name))
        object.__setattr__(made, "blocks", blocks)
        object.__setattr__(made, "head", head)
        return made

    @property
    def id(self) -> str:
        """First 12 hex digits of the sha256 of the canonical document without `name`."""
        return _id_of(self)


_NAMES = tuple(field.name for field in fields(Architecture))
# Blocks that were accepted where (channels, size, size) came in, and what they give; and heads.
# By `id`, as in `has_declared_types`: each is held here, so that no other value can get its id.
_blocks_accepted: dict[tuple[int, int, int], tuple[Block, int, int]] = {}
_heads_accepted: dict[int, tuple[HeadItem, ...]] = {}
_MOST_ACCEPTED = 100_000


def _are_accepted(
    arch: Architecture, blocks: tuple[Block, ...], head: tuple[HeadItem, ...]
) -> bool:
    if type(blocks) is not tuple or id(head) not in _heads_accepted:
        return False
    channels, size = _after_stem(arch)
    known = _blocks_accepted.get
    for block in blocks:
        found = known((id(block), channels, size))
        if found is None:
            return False
        _, channels, size = found
    return True


def _accept(arch: Architecture) -> None:
    """Remember the pieces of an architecture that was checked."""
    for accepted in (_blocks_accepted, _heads_accepted):
        if len(accepted) >= _MOST_ACCEPTED:
            accepted.clear()
    _heads_accepted[id(arch.head)] = arch.head
    channels, size = _after_stem(arch)
    for block in arch.blocks:
        key = id(block), channels, size
        channels, size = block.out_channels, halved(size, block.stride)
        _blocks_accepted[key] = block, channels, size


def _after_stem(arch: Architecture) -> tuple[int, int]:
    return arch.stem.out_channels, halved(arch.input.resolution, arch.stem.stride)


@functools.lru_cache(maxsize=256)  # a search asks for the id of one network several times
def _id_of(arch: Architecture) -> str:
    document = to_fields(arch)
    del document["name"]
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()[:12]


def _as_floats(value: Architecture | BatchNorm, *names: str) -> None:
    """Make 0, 0.0 and -0.0 one number, so that equal values have one id."""
    for name in names:
        number = getattr(value, name)
        if isinstance(number, Real) and not isinstance(number, bool):
            object.__setattr__(value, name, float(number) + 0.0)


_INPUT, _STEM, _HEADS = (Input,), (Stem,), (HeadConv, HeadPool, HeadLinear)
_BLOCKS = tuple(BLOCKS.values())


def _type_faults(arch: Architecture) -> Iterator[Fault]:
    """What has another type than it declares; only without such faults can values be compared."""
    for name, found, kind in (("name", arch.name, str), ("num_classes", arch.num_classes, int)):
        if type(found) is not kind:
            yield Fault(name, wrong_type(found, kind))
    if type(arch.dropout) is not float:
        yield Fault("dropout", f"must be a number; got {arch.dropout!r}")
    if type(arch.norm) is BatchNorm:
        for name in ("eps", "momentum"):
            if type(found := getattr(arch.norm, name)) is not float:
                yield Fault(f"norm.{name}", f"must be a number; got {found!r}")
    else:
        yield Fault("norm", wrong_type(arch.norm, BatchNorm))
    yield from _piece_type_faults("input", arch.input, _INPUT)
    yield from _piece_type_faults("stem", arch.stem, _STEM)
    for name, pieces, kinds in (("blocks", arch.blocks, _BLOCKS), ("head", arch.head, _HEADS)):
        if not isinstance(pieces, tuple):
            yield Fault(name, f"must be a tuple or a list; got {pieces!r}")
            continue
        for index, piece in enumerate(pieces):
            if type(piece) not in kinds or not has_declared_types(piece):
                added = added_operators().values() if kinds is _BLOCKS else ()
                yield from _piece_type_faults(f"{name}.{index}", piece, (*kinds, *added))


def _piece_type_faults(place: str, piece: object, kinds: tuple[type, ...]) -> Iterator[Fault]:
    if type(piece) not in kinds:
        yield Fault(place, wrong_type(piece, *kinds))
        return
    for name, problem in type_problems(piece):
        yield Fault(f"{place}.{name}", problem)


def _faults(arch: Architecture) -> Iterator[Fault]:
    if arch.schema != "mnas.architecture/1":
        yield Fault("schema", f"must be 'mnas.architecture/1'; got {arch.schema!r}")
    if not arch.name.strip():
        yield Fault("name", f"must not be empty; got {arch.name!r}")
    for place, value, most in (
        ("input.channels", arch.input.channels, MOST),
        ("input.resolution", arch.input.resolution, MOST),
        ("num_classes", arch.num_classes, _MOST_CLASSES),
    ):
        if value < 1:
            yield Fault(place, f"must be at least 1; got {value}")
        elif value > most:
            yield Fault(place, f"must be at most {most}; got {value}")
    for name, problem in one_of(PADDINGS, padding=arch.padding):
        yield Fault(name, problem)
    if not 0 <= arch.dropout < 1:
        yield Fault("dropout", f"must be at least 0 and below 1; got {arch.dropout}")
    if not 0 < arch.norm.eps < 1:
        yield Fault("norm.eps", f"must be above 0 and below 1; got {arch.norm.eps}")
    if not 0 < arch.norm.momentum <= 1:
        yield Fault("norm.momentum", f"must be above 0 and at most 1; got {arch.norm.momentum}")
    channels, size = arch.input.channels, max(arch.input.resolution, 1)
    pieces: tuple[Stem | Block, ...] = (arch.stem, *arch.blocks)
    entering: set[str] = set()
    for index, piece in enumerate(pieces):
        problems = _piece_problems(piece, channels, size)
        faulty = {name for name, _ in problems}
        # Whether shapes change is not known where they are faulty themselves.
        is_unsure = piece.stride < 1 or "out_channels" in faulty | entering
        for name, problem in problems:
            if not (is_unsure and name == "residual"):
                yield Fault(f"blocks.{index - 1}.{name}" if index else f"stem.{name}", problem)
        channels, size, entering = piece.out_channels, halved(size, max(piece.stride, 1)), faulty
    yield from _head_faults(arch.head)


# A search meets the same blocks again and again, and most of a construction would be spent here.
@functools.lru_cache(maxsize=100_000)
def _piece_problems(piece: Stem | Block, channels: int, size: int) -> tuple[tuple[str, str], ...]:
    """What is wrong with a stem or block where (channels, size, size) comes in."""
    op = () if isinstance(piece, Stem) else _op_problems(piece)
    return (*op, *piece.problems(channels, size))


def _op_problems(piece: Any) -> Problems:
    own = next(field.default for field in fields(piece) if field.name == "op")
    if piece.op != own:
        yield "op", f"must be {own!r} in a {type(piece).__name__}; got {piece.op!r}"


@functools.lru_cache(maxsize=10_000)
def _head_faults(head: tuple[HeadItem, ...]) -> tuple[Fault, ...]:
    return tuple(_faults_of_head(head))


def _faults_of_head(head: tuple[HeadItem, ...]) -> Iterator[Fault]:
    pools = [index for index, item in enumerate(head) if isinstance(item, HeadPool)]
    if len(pools) != 1:
        yield Fault("head", f"needs exactly one item with op 'pool'; got {len(pools)}")
    linear_seen = False
    for index, item in enumerate(head):
        for name, problem in (*_op_problems(item), *item.problems()):
            yield Fault(f"head.{index}.{name}", problem)
        match item:
            case HeadConv() if linear_seen:
                yield Fault(f"head.{index}.op", "a 'conv' cannot follow a 'linear'")
            case HeadLinear() if pools and index < pools[0]:
                yield Fault(f"head.{index}.op", "a 'linear' must come after the 'pool'")
        linear_seen = linear_seen or isinstance(item, HeadLinear)
