"""Adding up a network's blocks without planning again what was met before."""

from collections.abc import Callable

from mnas.arch import (
    Architecture,
    Block,
    HeadConv,
    HeadItem,
    HeadLinear,
    HeadPool,
    Padding,
    PlannedBlock,
    Stem,
    plan_block,
    plan_classifier,
    plan_head,
    plan_stem,
)

_HEADS = (HeadConv, HeadPool, HeadLinear)
_MOST_REMEMBERED = 200_000
Piece = Stem | Block | HeadItem
Cost = Callable[[PlannedBlock], tuple[float, float]]


class _Place:
    """A shape between two blocks, and what each block that was met there costs.

    A block is looked up by its identity: architectures of one space share their blocks, and a
    value's hash costs more than all the rest. The block is kept, so that no other one can take
    its identity.
    """

    __slots__ = ("channels", "classifiers", "met", "padding", "size")

    def __init__(self, channels: int, size: int | None, padding: Padding) -> None:
        self.channels, self.size, self.padding = channels, size, padding
        self.met: dict[int, tuple[float, float, _Place, Piece]] = {}
        self.classifiers: dict[tuple[int, float], tuple[float, float]] = {}


class Chains:
    """Walks architectures along the shapes between their blocks.

    Args:
        cost: Gives two numbers for a planned block, always the same for one key.
    """

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._places: dict[tuple[int, int | None, Padding], _Place] = {}
        self._remembered = 0

    def __getstate__(self) -> dict[str, object]:
        """A copy, in this process or another, has met nothing: identities do not travel."""
        return {**Chains(self._cost).__dict__}

    def sums(self, arch: Architecture) -> tuple[float, float]:
        """Both numbers, summed over stem, blocks, head and classifier."""
        place = self._place(arch.input.channels, arch.input.resolution, arch.padding)
        first = second = 0.0
        for piece in (arch.stem, *arch.blocks, *arch.head):
            found = place.met.get(id(piece))
            if found is None:
                found = self._meet(place, piece)
            one, other, place, _ = found
            first += one
            second += other
        last = (arch.num_classes, arch.dropout)
        costs = place.classifiers.get(last)
        if costs is None:
            planned = plan_classifier(arch.num_classes, place.channels, place.size, arch.dropout)
            costs = place.classifiers[last] = self._cost(planned)
        return first + costs[0], second + costs[1]

    def _place(self, channels: int, size: int | None, padding: Padding) -> _Place:
        key = (channels, size, padding)
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = _Place(channels, size, padding)
        return found

    def _meet(self, place: _Place, piece: Piece) -> tuple[float, float, _Place, Piece]:
        if self._remembered >= _MOST_REMEMBERED:
            self._places.clear()
            self._remembered = 0
        planned = _planned(place, piece)
        after = self._place(planned.out_channels, planned.out_size, place.padding)
        place.met[id(piece)] = met = (*self._cost(planned), after, piece)
        self._remembered += 1
        return met


def _planned(place: _Place, piece: Piece) -> PlannedBlock:
    if isinstance(piece, _HEADS):
        return plan_head(piece, place.channels, place.size)
    assert place.size is not None
    if isinstance(piece, Stem):
        return plan_stem(piece, place.channels, place.size, place.padding)
    return plan_block(piece, place.channels, place.size, place.padding)
