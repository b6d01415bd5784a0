"""OpenVINO on the CPU, from the same ONNX graphs as ONNX Runtime."""

import contextlib
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import openvino

from mnas.arch import MnasError, PlannedBlock
from mnas.latency import agent
from mnas.latency.onnx_graph import graph_of, input_shape
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target
from mnas.latency.timing import Clock

XML, BIN = "model.xml", "model.bin"


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
        with unpacked(path) as xml:
            model = openvino.Core().read_model(xml)
            sides = [side.get_length() for side in list(model.input(0).partial_shape)[1:]]
            return agent.prepare_openvino(str(xml), [target.batch, *sides], target.threads)


RUNTIME = OpenVino()


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The description (`model.xml`) of a deployed zip, with its weights beside it for a while.

    Raises:
        MnasError: The file is not such a zip.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as file:
                for name in (XML, BIN):
                    (Path(folder) / name).write_bytes(file.read(name))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise MnasError(f"{path} is no zip of {XML} and {BIN}: {error}") from error
        yield Path(folder) / XML
