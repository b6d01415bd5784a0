"""ncnn on the CPU, from the same graphs as ONNX Runtime."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import ncnn
import numpy as np
import onnx

from mnas.arch import MnasError, PlannedBlock
from mnas.latency.errors import MeasuringError
from mnas.latency.ncnn_graph import ncnn_of
from mnas.latency.onnx_graph import INPUT, OUTPUT, graph_of, input_shape
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target
from mnas.latency.timing import Clock
from mnas.latency.zipped import pack, unpacked

FILES = ("model.param", "model.bin")
# fp16 and bf16, which ncnn likes better where the processor has them, are forbidden.
_OPTIONS = {
    "use_fp16_packed": False,
    "use_fp16_storage": False,
    "use_fp16_arithmetic": False,
    "use_bf16_storage": False,
    "use_bf16_packed": False,
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
            raise MeasuringError(f"ncnn runs one image at a time; got a batch of {target.batch}")
        return {"num_threads": target.threads, **_OPTIONS}

    @contextlib.contextmanager
    def hold(self, target: Target) -> Iterator[Clock]:
        yield Clock(cpu=time.process_time)  # its own threads may compute

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in _contents(graph_of(blocks)).items():
                (Path(folder) / name).write_bytes(content)
            net = load_net(Path(folder), self.pinned(target))
        return _run_of(net, input_shape(blocks, 1)[1:])

    def prepare_file(self, path: Path, target: Target) -> Run:
        with unpacked(path, FILES) as folder:
            return _run_of(load_net(folder, self.pinned(target)), _sides(folder / FILES[0]))


RUNTIME = Ncnn()


def write_ncnn(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph as ncnn's two files, weights in fp32, zipped."""
    pack(path, _contents(model))


def load_net(folder: Path, pinned: Pinned) -> "ncnn.Net":
    """Load the two files that lie in a folder, with every option set as `pinned` says.

    Raises:
        MnasError: They are no model of ncnn.
    """
    net = ncnn.Net()
    for name, value in pinned.items():
        setattr(net.opt, name, value)
    param, weights = (str(folder / name) for name in FILES)
    if net.load_param(param) or net.load_model(weights):
        raise MnasError(f"ncnn cannot load {' and '.join(FILES)}")
    return net


def _contents(model: onnx.ModelProto) -> dict[str, bytes]:
    text, weights = ncnn_of(model)
    return dict(zip(FILES, (text.encode(), weights), strict=True))


def _run_of(net: "ncnn.Net", sides: tuple[int, ...]) -> Run:
    image = np.random.default_rng(0).standard_normal(sides, dtype=np.float32)
    entered = ncnn.Mat(image).clone()

    def run() -> object:
        extractor = net.create_extractor()
        extractor.input(INPUT, entered)
        failed, answer = extractor.extract(OUTPUT)
        if failed:
            raise RuntimeError(f"ncnn ended with {failed}")
        return answer

    return run


def _sides(param: Path) -> tuple[int, ...]:
    """(channels, height, width) that the Input layer of a text states."""
    for line in param.read_text().splitlines():
        kind, *words = line.split()
        if kind == "Input":
            stated = dict(word.split("=") for word in words if "=" in word)
            return tuple(int(stated[key]) for key in ("2", "1", "0") if key in stated)
    raise MnasError(f"{param.name} names no input")
