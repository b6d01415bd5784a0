"""Formats by name: mnas's own, those of an extra, those of installed packages."""

import functools
import importlib
from collections.abc import Mapping, Sequence

from mnas.arch import UnknownNameError
from mnas.arch.plug_ins import PlugIn, plug_ins
from mnas.export.errors import ExportError
from mnas.export.exporters import GROUP, Exporter, exporter_problems
from mnas.export.formats import EXPORTERS

# Modules that hold an object `EXPORTER`; an extra of mnas by the format's name installs the needed.
OPTIONAL_EXPORTERS: dict[str, str] = {
    "litert": "mnas.export.litert_file",
    "openvino": "mnas.export.openvino_file",
    "ncnn": "mnas.export.ncnn_file",
}
_NOT_YET = ("coreml", "executorch")


def exporters_of(formats: str | Sequence[str]) -> dict[str, Exporter]:
    """The exporters that were asked for, each once, in the order asked.

    Raises:
        ExportError: None was asked for, or one of a later version; or see `exporter_for`.
        UnknownNameError: A format that is not known; lists the known ones.
    """
    names = dict.fromkeys([formats] if isinstance(formats, str) else formats)
    if not names:
        raise ExportError(f"no format was asked for; known: {', '.join(format_names())}")
    later = [name for name in names if name in _NOT_YET]
    if later:
        listed = ", ".join(map(repr, later))
        raise ExportError(
            f"formats that are not in this version yet: {listed}; "
            f"known: {', '.join(format_names())}"
        )
    found = {name: exporter_for(name) for name in names}
    places: dict[str, str] = {}
    for name, exporter in found.items():
        other = places.setdefault(exporter.file, name)
        if other != name:
            raise ExportError(
                f"the formats {other!r} and {name!r} write the same file, {exporter.file}: "
                "export them into different folders"
            )
    return found


def exporter_for(name: str) -> Exporter:
    """Find the exporter of a format.

    Raises:
        UnknownNameError: The format is not known; lists the known ones.
        ExportError: Its package is not installed, which says how to; or an installed package adds
            one that is none.
    """
    if name in EXPORTERS:
        return EXPORTERS[name]
    if name not in OPTIONAL_EXPORTERS:
        return _added(name)
    try:
        exporter: Exporter = importlib.import_module(OPTIONAL_EXPORTERS[name]).EXPORTER
    except (ImportError, OSError) as error:
        raise ExportError(
            f"what the format {name} needs is not installed here ({error}): "
            f"pip install 'mnas[{name}]'"
        ) from error
    return exporter


def format_names() -> tuple[str, ...]:
    """Every format: those of mnas first, then those of installed packages."""
    return (*EXPORTERS, *OPTIONAL_EXPORTERS, *added_exporters())


def _added(name: str) -> Exporter:
    entry = added_exporters().get(name)
    if entry is None:
        raise UnknownNameError("format", name, format_names())
    exporter = entry.load()
    problems = exporter_problems(exporter)
    if problems:
        raise ExportError("\n  ".join([f"{entry.where}:", *problems]))
    found: Exporter = exporter
    return found


@functools.cache
def added_exporters() -> Mapping[str, PlugIn]:
    """What installed packages add, by name.

    Raises:
        ExportError: Two have one name, or one has that of mnas's own.
    """
    return plug_ins(
        GROUP, "format", taken={*EXPORTERS, *OPTIONAL_EXPORTERS, *_NOT_YET}, error=ExportError
    )
