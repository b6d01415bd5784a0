"""Ask a sampler, score candidates on workers, record each, resume."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnas.search.experiment import Experiment, load_experiment
    from mnas.search.holding import driver_of
    from mnas.search.limits import BudgetError
    from mnas.search.observing import Observer, Step
    from mnas.search.optimizing import optimize
    from mnas.search.overrides import InvalidExperimentError
    from mnas.search.previewing import Preview, preview_search
    from mnas.search.proxy_checking import check_proxy
    from mnas.search.samplers import SAMPLERS
    from mnas.search.searching import inline_worker, run_search
    from mnas.search.stopping import SearchInterruptedError, StopRequest
    from mnas.search.training_runs import divided_data, train_architecture, train_run

_MODULE_OF = {
    "SAMPLERS": "samplers",
    "BudgetError": "limits",
    "Experiment": "experiment",
    "InvalidExperimentError": "overrides",
    "Observer": "observing",
    "Preview": "previewing",
    "SearchInterruptedError": "stopping",
    "Step": "observing",
    "StopRequest": "stopping",
    "check_proxy": "proxy_checking",
    "inline_worker": "searching",
    "divided_data": "training_runs",
    "driver_of": "holding",
    "load_experiment": "experiment",
    "optimize": "optimizing",
    "preview_search": "previewing",
    "run_search": "searching",
    "train_architecture": "training_runs",
    "train_run": "training_runs",
}

__all__ = [
    "SAMPLERS",
    "BudgetError",
    "Experiment",
    "InvalidExperimentError",
    "Observer",
    "Preview",
    "SearchInterruptedError",
    "Step",
    "StopRequest",
    "check_proxy",
    "divided_data",
    "driver_of",
    "inline_worker",
    "load_experiment",
    "optimize",
    "preview_search",
    "run_search",
    "train_architecture",
    "train_run",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"mnas.search.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'mnas.search' has no attribute {name!r}")
