"""The formats that need no extra: how each file is written, and run away from the module."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from mnas.arch import (
    Architecture,
    read_timm_text,
    timm_text,
    write_atomically,
)
from mnas.export.errors import ExportError
from mnas.export.exporters import Exporter
from mnas.export.images import batches_of
from mnas.export.source import model_source
from mnas.export.subject import Subject
from mnas.nets import build
from mnas.training import load_weights, save_weights

SUBPROCESS_TIMEOUT_S = 600
CALIBRATION_IMAGES = 512
CALIBRATION_METHOD = "smallest and largest value of each activation"

_RUN_SOURCE = """
import importlib.util
import sys

import torch
from safetensors.torch import load_file, save_file

source, weights, inputs, outputs = sys.argv[1:]
spec = importlib.util.spec_from_file_location("model", source)
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
network = model.build()
network.load_state_dict(load_file(weights))
network.eval()
with torch.inference_mode():
    save_file({name: network(x) for name, x in load_file(inputs).items()}, outputs)
if any(name.partition(".")[0] == "mnas" for name in sys.modules):
    sys.exit("model.py imported mnas; it must stand alone")
"""


def run_module(module: nn.Module, batches: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The logits of a module, batch by batch."""
    with torch.inference_mode():
        return tuple(module(batch) for batch in batches)


def _write_architecture(subject: Subject, path: Path) -> None:
    write_atomically(path, subject.architecture.to_json())


def _run_architecture(
    path: Path, batches: Sequence[Tensor], subject: Subject | None
) -> tuple[Tensor, ...]:
    assert subject is not None
    arch = Architecture.from_json(path.read_bytes())
    if arch.id != subject.architecture.id:
        raise ExportError(f"{path.name} holds {arch.id}, not {subject.architecture.id}")
    module = build(arch).eval()
    load_weights(module, subject.module.state_dict())
    return run_module(module, batches)


def _write_source(subject: Subject, path: Path) -> None:
    write_atomically(path, model_source(subject.architecture, subject.card))


def _run_source(
    path: Path, batches: Sequence[Tensor], subject: Subject | None
) -> tuple[Tensor, ...]:
    assert subject is not None
    with tempfile.TemporaryDirectory(prefix="mnas-proof-") as folder:
        weights, inputs, outputs = (
            Path(folder, f"{name}.safetensors") for name in ("weights", "inputs", "outputs")
        )
        save_weights(subject.module, weights)
        named = {str(index): batch.clone() for index, batch in enumerate(batches)}
        safetensors.torch.save_file(named, inputs)
        arguments = [str(each) for each in (path.resolve(), weights, inputs, outputs)]
        done = subprocess.run(  # -I: neither the working directory nor PYTHONPATH lends it a module
            [sys.executable, "-I", "-B", "-c", _RUN_SOURCE, *arguments],
            capture_output=True,
            text=True,
            timeout=SUBPROCESS_TIMEOUT_S,
            cwd=folder,
            check=False,
        )
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise ExportError(f"{path.name} does not run by itself: {last[0]}")
        found = safetensors.torch.load_file(outputs)
    return tuple(found[str(index)] for index in range(len(batches)))


def _write_weights(subject: Subject, path: Path) -> None:
    save_weights(subject.module, path)


def _run_weights(
    path: Path, batches: Sequence[Tensor], subject: Subject | None
) -> tuple[Tensor, ...]:
    assert subject is not None
    module = build(subject.architecture).eval()
    load_weights(module, path)
    return run_module(module, batches)


def _write_pt2(subject: Subject, path: Path) -> None:
    spec = subject.architecture.input
    example = torch.zeros(2, spec.channels, spec.resolution, spec.resolution)
    batch = torch.export.Dim("batch", min=1)  # traced with 2: a 1 would be taken for a constant
    program = torch.export.export(subject.module, (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


def _run_pt2(path: Path, batches: Sequence[Tensor], subject: Subject | None) -> tuple[Tensor, ...]:
    return run_module(torch.export.load(path).module(), batches)


def _write_onnx(subject: Subject, path: Path) -> None:
    from mnas.latency import write_onnx

    write_onnx(subject.module, subject.architecture, path)


def _write_onnx_int8(subject: Subject, path: Path) -> None:
    from mnas.latency import write_int8_onnx

    data = subject.data
    assert data is not None
    images = (batch.numpy() for batch in batches_of(data.train, data, CALIBRATION_IMAGES))
    write_int8_onnx(subject.module, subject.architecture, images, path)


def _run_onnx(path: Path, batches: Sequence[Tensor], subject: Subject | None) -> tuple[Tensor, ...]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return tuple(torch.from_numpy(session.run(None, {name: x.numpy()})[0]) for x in batches)


def _write_timm(subject: Subject, path: Path) -> None:
    write_atomically(path, timm_text(subject.architecture))


def _run_timm(path: Path, batches: Sequence[Tensor], subject: Subject | None) -> tuple[Tensor, ...]:
    """Read the file by timm's rules, without running it, and give that network the weights."""
    assert subject is not None
    module = build(read_timm_text(path.read_text(encoding="utf-8"))).eval()
    given, wanted = subject.module.state_dict(), module.state_dict()
    if len(given) != len(wanted):
        raise ExportError(f"{path.name} has {len(wanted)} tensors, the network {len(given)}")
    pairs = zip(wanted.items(), given.values(), strict=True)  # a 1x1 convolution is a linear layer
    module.load_state_dict({name: tensor.reshape(of.shape) for (name, of), tensor in pairs})
    return run_module(module, batches)


EXPORTERS: dict[str, Exporter] = {
    "architecture": Exporter(
        file="architecture.json",
        runtime="mnas",
        libraries=("mnas", "torch"),
        is_code=False,
        is_self_contained=False,
        write=_write_architecture,
        run=_run_architecture,
    ),
    "source": Exporter(
        file="model.py",
        runtime="python with torch, no mnas",
        libraries=("torch", "safetensors"),
        is_code=True,
        is_self_contained=False,
        write=_write_source,
        run=_run_source,
    ),
    "weights": Exporter(
        file="weights.safetensors",
        runtime="torch",
        libraries=("torch", "safetensors"),
        is_code=False,
        is_self_contained=False,
        write=_write_weights,
        run=_run_weights,
    ),
    "pt2": Exporter(
        file="model.pt2",
        runtime="torch.export",
        libraries=("torch",),
        is_code=True,
        is_self_contained=True,
        write=_write_pt2,
        run=_run_pt2,
    ),
    "onnx": Exporter(
        file="model.onnx",
        runtime="onnxruntime",
        libraries=("torch", "onnx", "onnxruntime"),
        is_code=False,
        is_self_contained=True,
        write=_write_onnx,
        run=_run_onnx,
    ),
    "onnx-int8": Exporter(
        file="model.int8.onnx",
        runtime="onnxruntime",
        libraries=("torch", "onnx", "onnxruntime"),
        is_code=False,
        is_self_contained=True,
        write=_write_onnx_int8,
        run=_run_onnx,
        is_quantized=True,
    ),
    "timm": Exporter(
        file="timm_model.py",
        runtime="timm's rules, read by mnas",
        libraries=("mnas", "torch"),
        is_code=False,
        is_self_contained=False,
        write=_write_timm,
        run=_run_timm,
    ),
}
# What every network can be written as: timm's notation says only some, int8 needs images.
DEFAULT_FORMATS = tuple(name for name in EXPORTERS if name not in ("timm", "onnx-int8"))
