"""The format of ncnn: its description and weights, zipped."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mnas.export.exporters import Exporter
from mnas.export.subject import Subject
from mnas.latency import deployed_graph
from mnas.latency.ncnn_cpu import run_ncnn, write_ncnn


def _write(subject: Subject, path: Path) -> None:
    write_ncnn(deployed_graph(subject.module, subject.architecture), path)


def _run(path: Path, batches: Sequence[Tensor], subject: Subject | None) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(run_ncnn(path, batch.numpy())) for batch in batches)


EXPORTER = Exporter(
    file="model.ncnn.zip",
    runtime="ncnn",
    libraries=("torch", "onnx", "ncnn"),
    is_code=True,  # nothing is promised of a hostile file
    is_self_contained=True,
    write=_write,
    run=_run,
    layout="CHW",
)
