"""What a kernel, squeeze-and-excite or an activation costs on a device, read off its table."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mnas.arch import planned_from_key
from mnas.arch.canonical import canonical_json
from mnas.arch.layers import ACTIVATIONS
from mnas.latency.reachable import macs_of
from mnas.latency.table import LatencyTable

_FIELDS = ("kernel", "start_kernel", "se", "activation")
_FEWEST_PAIRS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What changing one field of a block and nothing else does to its time.

    Attributes:
        field: Such as `kernel`.
        before: Its value in one block of each pair: `3`, `relu`, `no SE`.
        after: Its value in the other.
        pairs: How many pairs of measured blocks differ in this and in nothing else.
        ratio: Median of the time after over the time before.
        low: Lower quartile of that.
        high: Upper quartile of that.
        added_ms: Median of what it adds to a block, in milliseconds.
        macs_ratio: Median of the multiply-accumulates after over those before: what counting
            would have said.
    """

    field: str
    before: str
    after: str
    pairs: int
    ratio: float
    low: float
    high: float
    added_ms: float
    macs_ratio: float


def contrasts_of(table: LatencyTable) -> tuple[Contrast, ...]:
    """Compare measured blocks that differ in one field only.

    Args:
        table: Any; rows that failed are left out. Noisy ones are not, where they can be told from
            an empty call: medians over many pairs bear some noise, and their quartiles show it.

    Returns:
        One for each field and pair of values that at least three pairs of blocks have, the
        smaller kernel, no squeeze-and-excite and the cheaper activation first.
    """
    times = {row.block: row.ms for row in table.rows if row.ms and row.ms > table.empty_ms / 10}
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for field in _FIELDS:
        for alike in _alike_but_for(field, times):
            ordered = sorted(alike.items(), key=lambda pair: _rank(field, pair[0]))
            first = ordered[0]
            for value, block in ordered[1:]:
                found[field, first[0], value].append((first[1], block))
            for before, after in pairwise(ordered[1:]):
                found[field, before[0], after[0]].append((before[1], after[1]))
    return tuple(
        _contrast(names, pairs, times)
        for names, pairs in sorted(found.items(), key=_order)
        if len(pairs) >= _FEWEST_PAIRS
    )


def _alike_but_for(field: str, times: Mapping[str, float]) -> Iterator[dict[str, str]]:
    """Blocks that agree in all else: the block of each value of the field."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for block in times:
        document = json.loads(block)
        if field in document and document["op"] != "stem":
            value = document.pop(field)
            groups[canonical_json(document)].setdefault(_name(field, value), block)
    for group in groups.values():
        if len(group) > 1:
            yield group


def _contrast(
    names: tuple[str, str, str], pairs: list[tuple[str, str]], times: Mapping[str, float]
) -> Contrast:
    before = np.array([times[one] for one, _ in pairs])
    after = np.array([times[other] for _, other in pairs])
    macs = np.array([[macs_of(planned_from_key(block)) for block in pair] for pair in pairs])
    low, ratio, high = np.quantile(after / before, [0.25, 0.5, 0.75])
    field, first, second = names
    return Contrast(
        field=field,
        before=first,
        after=second,
        pairs=len(pairs),
        ratio=float(ratio),
        low=float(low),
        high=float(high),
        added_ms=float(np.median(after - before)),
        macs_ratio=float(np.median(macs[:, 1] / macs[:, 0])),
    )


def _name(field: str, value: Any) -> str:
    if field != "se":
        return str(value) if value is not None else "none"
    return "no SE" if value is None else f"SE with {value['gate'].replace('_', ' ')}"


def _rank(field: str, name: str) -> tuple[int, str]:
    if field in ("kernel", "start_kernel"):
        return int(name), ""
    if field == "activation":
        known = ("none", *ACTIVATIONS)
        return known.index(name) if name in known else len(known), name
    return int(name != "no SE"), name


def _order(found: tuple[tuple[str, str, str], list[tuple[str, str]]]) -> tuple[Any, ...]:
    field, before, after = found[0]
    return _FIELDS.index(field), _rank(field, before), _rank(field, after)
