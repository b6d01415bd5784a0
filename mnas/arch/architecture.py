"""Architecture: one network with every number explicit, the currency between all rooms."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

from mnas.arch.blocks import Block, Stem, one_of
from mnas.arch.canonical import canonical_json, to_fields
from mnas.arch.errors import Fault, InvalidArchitectureError
from mnas.arch.heads import HeadConv, HeadItem, HeadLinear, HeadPool
from mnas.arch.layers import PADDINGS, Padding, halved


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

    Attributes:
        name: For people; not part of `id`.
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
        object.__setattr__(self, "blocks", tuple(self.blocks))
        object.__setattr__(self, "head", tuple(self.head))
        faults = list(_faults(self))
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
        from mnas.arch.documents import architecture_from_json  # pydantic is loaded at the door

        return architecture_from_json(cls, text)

    def to_json(self) -> str:
        """The document, indented, ending in a newline; `from_json` reads it back."""
        return json.dumps(to_fields(self), indent=1) + "\n"

    @property
    def id(self) -> str:
        """First 12 hex digits of the sha256 of the canonical document without `name`."""
        fields = to_fields(self)
        del fields["name"]
        return hashlib.sha256(canonical_json(fields).encode()).hexdigest()[:12]


def _as_floats(value: Architecture | BatchNorm, *names: str) -> None:
    """Make 0, 0.0 and -0.0 one number, so that equal values have one id."""
    for name in names:
        object.__setattr__(value, name, float(getattr(value, name)) + 0.0)


def _faults(arch: Architecture) -> Iterator[Fault]:
    for place, value in (
        ("input.channels", arch.input.channels),
        ("input.resolution", arch.input.resolution),
        ("num_classes", arch.num_classes),
    ):
        if value < 1:
            yield Fault(place, f"must be at least 1; got {value}")
    for name, problem in one_of(PADDINGS, padding=arch.padding):
        yield Fault(name, problem)
    if not 0 <= arch.dropout < 1:
        yield Fault("dropout", f"must be at least 0 and below 1; got {arch.dropout}")
    if not 0 < arch.norm.eps < 1:
        yield Fault("norm.eps", f"must be above 0 and below 1; got {arch.norm.eps}")
    if not 0 < arch.norm.momentum <= 1:
        yield Fault("norm.momentum", f"must be above 0 and at most 1; got {arch.norm.momentum}")
    channels, size = arch.input.channels, max(arch.input.resolution, 1)
    for place, piece in [("stem", arch.stem)] + [
        (f"blocks.{index}", block) for index, block in enumerate(arch.blocks)
    ]:
        for name, problem in piece.problems(channels, size):
            yield Fault(f"{place}.{name}", problem)
        channels, size = piece.out_channels, halved(size, max(piece.stride, 1))
    yield from _head_faults(arch.head)


def _head_faults(head: tuple[HeadItem, ...]) -> Iterator[Fault]:
    pools = [index for index, item in enumerate(head) if isinstance(item, HeadPool)]
    if len(pools) != 1:
        yield Fault("head", f"needs exactly one item with op 'pool'; got {len(pools)}")
    linear_seen = False
    for index, item in enumerate(head):
        for name, problem in item.problems():
            yield Fault(f"head.{index}.{name}", problem)
        match item:
            case HeadConv() if linear_seen:
                yield Fault(f"head.{index}.op", "a 'conv' cannot follow a 'linear'")
            case HeadLinear() if pools and index < pools[0]:
                yield Fault(f"head.{index}.op", "a 'linear' must come after the 'pool'")
        linear_seen = linear_seen or isinstance(item, HeadLinear)
