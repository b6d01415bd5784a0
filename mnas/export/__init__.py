"""Deployable files of a chosen network, each proven equal, and their manifest.

The names are loaded when they are first used: reading a manifest starts no torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnas.export.card import DataCard, MeasuredAccuracy, read_card
    from mnas.export.checking import Check, check_export
    from mnas.export.errors import ExportError, ExportMismatchError, InvalidManifestError
    from mnas.export.exporters import Exporter
    from mnas.export.exporting import export_network
    from mnas.export.finding import exporter_for, format_names
    from mnas.export.formats import DEFAULT_FORMATS, EXPORTERS
    from mnas.export.manifest import (
        ExportedFile,
        ExportTiming,
        InputSpec,
        Manifest,
        NetworkCounts,
        NetworkName,
        Quantization,
        Share,
        WeightsOrigin,
    )
    from mnas.export.runs import data_card_beside, export_run
    from mnas.export.source import model_source
    from mnas.export.timing import target_for

_HOMES = {
    "Check": "checking",
    "DataCard": "card",
    "DEFAULT_FORMATS": "formats",
    "EXPORTERS": "formats",
    "ExportError": "errors",
    "ExportMismatchError": "errors",
    "ExportTiming": "manifest",
    "ExportedFile": "manifest",
    "Exporter": "exporters",
    "InputSpec": "manifest",
    "InvalidManifestError": "errors",
    "Manifest": "manifest",
    "MeasuredAccuracy": "card",
    "NetworkCounts": "manifest",
    "NetworkName": "manifest",
    "Quantization": "manifest",
    "Share": "manifest",
    "WeightsOrigin": "manifest",
    "check_export": "checking",
    "data_card_beside": "runs",
    "export_network": "exporting",
    "exporter_for": "finding",
    "format_names": "finding",
    "target_for": "timing",
    "export_run": "runs",
    "model_source": "source",
    "read_card": "card",
}

__all__ = [
    "DEFAULT_FORMATS",
    "EXPORTERS",
    "Check",
    "DataCard",
    "ExportError",
    "ExportMismatchError",
    "ExportTiming",
    "ExportedFile",
    "Exporter",
    "InputSpec",
    "InvalidManifestError",
    "Manifest",
    "MeasuredAccuracy",
    "NetworkCounts",
    "NetworkName",
    "Quantization",
    "Share",
    "WeightsOrigin",
    "check_export",
    "data_card_beside",
    "export_network",
    "export_run",
    "exporter_for",
    "format_names",
    "model_source",
    "read_card",
    "target_for",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
