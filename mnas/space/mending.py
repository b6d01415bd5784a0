"""A faulty document made whole, so that one fault does not hide the next.

Each faulty value gets a mild one in its stead. What is found in the mended document and does not
hang on such a value is a fault of the file too.
"""

import copy
import functools
import operator
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from mnas.space.checking import TWICE, Found, check
from mnas.space.layers import UNSAID
from mnas.space.yaml_document import Place

_STAGE = {"op": UNSAID, "out_channels": 8}
_STEM = {"kernel": 3, "stride": 1, "out_channels": 8, "activation": "relu"}
_STAND_INS: dict[str, Any] = {
    **_STEM,
    "schema": "mnas.space/1",
    "name": "unnamed",
    "source": "",
    "published_size": "",
    "input": {"channels": 1, "resolution": 8192},
    "channels": 1,
    "resolution": 8192,
    "width": 1.0,
    "rounding": {"divisor": 8},
    "divisor": 8,
    "keep": 0.9,
    "num_classes": 10,
    "padding": "symmetric",
    "norm": {},
    "eps": 1e-5,
    "momentum": 0.1,
    "dropout": 0.0,
    "stem": _STEM,
    "stages": _STAGE,
    "head": {"op": "pool"},
    "op": UNSAID,
    "layer": {"op": UNSAID},
    "first": {"op": UNSAID},
    "start_kernel": 3,
    "expansion": 2,
    "expanded_channels": 8,
    "se": None,
    "pointwise_activation": None,
    "expand": False,
    "residual": False,
    "depth": 1,
    "scale": True,
    "out_features": 8,
    "bias": False,
}


class Doubts(NamedTuple):
    """What a mended document leaves open.

    Attributes:
        channels: Places of stages, or `("stem",)`, that may give other channels than it says.
        everywhere: Whether all of them may.
        head: Whether its head is not the one that is meant.
    """

    channels: frozenset[Place]
    everywhere: bool
    head: bool

    def about(self, place: Place) -> bool:
        """Whether the channels that leave a stage or the stem are in doubt."""
        return self.everywhere or place in self.channels


def mend(document: Any, found: Iterable[Found]) -> tuple[Any, Doubts] | None:
    """The document without the faults that the grammar found in it.

    Returns:
        The document and what is in doubt; None where nothing more can be said of it.
    """
    mended, places = copy.deepcopy(document), set[Place]()
    found = list(found)
    for place, problem, is_key in found:
        if problem.endswith(TWICE):
            continue
        target = _target(place)
        if target is None:
            return None
        if is_key and place[-1] != "each" and target == place:
            _rename(mended, target, problem)
        elif not _replace(mended, target):
            return None
        places.add(target)
    for _, problem, _ in check(mended):
        if not problem.endswith(TWICE) and f"got {UNSAID!r}" not in problem:
            return None
    return mended, _doubts(places)


def _target(place: Place) -> Place | None:
    """Which value to replace: the option or field of a fault; a squeeze-and-excite as a whole."""
    if "se" in place:
        at = place.index("se")
        place = place[: at + 3] if place[at + 1 : at + 2] == ("each",) else place[: at + 2]
        if not isinstance(place[-1], int):
            place = place[: at + 1]
    if place[:1] == ("network",) and len(place) < 3:
        return None
    last = max((i for i, step in enumerate(place) if _is_key(step)), default=-1)
    if last < 0 or place[last] == "defaults" or place[last - 1 : last + 1] == ("defaults", "first"):
        return None
    has_option = any(isinstance(step, int) for step in place[last + 1 :])
    place = place if has_option else place[: last + 1]
    return place[:-1] if "head" in place and place[-1] == "op" else place


def _is_key(step: str | int) -> bool:
    return isinstance(step, str) and step != "each"


def _replace(document: Any, place: Place) -> bool:
    """Put a mild value in a place; False where there is none."""
    key = next(str(step) for step in reversed(place) if _is_key(step))
    try:
        holder = functools.reduce(operator.getitem, place[:-1], document)
        holder[place[-1]] = _stand_in(key, place)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _rename(document: Any, place: Place, problem: str) -> None:
    """Take an unknown field away, and put the one that it may mean where it is missing."""
    holder = functools.reduce(operator.getitem, place[:-1], document)
    holder.pop(place[-1], None)
    meant = re.search(r"did you mean '(\w+)'", problem)
    if meant is not None and meant[1] in _STAND_INS and meant[1] not in holder:
        holder[meant[1]] = _stand_in(meant[1], (*place[:-1], meant[1]))


def _stand_in(key: str, place: Place) -> Any:
    value = copy.deepcopy(_STAND_INS[key])
    if key == "norm" and "head" in place:
        return True
    return [value] if key in ("stages", "head") and place[-1] == key else value


def _doubts(places: set[Place]) -> Doubts:
    channels, everywhere, head = set[Place](), False, False
    for place in places:
        key = next(str(step) for step in reversed(place) if _is_key(step))
        head = head or key == "head"
        if key in ("width", "rounding", "divisor", "keep"):
            everywhere = True
        elif key in ("out_channels", "scale", "depth", "stages", "stem"):
            if "stages" in place[:-1]:
                channels.add(place[: place.index("stages") + 2])
            elif "stem" in place:
                channels.add(("stem",))
            else:
                everywhere = everywhere or "head" not in place
    return Doubts(channels=frozenset(channels), everywhere=everywhere, head=head)
