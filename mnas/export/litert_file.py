"""The format of LiteRT: a TFLite flatbuffer."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mnas.export.exporters import Exporter
from mnas.export.subject import Subject
from mnas.latency import deployed_graph
from mnas.latency.litert_cpu import run_litert, write_litert


def _write(subject: Subject, path: Path) -> None:
    write_litert(deployed_graph(subject.module, subject.architecture), path)


def _run(path: Path, batches: Sequence[Tensor], subject: Subject | None) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(run_litert(path, batch.numpy())) for batch in batches)


EXPORTER = Exporter(
    file="model.tflite",
    runtime="litert",
    libraries=("torch", "onnx", "ai-edge-litert"),
    is_code=True,  # nothing is promised of a hostile file
    is_self_contained=True,
    write=_write,
    run=_run,
    layout="NHWC",
)
