"""What was found, and which candidates win. Needs no torch, optuna or ray."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnas.results.end_to_end import EndToEnd, read_end_to_end, write_end_to_end
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
    "EndToEnd": "end_to_end",
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
    "read_end_to_end": "end_to_end",
    "rescore": "rescoring",
    "write_end_to_end": "end_to_end",
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
    "EndToEnd",
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
    "read_end_to_end",
    "rescore",
    "write_end_to_end",
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
