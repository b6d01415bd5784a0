"""Files of blocks and networks with random weights, in the format that a device's runtime reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnas.arch import PlannedBlock, UnknownNameError, atomic_path
from mnas.latency import agent
from mnas.latency.reorders import PassThrough
from mnas.latency.runtime import runtime_for
from mnas.latency.target import Target

if TYPE_CHECKING:
    from onnx import ModelProto

ONNX, TFLITE = ".onnx", ".tflite"
_DTYPES = ("fp32", "int8")


def check_writable(target: Target, *, is_command: bool) -> None:
    """Refuse what no device can be asked for.

    Args:
        target: What it is asked for.
        is_command: Whether a command runs the models, which may be of any runtime.

    Raises:
        UnknownNameError: The agent cannot run that runtime, or the dtype is not known.
        MissingRuntimeError: Writing the models needs a package that is not installed.
    """
    if not is_command and target.runtime not in agent.RUNTIMES:
        raise UnknownNameError("runtime of a device's agent", target.runtime, agent.RUNTIMES)
    known = _DTYPES if target.runtime == "onnxruntime" else _DTYPES[:1]
    if target.dtype not in known:
        raise UnknownNameError(f"dtype of a job's {target.runtime} models", target.dtype, known)
    if suffix_of(target) == TFLITE:
        runtime_for(target)  # its package also writes the files


def suffix_of(target: Target) -> str:
    """Of the files that a target's runtime reads; ONNX for one that mnas does not know."""
    known = agent.RUNTIMES.get(target.runtime)
    return ONNX if known is None else known.suffix


def write_model(
    content: Sequence[PlannedBlock] | PassThrough,
    target: Target,
    path: Path,
    *,
    fixed_batch: bool,
) -> None:
    """Write a chain of blocks (or the empty model) with random weights, or a pass-through.

    Args:
        content: One block, a whole network, or none; or a pass-through, as an ONNX file.
        target: Decides format, dtype and batch.
        path: The file.
        fixed_batch: Whether an ONNX file itself says the batch: many tools cannot be told it. A
            TFLite file always says it.

    Raises:
        UnwritableFileError: The file cannot be written; says why.
    """
    from mnas.latency.onnx_graph import graph_of, pass_through_graph

    if isinstance(content, PassThrough):
        model = pass_through_graph(content)
    elif suffix_of(target) == TFLITE:
        from mnas.latency.litert_graph import tflite_of

        with atomic_path(path) as temporary:
            temporary.write_bytes(tflite_of(graph_of(content), target.batch))
        return
    else:
        from mnas.latency.ort import model_of

        model = model_of(content, target)
    if fixed_batch:
        _fix_batch(model, target.batch)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def copy_model(deployed: Path, target: Target, path: Path, *, fixed_batch: bool) -> None:
    """Copy a deployed file of a network; see `write_model`.

    Raises:
        UnwritableFileError: The file cannot be written; says why.
    """
    data = deployed.read_bytes()
    if fixed_batch and suffix_of(target) == ONNX:
        import onnx

        model = onnx.load_from_string(data)
        _fix_batch(model, target.batch)
        data = model.SerializeToString()
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _fix_batch(model: "ModelProto", batch: int) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
