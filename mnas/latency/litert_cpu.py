"""LiteRT (TensorFlow Lite) on the CPU with XNNPACK, from the same graphs as ONNX Runtime."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import ai_edge_litert
from ai_edge_litert.interpreter import Interpreter

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
