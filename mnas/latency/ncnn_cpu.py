"""ncnn on the CPU, from the same graphs as ONNX Runtime."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import ncnn
import numpy as np
import onnx
from numpy.typing import NDArray

from mnas.arch import MnasError, PlannedBlock
from mnas.latency.errors import MeasuringError
from mnas.latency.ncnn_graph import ncnn_of
from mnas.latency.onnx_graph import INPUT, OUTPUT, graph_of, input_shape
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target
from mnas.latency.timing import Clock
from mnas.latency.zipped import pack, unpacked

PARAM, BIN = "model.param", "model.bin"

# fp16 and bf16, which ncnn prefers where the processor has them, are forbidden.
_OPTIONS = {
    "use_fp16_packed": False,
    "use_fp16_storage": False,
    "use_fp16_arithmetic": False,
    "use_bf16_packed": False,
    "use_bf16_storage": False,
    "use_int8_inference": False,
    "use_vulkan_compute": False,
    "use_packing_layout": True,
    "use_winograd_convolution": True,
    "use_sgemm_convolution": True,
}


class Ncnn:
    """Runs networks in fp32, one image at a time; making the extractor is part of each run."""

    version: str = ncnn.__version__
    dtypes: tuple[str, ...] = ("fp32",)
    file_format: str | None = "ncnn"

    def pinned(self, target: Target) -> Pinned:
        if target.batch != 1:
            raise MeasuringError(f"ncnn runs one image at a time; got batch {target.batch}")
        return {"num_threads": target.threads, **_OPTIONS}

    @contextlib.contextmanager
    def hold(self, target: Target) -> Iterator[Clock]:
        yield Clock(cpu=time.process_time)  # its own threads may compute

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        net = net_of(*ncnn_of(graph_of(blocks)), self.pinned(target))
        return _run_of(net, input_shape(blocks, 1)[1:])

    def prepare_file(self, path: Path, target: Target) -> Run:
        param, weights = _contents(path)
        return _run_of(net_of(param, weights, self.pinned(target)), _sides(param))


RUNTIME = Ncnn()


def net_of(param: str, weights: bytes, pinned: Pinned) -> "ncnn.Net":
    """Load the contents of ncnn's two files, with every option set as `pinned` says.

    Raises:
        RuntimeError: ncnn refuses them.
    """
    net = ncnn.Net()
    for name, value in pinned.items():
        setattr(net.opt, name, value)
    with tempfile.TemporaryDirectory() as folder:  # from memory it would not copy the weights
        (Path(folder) / PARAM).write_text(param)
        (Path(folder) / BIN).write_bytes(weights)
        if net.load_param(f"{folder}/{PARAM}") or net.load_model(f"{folder}/{BIN}"):
            raise RuntimeError("ncnn cannot load the model")
    return net


def logits_of(net: "ncnn.Net", image: "ncnn.Mat") -> "ncnn.Mat":
    """Run a net once on one image (channels, height, width).

    Raises:
        RuntimeError: ncnn fails.
    """
    extractor = net.create_extractor()
    extractor.input(INPUT, image)
    failed, answer = extractor.extract(OUTPUT)
    if failed:
        raise RuntimeError(f"ncnn ended with {failed}")
    return answer


def write_ncnn(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph as ncnn's two files, weights in fp32, zipped."""
    text, weights = ncnn_of(model)
    pack(path, {PARAM: text.encode(), BIN: weights})


def run_ncnn(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a deployed zip computes from (n, channels, height, width), one by one: (n, classes)."""
    net = net_of(*_contents(path), RUNTIME.pinned(Target(runtime="ncnn")))
    return np.stack([np.array(logits_of(net, ncnn.Mat(image).clone())) for image in images])


def _contents(path: Path) -> tuple[str, bytes]:
    with unpacked(path, (PARAM, BIN)) as folder:
        text = (folder / PARAM).read_text(encoding="utf-8", errors="replace")
        return text, (folder / BIN).read_bytes()


def _run_of(net: "ncnn.Net", sides: tuple[int, ...]) -> Run:
    image = ncnn.Mat(np.random.default_rng(0).standard_normal(sides, dtype=np.float32)).clone()
    return lambda: logits_of(net, image)


def _sides(param: str) -> tuple[int, ...]:
    """(channels, height, width) that the Input layer of a text states."""
    for line in param.splitlines():
        kind, *words = line.split()
        if kind == "Input":
            stated = dict(word.split("=") for word in words if "=" in word)
            return tuple(int(stated[key]) for key in ("2", "1", "0") if key in stated)
    raise MnasError(f"{PARAM} names no input")
