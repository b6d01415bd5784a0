"""What was found, and which candidates win. Needs no torch, optuna or ray."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnas.results.errors import DuplicateRecordError, InvalidRecordError, RunError
    from mnas.results.fronts import hypervolume, non_dominated
    from mnas.results.record import Kind, Record
    from mnas.results.report import write_report
    from mnas.results.rescoring import Rescored, rescore
    from mnas.results.runs import Run
    from mnas.results.store import RecordStore
    from mnas.results.table_page import write_table_page
    from mnas.results.training_page import TrainingFilesError, write_training_page
    from mnas.results.verdicts import Confirmed, Dropped, Gain, Verdict
    from mnas.results.writing import write_front_csv, write_network, write_records_csv

_MODULES = {
    "Confirmed": "verdicts",
    "Dropped": "verdicts",
    "DuplicateRecordError": "errors",
    "Gain": "verdicts",
    "InvalidRecordError": "errors",
    "Kind": "record",
    "Record": "record",
    "RecordStore": "store",
    "Run": "runs",
    "RunError": "errors",
    "Rescored": "rescoring",
    "TrainingFilesError": "training_page",
    "Verdict": "verdicts",
    "hypervolume": "fronts",
    "non_dominated": "fronts",
    "rescore": "rescoring",
    "write_front_csv": "writing",
    "write_network": "writing",
    "write_records_csv": "writing",
    "write_report": "report",
    "write_table_page": "table_page",
    "write_training_page": "training_page",
}

__all__ = [
    "Confirmed",
    "Dropped",
    "DuplicateRecordError",
    "Gain",
    "InvalidRecordError",
    "Kind",
    "Record",
    "RecordStore",
    "Rescored",
    "Run",
    "RunError",
    "TrainingFilesError",
    "Verdict",
    "hypervolume",
    "non_dominated",
    "rescore",
    "write_front_csv",
    "write_network",
    "write_records_csv",
    "write_report",
    "write_table_page",
    "write_training_page",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
