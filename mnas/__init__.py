"""mnas: hardware-aware neural architecture search for the MobileNet family.

The public names load what they need when they are first used: `import mnas` starts no torch, ray,
optuna or pandas.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnas.arch import (
        Architecture,
        Counts,
        InvalidArchitectureError,
        MnasError,
        count,
    )
    from mnas.export import Manifest, export_network
    from mnas.latency import Latency, LatencyTable, Target
    from mnas.nets import build
    from mnas.results import Run
    from mnas.search import optimize, run_search
    from mnas.space import SearchSpace, Size, load_published, load_space, published

__version__ = "0.1.0"

_ROOM_OF = {
    "Architecture": "arch",
    "Counts": "arch",
    "InvalidArchitectureError": "arch",
    "Latency": "latency",
    "LatencyTable": "latency",
    "Manifest": "export",
    "MnasError": "arch",
    "Run": "results",
    "SearchSpace": "space",
    "Size": "space",
    "Target": "latency",
    "build": "nets",
    "count": "arch",
    "export_network": "export",
    "load_published": "space",
    "load_space": "space",
    "optimize": "search",
    "published": "space",
    "run_search": "search",
}
_ROOMS = ("arch", "space", "nets", "training", "latency", "results", "search", "export", "cli")

__all__ = [
    "Architecture",
    "Counts",
    "InvalidArchitectureError",
    "Latency",
    "LatencyTable",
    "Manifest",
    "MnasError",
    "Run",
    "SearchSpace",
    "Size",
    "Target",
    "build",
    "count",
    "export_network",
    "load_published",
    "load_space",
    "optimize",
    "published",
    "run_search",
]


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        return getattr(importlib.import_module(f"mnas.{_ROOM_OF[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"mnas.{name}")
    raise AttributeError(f"module 'mnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, "__version__"])
