"""How fast a network is on a device, from a measured table.

The names are loaded when they are first used: predicting from a table starts no torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnas.latency.addresses import Address, DeviceAddressError, parse_address
    from mnas.latency.comparing import Comparison, compare_tables, merge_tables
    from mnas.latency.compiled import CompiledLatency
    from mnas.latency.contrasts import Contrast, contrasts_of
    from mnas.latency.deployed import time_networks
    from mnas.latency.device import describe_device
    from mnas.latency.elsewhere import DeviceTimes, ask_device, time_networks_on
    from mnas.latency.errors import (
        DeviceError,
        InvalidRuntimeError,
        JobError,
        LatencyTableError,
        MeasuringError,
        MissingRuntimeError,
        TableMismatchError,
    )
    from mnas.latency.jobs import Job, plan_job, read_job
    from mnas.latency.locations import default_table_path, find_table, table_folder
    from mnas.latency.measuring import measure_table
    from mnas.latency.missing import MissingError
    from mnas.latency.onnx_calibrated import write_int8_onnx
    from mnas.latency.onnx_file import deployed_graph, write_onnx
    from mnas.latency.reachable import (
        MeasurableSpace,
        MeasurementPlan,
        plan_measurement,
        reachable_blocks,
    )
    from mnas.latency.remote import measure_on, run_job, verify_on
    from mnas.latency.risk import margin_at
    from mnas.latency.runtime import (
        RUNTIMES,
        Run,
        Runtime,
        runtime_for,
        runtime_names,
    )
    from mnas.latency.table import LatencyTable, TableRow
    from mnas.latency.target import (
        Calibration,
        Interval,
        Latency,
        Target,
        Timing,
        Verification,
        VerifiedNetwork,
    )
    from mnas.latency.timing import Clock, Settings
    from mnas.latency.verifying import time_architectures, verify_table

__all__ = [
    "RUNTIMES",
    "Address",
    "Calibration",
    "Clock",
    "Comparison",
    "CompiledLatency",
    "Contrast",
    "DeviceAddressError",
    "DeviceError",
    "DeviceTimes",
    "Interval",
    "InvalidRuntimeError",
    "Job",
    "JobError",
    "Latency",
    "LatencyTable",
    "LatencyTableError",
    "MeasurableSpace",
    "MeasurementPlan",
    "MeasuringError",
    "MissingError",
    "MissingRuntimeError",
    "Run",
    "Runtime",
    "Settings",
    "TableMismatchError",
    "TableRow",
    "Target",
    "Timing",
    "Verification",
    "VerifiedNetwork",
    "ask_device",
    "compare_tables",
    "contrasts_of",
    "default_table_path",
    "deployed_graph",
    "describe_device",
    "find_table",
    "margin_at",
    "measure_on",
    "measure_table",
    "merge_tables",
    "parse_address",
    "plan_job",
    "plan_measurement",
    "reachable_blocks",
    "read_job",
    "run_job",
    "runtime_for",
    "runtime_names",
    "table_folder",
    "time_architectures",
    "time_networks",
    "time_networks_on",
    "verify_on",
    "verify_table",
    "write_int8_onnx",
    "write_onnx",
]

_MODULES = {
    "compiled": ("CompiledLatency",),
    "contrasts": ("Contrast", "contrasts_of"),
    "addresses": ("Address", "DeviceAddressError", "parse_address"),
    "comparing": ("Comparison", "compare_tables", "merge_tables"),
    "deployed": ("time_networks",),
    "device": ("describe_device",),
    "elsewhere": ("DeviceTimes", "ask_device", "time_networks_on"),
    "errors": (
        "DeviceError",
        "InvalidRuntimeError",
        "JobError",
        "LatencyTableError",
        "MeasuringError",
        "MissingRuntimeError",
        "TableMismatchError",
    ),
    "jobs": ("Job", "plan_job", "read_job"),
    "locations": ("default_table_path", "find_table", "table_folder"),
    "measuring": ("measure_table",),
    "missing": ("MissingError",),
    "onnx_calibrated": ("write_int8_onnx",),
    "onnx_file": ("deployed_graph", "write_onnx"),
    "reachable": ("MeasurableSpace", "MeasurementPlan", "plan_measurement", "reachable_blocks"),
    "risk": ("margin_at",),
    "remote": ("measure_on", "run_job", "verify_on"),
    "runtime": ("RUNTIMES", "Run", "Runtime", "runtime_for", "runtime_names"),
    "table": ("LatencyTable", "TableRow"),
    "target": (
        "Calibration",
        "Interval",
        "Latency",
        "Target",
        "Timing",
        "Verification",
        "VerifiedNetwork",
    ),
    "timing": ("Clock", "Settings"),
    "verifying": ("time_architectures", "verify_table"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
