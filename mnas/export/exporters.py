"""The seam to formats: one file of a network, how it is written, and how it is run for its proof.

A package adds a format with an entry point of the group `mnas.exporters`: the name is the format's,
the value an `Exporter`. Entry points are read when a name is not one of mnas's own.
`mnas.export.exporter_contract.ExporterContract` holds the tests that each must pass.
"""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from mnas.export.manifest import MANIFEST_FILE, is_plain_name
from mnas.export.subject import Subject

GROUP = "mnas.exporters"


class WriteFile(Protocol):
    """Writes one network as one file."""

    def __call__(self, subject: Subject, path: Path, /) -> None: ...


class RunFile(Protocol):
    """Runs one exported file in its own runtime.

    Args:
        path: The file.
        batches: Inputs, each (n, channels, height, width) float32.
        subject: Gives what the file does not hold, such as the weights of a source; None will do
            for a self-contained file.

    Returns:
        The logits (n, num_classes) of each batch.
    """

    def __call__(
        self, path: Path, batches: Sequence[Tensor], subject: Subject | None, /
    ) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """One format.

    Attributes:
        file: Name of the file in the export's folder.
        runtime: What runs the file for its proof.
        libraries: Distributions whose versions belong into the manifest.
        is_code: Whether running the file may run anything at all, because it is code or because
            its runtime is no guard against a hostile file: only a trusted folder's is run.
        is_self_contained: Whether the file alone can be run: it has the network and its weights.
        layout: How the numbers of images lie in what the file takes, such as `NCHW` or `NHWC`;
            `run` itself is given NCHW.
        is_quantized: Whether the file computes with fewer bits than the network. Then `write`
            finds images in `Subject.data`, and the file is judged by its answers on them.
    """

    file: str
    runtime: str
    libraries: tuple[str, ...]
    is_code: bool
    is_self_contained: bool
    write: WriteFile
    run: RunFile
    layout: str = "NCHW"
    is_quantized: bool = False


def exporter_problems(exporter: Any) -> list[str]:
    """What keeps an object from being an exporter."""
    if not isinstance(exporter, Exporter):
        return [f"must be a mnas.export.Exporter; got {type(exporter).__name__}"]
    problems = []
    if not is_plain_name(exporter.file) or exporter.file == MANIFEST_FILE:
        problems.append(f"`file` must be a plain file name of its own; got {exporter.file!r}")
    for name in exporter.libraries:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"`libraries` names {name!r}, which is no installed distribution")
    problems += [
        f"`{name}` must be callable"
        for name in ("write", "run")
        if not callable(getattr(exporter, name))
    ]
    return problems
