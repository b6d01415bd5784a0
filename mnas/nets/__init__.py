"""The torch module that a plan describes, and thop as the witness of the counts.

The names are loaded when they are first used: `import mnas.nets` starts no torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnas.nets.building import Network, NetworkBlock, build, build_block
    from mnas.nets.witness import ThopCounts, thop_counts

__all__ = ["Network", "NetworkBlock", "ThopCounts", "build", "build_block", "thop_counts"]

_MODULES = {
    "Network": "mnas.nets.building",
    "NetworkBlock": "mnas.nets.building",
    "build": "mnas.nets.building",
    "build_block": "mnas.nets.building",
    "ThopCounts": "mnas.nets.witness",
    "thop_counts": "mnas.nets.witness",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
