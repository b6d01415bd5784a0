"""The skeleton of a search space in the terminal: a line for each part, narrower as maps shrink."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from mnas.cli.tables import table_of

if TYPE_CHECKING:
    from mnas.space import SkeletonPart

_BAR = 24  # characters of the widest map


def skeleton_lines(parts: "Sequence[SkeletonPart]", resolution: int) -> Iterator[str]:
    """The drawing of every network option.

    Args:
        parts: As `SearchSpace.skeleton` gives them.
        resolution: The greatest of the space, in pixels: the widest bar.
    """
    for network, own in groupby(parts, key=lambda part: part.network):
        yield "skeleton" if network is None else f"skeleton of network {network!r}"
        rows = [
            (
                _bar(part.size, resolution),
                part.place,
                _side(part.size),
                _channels(part),
                _what(part),
            )
            for part in own
        ]
        yield from table_of(("", "part", "pixels", "channels", "layers"), rows)


def _bar(size: int | None, resolution: int) -> str:
    share = math.log2((size or 1) + 1) / math.log2(resolution + 1)
    return ("#" * max(1, round(_BAR * share))).center(_BAR)


def _side(size: int | None) -> str:
    return "-" if size is None else str(size)


def _channels(part: "SkeletonPart") -> str:
    return " ".join(map(str, part.out_channels)) or "-"


def _what(part: "SkeletonPart") -> str:
    if not part.ops:
        return ""
    least, most = part.layers
    words = [" or ".join(part.ops)]
    if (least, most) != (1, 1):
        words[0] = f"{least if least == most else f'{least} to {most}'} x {words[0]}"
    if part.strides != (1,):
        words.append(f"stride {' '.join(map(str, part.strides))}")
    words += [f"{name} {' '.join(map(str, options))}" for name, options in part.options]
    return ", ".join(words)
