"""The format of OpenVINO: its description and weights, zipped."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mnas.export.exporters import Exporter
from mnas.export.subject import Subject
from mnas.latency import deployed_graph
from mnas.latency.openvino_cpu import run_openvino, write_openvino


def _write(subject: Subject, path: Path) -> None:
    write_openvino(deployed_graph(subject.module, subject.architecture), path)


def _run(path: Path, batches: Sequence[Tensor], subject: Subject | None) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(run_openvino(path, batch.numpy())) for batch in batches)


EXPORTER = Exporter(
    file="model.openvino.zip",
    runtime="openvino",
    libraries=("torch", "onnx", "openvino"),
    is_code=True,  # nothing is promised of a hostile file
    is_self_contained=True,
    write=_write,
    run=_run,
)
