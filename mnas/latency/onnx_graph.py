"""Planned blocks written directly as ONNX, with batch normalisation folded into convolutions.

One writer serves the isolated blocks of a table, the whole networks that verify it and the
deployed file, so that what is measured and what is deployed are the same graph. An exporter takes
0.7 s for a block (dynamo) or warns on the console (TorchScript); this takes milliseconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mnas.arch import Activation, Gate, Layer, PlannedBlock
from mnas.arch.layers import (
    Activate,
    Conv,
    Dropout,
    Flatten,
    Linear,
    Norm,
    Padding,
    Pool,
    SqueezeExcite,
    halved,
)
from mnas.latency.reorders import PassThrough

INPUT, OUTPUT, BATCH = "input", "logits", "batch"
_OPSET = 20  # the first with Gelu; HardSwish came with 14
_IR_VERSION = 9  # that of the opset: older runtimes refuse newer ones

Tensor = NDArray[np.float32]


def graph_of(
    blocks: Sequence[PlannedBlock],
    *,
    places: Sequence[str] = (),
    weights: Mapping[str, Tensor] | None = None,
    norm_eps: float = 1e-5,
    name: str = "mnas",
) -> onnx.ModelProto:
    """Write a chain of planned blocks as one ONNX model.

    Args:
        blocks: Each takes what the one before gives; none for a model that computes nothing.
        places: Prefix of each block's names in `weights`; empty for names without a prefix.
        weights: State_dict of the built module; None for random weights of a sane scale, where
            only the time matters.
        norm_eps: The network's batch normalisation epsilon.
        name: Name of the graph.

    Returns:
        A model with input `input`, (batch, channels, size, size) or (batch, channels), and
        output `logits`; the batch size is free.

    Raises:
        KeyError: `weights` lacks a name that the plan has.
    """
    writer = _Writer(weights, norm_eps)
    end = INPUT
    for index, block in enumerate(blocks):
        prefix = f"{places[index]}." if places else ("" if len(blocks) == 1 else f"{index}.")
        end = writer.block(block, end, prefix)
    writer.node("Identity", [end], output=OUTPUT)
    entry: tuple[int, int | None] = (1, None)
    exit_: tuple[int, int | None] = (1, None)
    if blocks:
        entry = (blocks[0].in_channels, blocks[0].size)
        exit_ = (blocks[-1].out_channels, blocks[-1].out_size)
    return _model(name, writer, entry, exit_)


def pass_through_graph(model: PassThrough) -> onnx.ModelProto:
    """Write a model whose output is its input, by poolings of single pixels."""
    writer = _Writer(None, 0.0)
    end = INPUT
    for _ in range(model.poolings):
        end = writer.node("MaxPool", [end], kernel_shape=[1, 1])
    writer.node("Identity", [end], output=OUTPUT)
    side = (model.channels, model.size)
    return _model(model.key, writer, side, side)


def _model(
    name: str, writer: "_Writer", entry: tuple[int, int | None], exit_: tuple[int, int | None]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        writer.nodes,
        name,
        [_value(INPUT, *entry)],
        [_value(OUTPUT, *exit_)],
        writer.tensors,
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="mnas",
    )


def input_shape(blocks: Sequence[PlannedBlock], batch: int) -> tuple[int, ...]:
    """Shape of what a chain of blocks (or the empty model) takes."""
    return _shape(batch, blocks[0].in_channels, blocks[0].size) if blocks else (batch, 1)


def _shape(batch: int, channels: int, size: int | None) -> tuple[int, ...]:
    return (batch, channels) if size is None else (batch, channels, size, size)


def _value(name: str, channels: int, size: int | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, TensorProto.FLOAT, [BATCH, *_shape(1, channels, size)[1:]]
    )


class _Writer:
    """Collects the nodes and tensors of one graph."""

    def __init__(self, weights: Mapping[str, Tensor] | None, norm_eps: float) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self._weights = weights
        self._eps = norm_eps
        self._rng = np.random.default_rng(0)

    def node(self, op: str, inputs: Sequence[str], *, output: str = "", **attributes: Any) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def block(self, block: PlannedBlock, entered: str, prefix: str) -> str:
        end = entered
        layers = list(block.layers)
        for layer, after in zip(layers, [*layers[1:], None], strict=True):
            norm = after if isinstance(after, Norm) else None
            end = self._layer(layer, norm, end, prefix, block.padding)
        return self.node("Add", [end, entered]) if block.residual else end

    def _layer(
        self, layer: Layer, norm: Norm | None, entered: str, prefix: str, padding: Padding
    ) -> str:
        match layer:
            case Conv():
                shape = (
                    layer.out_channels, layer.in_channels // layer.groups,
                    layer.kernel, layer.kernel,
                )  # fmt: skip
                inputs = self._parameters(prefix + layer.name, shape, layer.bias, norm, prefix)
                return self.node(
                    "Conv",
                    [entered, *inputs],
                    kernel_shape=[layer.kernel] * 2,
                    strides=[layer.stride] * 2,
                    pads=_pads(layer, padding),
                    group=layer.groups,
                )
            case Linear():
                linear = (layer.out_channels, layer.in_channels)
                inputs = self._parameters(prefix + layer.name, linear, layer.bias, norm, prefix)
                return self.node("Gemm", [entered, *inputs], transB=1)
            case Activate():
                return self._activation(layer.activation, entered)
            case SqueezeExcite():
                return self._squeeze_excite(layer, entered, prefix)
            case Pool():
                return self.node("GlobalAveragePool", [entered])
            case Flatten():
                return self.node("Flatten", [entered], axis=1)
            case Norm() | Dropout():  # folded into the layer before; nothing when deployed
                return entered

    def _squeeze_excite(self, layer: SqueezeExcite, entered: str, prefix: str) -> str:
        wide, narrow = layer.in_channels, layer.squeeze_channels
        place = prefix + layer.name
        end = self.node("GlobalAveragePool", [entered])
        reduce = self._parameters(f"{place}.reduce", (narrow, wide, 1, 1), True, None, prefix)
        end = self.node("Conv", [end, *reduce], kernel_shape=[1, 1])
        end = self._activation(layer.activation, end)
        expand = self._parameters(f"{place}.expand", (wide, narrow, 1, 1), True, None, prefix)
        end = self.node("Conv", [end, *expand], kernel_shape=[1, 1])
        return self.node("Mul", [entered, self._gate(layer.gate, end)])

    def _activation(self, activation: Activation, entered: str) -> str:
        match activation:
            case "relu":
                return self.node("Relu", [entered])
            case "relu6":
                bounds = [self._shared("zero", 0.0), self._shared("six", 6.0)]
                return self.node("Clip", [entered, *bounds])
            case "hard_swish":
                return self.node("HardSwish", [entered])
            case "silu":
                return self.node("Mul", [entered, self.node("Sigmoid", [entered])])
            case "gelu":
                return self.node("Gelu", [entered])

    def _gate(self, gate: Gate, entered: str) -> str:
        match gate:
            case "sigmoid":
                return self.node("Sigmoid", [entered])
            case "hard_sigmoid":
                return self.node("HardSigmoid", [entered], alpha=1 / 6, beta=0.5)

    def _parameters(
        self, name: str, shape: tuple[int, ...], bias: bool, norm: Norm | None, prefix: str
    ) -> Iterator[str]:
        """Weight and bias of a layer, with the batch normalisation after it folded in."""
        weight, offset = self._values(name, shape, bias)
        if norm is not None:
            scale, shift = self._normalisation(prefix + norm.name, shape[0])
            weight = weight * scale.reshape(-1, *[1] * (len(shape) - 1))
            offset = scale * (0.0 if offset is None else offset) + shift
        yield self._tensor(f"{name}.weight", weight)
        if offset is not None:
            yield self._tensor(f"{name}.bias", offset)

    def _values(
        self, name: str, shape: tuple[int, ...], bias: bool
    ) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        if self._weights is None:
            # He's scale keeps activations far from overflow and from slow denormal numbers.
            deviation = np.float32((2 / np.prod(shape[1:])) ** 0.5)
            drawn = self._rng.standard_normal(shape, dtype=np.float32) * deviation
            return drawn, np.zeros(shape[0], np.float32) if bias else None
        weight = self._weights[f"{name}.weight"].astype(np.float64)
        return weight, self._weights[f"{name}.bias"].astype(np.float64) if bias else None

    def _normalisation(
        self, name: str, channels: int
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        if self._weights is None:
            return np.ones(channels, np.float32), np.zeros(channels, np.float32)
        gamma, beta, mean, variance = (
            self._weights[f"{name}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + self._eps)
        return scale, beta - mean * scale

    def _tensor(self, name: str, values: NDArray[np.floating]) -> str:
        array = np.ascontiguousarray(values, dtype=np.float32)
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def _shared(self, name: str, value: float) -> str:
        if all(tensor.name != name for tensor in self.tensors):
            self._tensor(name, np.array(value))
        return name


def _pads(layer: Conv, padding: Padding) -> list[int]:
    """Explicit pads (top, left, bottom, right); TensorFlow's `same` puts the odd one last."""
    if padding == "symmetric":
        return [(layer.kernel - 1) // 2] * 4
    wanted = (halved(layer.size, layer.stride) - 1) * layer.stride + layer.kernel - layer.size
    total = max(wanted, 0)
    return [total // 2] * 2 + [total - total // 2] * 2
