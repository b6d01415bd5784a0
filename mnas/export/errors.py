"""The errors of this room; weights that do not fit are training's `WeightsError`."""

from typing import ClassVar

from mnas.arch import InvalidFileError, MnasError


class ExportError(MnasError):
    """What was asked cannot be exported; says why and what to do instead."""


class ExportMismatchError(MnasError):
    """A written file does not compute what the network computes; nothing was left of the export."""

    exit_code: ClassVar[int] = 5


class InvalidManifestError(InvalidFileError):
    """A `manifest.json` that says what no export writes."""
