"""ONNX Runtime on the CPU."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from mnas.arch import MnasError, PlannedBlock
from mnas.latency import agent
from mnas.latency.onnx_graph import INPUT, graph_of, input_shape, pass_through_graph
from mnas.latency.onnx_int8 import quantized
from mnas.latency.reorders import PassThrough
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target

_QUIET = 3  # errors only: warnings about unused initialisers are no use to anybody here
_UINT8 = "tensor(uint8)"


class OnnxRuntime:
    """Runs ONNX graphs with pinned threads, sequentially, with all graph optimisations."""

    version: str = onnxruntime.__version__
    dtypes: tuple[str, ...] = ("fp32", "int8")
    file_format: str | None = "onnx"

    def pinned(self, target: Target) -> Pinned:
        return agent.pinned_onnxruntime(target.threads)

    def hold(self, target: Target) -> AbstractContextManager[None]:
        return nullcontext()  # each session has its own threads

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        session = _session(model_of(blocks, target).SerializeToString(), target)
        return _bind(session, INPUT, input_shape(blocks, target.batch))

    def prepare_pass_through(self, model: PassThrough, target: Target) -> Run:
        session = _session(pass_through_graph(model).SerializeToString(), target)
        return _bind(session, INPUT, (target.batch, model.channels, model.size, model.size))

    def prepare_file(self, path: Path, target: Target) -> Run:
        return prepare_file(path, target)


RUNTIME = OnnxRuntime()


def model_of(blocks: Sequence[PlannedBlock], target: Target) -> "onnx.ModelProto":
    """A chain of blocks with random weights in the target's dtype; none for the empty model."""
    model = graph_of(blocks)
    if target.dtype == "int8" and blocks:
        enters, leaves = blocks[0].kind == "stem", blocks[-1].kind == "classifier"
        return quantized(model, enters=enters, leaves=leaves)
    return model


def prepare_file(path: Path, target: Target) -> Run:
    """Make a deployed ONNX file ready to run on random images.

    Args:
        path: A file with one image input, of free or fitting batch size.
        target: Threads and batch.

    Raises:
        MnasError: ONNX Runtime cannot load the file, its input is not one image batch, or it
            computes with another dtype than the target's.
    """
    found = dtype_of(path)
    if found != target.dtype:
        raise MnasError(
            f"{path} computes with {found}, but {target.dtype} is asked for: a latency of one is "
            "none of the other"
        )
    try:
        session = _session(path, target)
        (entry,) = session.get_inputs()
        shape = (target.batch, *(int(side) for side in entry.shape[1:]))
        return _bind(session, entry.name, shape)
    except Exception as error:  # the runtime has no common class for its errors
        raise MnasError(f"ONNX Runtime cannot run {path}: {error}") from error


def dtype_of(path: Path) -> str:
    """What an ONNX file computes with: `int8` if it dequantises anything, else `fp32`.

    Raises:
        MnasError: The file cannot be read as ONNX.
    """
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # of the file system, or of protobuf
        raise MnasError(f"ONNX Runtime cannot run {path}: {error}") from error
    return "int8" if any(node.op_type == "DequantizeLinear" for node in graph.node) else "fp32"


def session_options(target: Target) -> "onnxruntime.SessionOptions":
    """The options every session of mnas runs with, so that timings can be compared."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = target.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _QUIET
    return options


def _session(model: bytes | Path, target: Target) -> "onnxruntime.InferenceSession":
    return onnxruntime.InferenceSession(
        model, session_options(target), providers=["CPUExecutionProvider"]
    )


def _bind(session: "onnxruntime.InferenceSession", input_name: str, shape: tuple[int, ...]) -> Run:
    """Bind input and output once: copying a block's large output is not part of a network."""
    image: NDArray[np.float32 | np.uint8]
    image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    if session.get_inputs()[0].type == _UINT8:  # a block in the middle of an int8 network
        image = np.clip(np.rint(image * 32 + 128), 0, 255).astype(np.uint8)
    binding = session.io_binding()
    binding.bind_ortvalue_input(input_name, onnxruntime.OrtValue.ortvalue_from_numpy(image))
    (output,) = session.get_outputs()
    session.run_with_iobinding(_with_output(binding, output.name))
    # From here on the runtime writes into the memory that the first run allocated.
    (first,) = binding.get_outputs()
    binding.clear_binding_outputs()
    binding.bind_ortvalue_output(output.name, first)
    return lambda: session.run_with_iobinding(binding)


def _with_output(binding: "onnxruntime.IOBinding", name: str) -> "onnxruntime.IOBinding":
    binding.bind_output(name, "cpu")
    return binding
