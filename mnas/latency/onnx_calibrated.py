"""The deployed int8 ONNX file of a built network, its ranges calibrated on images.

ONNX Runtime's `quantize_static` puts quantised values where `onnx_int8` puts them in the blocks of
a table; a test compares what the runtime makes of both.
"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from mnas.arch import Architecture, atomic_path
from mnas.latency.onnx_file import deployed_graph
from mnas.latency.onnx_graph import INPUT

if TYPE_CHECKING:
    from torch import nn

# Else `quantize_static` asks on the console for what the graph is already: its batch normalisation
# is folded, and its shapes are known.
_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}


def write_int8_onnx(
    module: "nn.Module",
    arch: Architecture,
    images: Iterable[NDArray[np.float32]],
    path: str | os.PathLike[str],
) -> None:
    """Write a network with its weights as a static int8 ONNX file (QDQ).

    Activations are uint8, their ranges the smallest and largest values met. Weights are int8 for
    each output channel and use 7 of their bits: with 8, x86 processors without VNNI saturate where
    two products are added, and the file would answer otherwise on each kind of processor.

    Args:
        module: What `mnas.nets.build(arch)` gave, with its trained weights.
        arch: The architecture it was built from.
        images: Batches (n, channels, resolution, resolution), normalised, of the data that the
            network was trained on.
        path: The file; inputs and outputs are those of `write_onnx`, fp32.

    Raises:
        MnasError: The module is not that architecture's.
        UnwritableFileError: The file cannot be written; says why.
    """
    from onnxruntime import quantization

    model = deployed_graph(module, arch)
    helper.set_model_props(model, _PREPARED)
    with tempfile.TemporaryDirectory(prefix="mnas-int8-") as folder, atomic_path(path) as temporary:
        plain = Path(folder, "fp32.onnx")
        onnx.save(model, plain)
        quantization.quantize_static(
            plain,
            temporary,
            _Reader(images),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            per_channel=True,
            reduce_range=True,
        )


class _Reader:
    """Gives the calibration its input, batch by batch."""

    def __init__(self, images: Iterable[NDArray[np.float32]]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._images, None)
        return None if batch is None else {INPUT: batch}
