"""OpenVINO on the CPU, from the same ONNX graphs as ONNX Runtime."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray

from mnas.arch import PlannedBlock
from mnas.latency import agent
from mnas.latency.onnx_graph import graph_of, input_shape
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target
from mnas.latency.timing import Clock
from mnas.latency.zipped import pack, unpacked

XML, BIN = "model.xml", "model.bin"
Images = NDArray[np.float32]


class OpenVino:
    """Runs ONNX graphs in fp32: bf16, which the library prefers on some processors, is forbidden.

    A model that the library compiles to another precision is refused.
    """

    version: str = openvino.__version__
    dtypes: tuple[str, ...] = ("fp32",)
    file_format: str | None = "openvino"

    def pinned(self, target: Target) -> Pinned:
        return agent.pinned_openvino(target.threads)

    @contextlib.contextmanager
    def hold(self, target: Target) -> Iterator[Clock]:
        yield Clock(cpu=time.process_time)  # its own threads may compute

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        shape = list(input_shape(blocks, target.batch))
        return agent.prepare_openvino(graph_of(blocks).SerializeToString(), shape, target.threads)

    def prepare_file(self, path: Path, target: Target) -> Run:
        with unpacked(path, (XML, BIN)) as folder:
            xml = folder / XML
            model = openvino.Core().read_model(xml)
            sides = [side.get_length() for side in list(model.input(0).partial_shape)[1:]]
            return agent.prepare_openvino(str(xml), [target.batch, *sides], target.threads)


RUNTIME = OpenVino()


def write_openvino(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph as OpenVINO's two files, weights in fp32, zipped; the batch size is free."""
    read = openvino.Core().read_model(model.SerializeToString())
    with tempfile.TemporaryDirectory() as folder:
        openvino.save_model(read, f"{folder}/{XML}", compress_to_fp16=False)
        pack(path, {name: (Path(folder) / name).read_bytes() for name in (XML, BIN)})


def run_openvino(path: Path, images: Images) -> NDArray[np.float32]:
    """What a deployed zip computes in fp32 from (n, channels, height, width): (n, classes)."""
    with unpacked(path, (XML, BIN)) as folder:
        core = openvino.Core()
        compiled = core.compile_model(folder / XML, "CPU", agent.pinned_openvino(1))
        answer: NDArray[np.float32] = compiled(np.ascontiguousarray(images))[0].copy()
        return answer
