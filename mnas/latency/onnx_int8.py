"""An fp32 graph as static int8: a quantised value between every two nodes, weights per channel.

The same places as ONNX Runtime's `quantize_static` in its QDQ format: what the runtime has int8
kernels for it runs in int8, for the rest (such as HardSwish) it goes to fp32 and back, in a block
as in a deployed network. Scales are made up here: they change the answers and not the time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_ACTIVATION_SCALE = np.float32(0.05)
_ZERO_POINT = 128
_WEIGHTED = ("Conv", "Gemm")
_CLAMPED = ("Relu", "Clip")  # after a weighted node the quantised range itself clamps


def quantized(model: onnx.ModelProto, *, enters: bool, leaves: bool) -> onnx.ModelProto:
    """Rewrite a graph of `graph_of` to compute with int8.

    Args:
        model: An fp32 graph with one input and one output.
        enters: Whether the input is the network's own: fp32, quantised inside. Otherwise it is
            the quantised output of what stands before.
        leaves: Whether the output is the network's own, so fp32.

    Returns:
        A model of the same names; weights int8 per output channel, biases int32, activations
        uint8.
    """
    writer = _Writer(model.graph)
    entry, exit_ = model.graph.input[0], model.graph.output[0]
    writer.begin(entry.name, enters=enters)
    nodes = [node for node in model.graph.node if node.output[0] != exit_.name]
    for node, clamp in _with_clamps(nodes):
        writer.write(node, clamp)
    writer.end(model.graph.node[-1].input[0], exit_.name, leaves=leaves)
    graph = helper.make_graph(
        writer.nodes,
        model.graph.name,
        [entry if enters else _as_uint8(entry)],
        [exit_ if leaves else _as_uint8(exit_)],
        writer.tensors,
    )
    return helper.make_model(
        graph,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        producer_name=model.producer_name,
    )


def _with_clamps(
    nodes: list[onnx.NodeProto],
) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto | None]]:
    """Each node with the clamping activation right after it, where it swallows that."""
    readers = Counter(name for node in nodes for name in node.input)
    swallowed = False
    for node, after in zip(nodes, [*nodes[1:], None], strict=True):
        if swallowed:
            swallowed = False
            continue
        swallowed = (
            after is not None
            and node.op_type in _WEIGHTED
            and after.op_type in _CLAMPED
            and after.input[0] == node.output[0]
            and readers[node.output[0]] == 1
        )
        yield node, after if swallowed else None


def _as_uint8(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    found = onnx.ValueInfoProto()
    found.CopyFrom(value)
    found.type.tensor_type.elem_type = TensorProto.UINT8
    return found


class _Writer:
    """Collects the nodes and tensors of the rewritten graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self._weights: Mapping[str, NDArray[np.floating]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        # Name of each value as uint8, with the zero point of its range.
        self._quantized: dict[str, tuple[str, str]] = {}
        self._scale = self._tensor("activation_scale", _ACTIVATION_SCALE)
        self._centred = self._tensor("centred", np.uint8(_ZERO_POINT))
        self._positive = self._tensor("positive", np.uint8(0))

    def begin(self, name: str, *, enters: bool) -> None:
        if enters:
            self._quantize(name, name, self._centred)
        else:
            self._quantized[name] = name, self._centred

    def end(self, name: str, output: str, *, leaves: bool) -> None:
        quantized, zero_point = self._quantized[name]
        if leaves:
            inputs = [quantized, self._scale, zero_point]
            self.nodes.append(helper.make_node("DequantizeLinear", inputs, [output]))
        else:
            self.nodes.append(helper.make_node("Identity", [quantized], [output]))

    def write(self, node: onnx.NodeProto, clamp: onnx.NodeProto | None) -> None:
        """One node between dequantised inputs and a quantised output."""
        if node.op_type in _WEIGHTED:
            entered, weight, *bias = node.input
            inputs = [self._activation(entered), *self._parameters(weight, *bias)]
        else:
            inputs = [
                self._plain(name) if name in self._weights else self._activation(name)
                for name in node.input
            ]
        written = onnx.NodeProto()
        written.CopyFrom(node)
        del written.input[:]
        written.input.extend(inputs)
        self.nodes.append(written)
        is_positive = clamp is not None or node.op_type == "Relu"
        name = node.output[0] if clamp is None else clamp.output[0]
        self._quantize(node.output[0], name, self._positive if is_positive else self._centred)

    def _quantize(self, value: str, name: str, zero_point: str) -> None:
        quantized = f"{name}_quantized"
        inputs = [value, self._scale, zero_point]
        self.nodes.append(helper.make_node("QuantizeLinear", inputs, [quantized]))
        self._quantized[name] = quantized, zero_point

    def _activation(self, name: str) -> str:
        quantized, zero_point = self._quantized[name]
        return self._dequantize(quantized, self._scale, zero_point)

    def _parameters(self, weight: str, *bias: str) -> Iterator[str]:
        values = self._weights[weight]
        largest = np.abs(values.reshape(len(values), -1)).max(axis=1)
        scales = (np.maximum(largest, 1e-6) / 127).astype(np.float32)
        whole = np.rint(values / scales.reshape(-1, *[1] * (values.ndim - 1)))
        yield self._constant(weight, whole.astype(np.int8), scales)
        for name in bias:
            steps = scales * _ACTIVATION_SCALE
            yield self._constant(name, np.rint(self._weights[name] / steps).astype(np.int32), steps)

    def _constant(self, name: str, values: NDArray[np.integer], scales: NDArray[np.float32]) -> str:
        """A dequantised weight or bias, one scale for each output channel."""
        zeros = self._tensor(f"{name}_zero_point", np.zeros(len(scales), values.dtype))
        scale = self._tensor(f"{name}_scale", scales)
        return self._dequantize(self._tensor(f"{name}_quantized", values), scale, zeros)

    def _dequantize(self, name: str, scale: str, zero_point: str) -> str:
        """Scales of weights belong to their first axis; of activations there is one."""
        output = f"d{len(self.nodes)}"
        inputs = [name, scale, zero_point]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [output], axis=0))
        return output

    def _plain(self, name: str) -> str:
        """A bound of a Clip, which stays as it is."""
        if all(tensor.name != name for tensor in self.tensors):
            self._tensor(name, self._weights[name])
        return name

    def _tensor(self, name: str, values: NDArray[np.generic] | np.generic) -> str:
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name
