"""A faulty architecture document made whole, so that one fault does not hide the next.

Each field that cannot be read gets a mild value in its stead. What is wrong with the mended
network and does not hang on such a value is a fault of the document too.
"""

import functools
import operator
from collections.abc import Container, Iterable
from typing import Any

from mnas.arch.blocks import BLOCKS
from mnas.arch.errors import Fault
from mnas.arch.pieces import MOST

Path = tuple[str | int, ...]

_STEM = {"kernel": 3, "stride": 1, "out_channels": 8, "activation": "relu"}
_SHAPE = ("stride", "out_channels")
_BLOCK = {**_STEM, "op": "conv", "residual": False}  # in the stead of one that cannot be read
_SE = {"channels": 8, "activation": "relu", "gate": "sigmoid"}
_STAND_INS: dict[str, Any] = {
    **_STEM,
    "schema": "mnas.architecture/1",
    "name": "unnamed",
    "input": {"channels": 3, "resolution": MOST},
    "channels": 3,
    "resolution": MOST,
    "num_classes": 2,
    "padding": "symmetric",
    "norm": {"eps": 1e-5, "momentum": 0.1},
    "eps": 1e-5,
    "momentum": 0.1,
    "dropout": 0.0,
    "stem": _STEM,
    "blocks": [],
    "head": [{"op": "pool"}],
    "start_kernel": 3,
    "expanded_channels": 8,
    "pointwise_activation": None,
    "expand": True,
    "se": None,
    "residual": False,
    "out_features": 8,
    "bias": False,
}


def mend(document: Any, faults: Iterable[Fault]) -> set[Path]:
    """Put a mild value at each fault that the fields of a document have.

    Args:
        document: Of JSON types; it is changed.
        faults: What the door said.

    Returns:
        The stem and the blocks that may have another shape than the document now says.
    """
    unsure: set[Path] = set()
    for fault in faults:
        path = path_of(fault)
        if "se" in path:
            path = path[: path.index("se") + 2]
        try:
            if path[-1] == "op" or isinstance(path[-1], int):
                item = path[:-1] if path[-1] == "op" else path
                holder = _at(document, item[:-1])
                shape = _shape_of(holder[item[-1]])
                if len(shape) < len(_SHAPE):
                    unsure.add(item[:2])
                holder[item[-1]] = {"op": "pool"} if item[0] == "head" else {**_BLOCK, **shape}
            elif fault.problem.startswith("unknown field"):
                del _at(document, path[:-1])[path[-1]]
            elif path[0] == "head" and path[-1] == "norm":
                _at(document, path[:-1])["norm"] = True
            else:
                stand_ins = _SE if path[-2:-1] == ("se",) else _STAND_INS
                _at(document, path[:-1])[path[-1]] = stand_ins[str(path[-1])]
                if path[-1] in (*_SHAPE, "stem"):
                    unsure.add(path[:1] if path[0] == "stem" else path[:2])
        except (KeyError, IndexError, TypeError):
            continue  # the door will not take it, and then nothing more is told
    return unsure


def is_certain(found: Fault, told: Iterable[Fault], document: Any, unsure: Container[Path]) -> bool:
    """Whether a fault of the mended network is one of the document that was given.

    Args:
        found: In the mended network.
        told: What the door said.
        document: The mended one.
        unsure: What `mend` gave.
    """
    paths = [path_of(fault) for fault in told]
    path = path_of(found)
    if path in paths:
        return False
    if path[0] == "head":
        broken = any(one[0] == "head" and (len(one) < 3 or one[-1] == "op") for one in paths)
        return path[-1] not in ("head", "op") or not broken
    if path[0] != "blocks":
        return True
    index = int(path[1])
    if document["blocks"][index]["op"] not in BLOCKS:
        return False  # what its fields have to do with each other, its package alone knows
    before: Path = ("blocks", index - 1) if index else ("stem",)
    return path[-1] != "residual" or not (before in unsure or path[:2] in unsure)


def path_of(fault: Fault) -> Path:
    return tuple(int(step) if step.isdigit() else step for step in fault.place.split("."))


def _at(document: Any, path: Path) -> Any:
    return functools.reduce(operator.getitem, path, document)


def _shape_of(item: Any) -> dict[str, int]:
    """The stride and channels of a block, as far as it says them."""
    said = item if isinstance(item, dict) else {}
    return {name: said[name] for name in _SHAPE if type(said.get(name)) is int and said[name] >= 1}
