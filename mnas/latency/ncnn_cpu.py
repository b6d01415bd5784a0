"""ncnn on the CPU, from the same graphs as ONNX Runtime."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import ncnn
import numpy as np

from mnas.arch import PlannedBlock
from mnas.latency.errors import MeasuringError
from mnas.latency.ncnn_graph import ncnn_of
from mnas.latency.onnx_graph import INPUT, OUTPUT, graph_of, input_shape
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target
from mnas.latency.timing import Clock

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
    file_format: str | None = None

    def pinned(self, target: Target) -> Pinned:
        if target.batch != 1:
            raise MeasuringError(f"ncnn runs one image at a time; got batch {target.batch}")
        return {"num_threads": target.threads, **_OPTIONS}

    @contextlib.contextmanager
    def hold(self, target: Target) -> Iterator[Clock]:
        yield Clock(cpu=time.process_time)  # its own threads may compute

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        net = net_of(*ncnn_of(graph_of(blocks)), self.pinned(target))
        sides = input_shape(blocks, 1)[1:]
        image = ncnn.Mat(np.random.default_rng(0).standard_normal(sides, dtype=np.float32)).clone()
        return lambda: logits_of(net, image)

    def prepare_file(self, path: Path, target: Target) -> Run:
        raise MeasuringError(f"mnas writes no ncnn files yet, so it runs none such as {path}")


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
        (Path(folder) / "model.param").write_text(param)
        (Path(folder) / "model.bin").write_bytes(weights)
        if net.load_param(f"{folder}/model.param") or net.load_model(f"{folder}/model.bin"):
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
