"""LiteRT (TensorFlow Lite) on the CPU with XNNPACK, from the same graphs as ONNX Runtime."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import ai_edge_litert
import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from mnas.arch import MnasError, PlannedBlock
from mnas.latency import agent
from mnas.latency.litert_graph import tflite_of
from mnas.latency.onnx_graph import graph_of, input_shape
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target
from mnas.latency.timing import Clock


class LiteRt:
    """Runs flatbuffers in fp32 in the XNNPACK delegate.

    A model of which the delegate leaves a part to other kernels is refused.
    """

    version: str = ai_edge_litert.__version__
    dtypes: tuple[str, ...] = ("fp32",)
    file_format: str | None = "litert"

    def pinned(self, target: Target) -> Pinned:
        return agent.pinned_litert(target.threads)

    @contextlib.contextmanager
    def hold(self, target: Target) -> Iterator[Clock]:
        yield Clock(cpu=time.process_time)  # its own threads may compute

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        shape = list(input_shape(blocks, target.batch))
        model = tflite_of(graph_of(blocks), target.batch)
        return agent.prepare_litert(model, shape, target.threads)

    def prepare_file(self, path: Path, target: Target) -> Run:
        try:
            content = path.read_bytes()
            (entry,) = Interpreter(model_content=content, num_threads=1).get_input_details()
        except (OSError, ValueError) as error:
            raise MnasError(f"LiteRT cannot run {path}: {error}") from error
        shape = [target.batch, *(int(side) for side in entry["shape"][1:])]
        return agent.prepare_litert(content, shape, target.threads)


RUNTIME = LiteRt()


def write_litert(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph as a TFLite file, weights in fp32, for one image; it can be resized."""
    path.write_bytes(tflite_of(model, 1))


def run_litert(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a file computes from (n, channels, height, width): (n, classes)."""
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    (entry,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    laid = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    interpreter.resize_tensor_input(entry["index"], laid.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], laid)
    interpreter.invoke()
    answer: NDArray[np.float32] = interpreter.get_tensor(output["index"])
    return answer
