"""The graphs of `onnx_graph` as plain steps, for runtimes that read no ONNX.

Whatever another runtime is given is translated from the one graph that ONNX Runtime is given: the
same convolutions, with batch normalisation folded in. An activation that only follows one
convolution is told with it, because some runtimes fuse the two only when the file does.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mnas.latency.onnx_graph import INPUT, OUTPUT

Kind = Literal["conv", "linear", "activate", "pool", "flatten", "add", "multiply"]
ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu", "gelu", "sigmoid", "hard_sigmoid")
_NAMES = {
    "Relu": "relu",
    "Clip": "relu6",
    "HardSwish": "hard_swish",
    "Gelu": "gelu",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
}
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One operation on values that have names.

    Attributes:
        inputs: Names of one value, of two for `add` and `multiply` (the gate last).
        output: Name of what it gives.
        shape: Of the output, for one image and without it: (channels, height, width) or (n,).
        activation: One of `ACTIVATIONS`, applied to what it computes; empty for none.
        weight: (out, in / groups, kernel, kernel) of `conv`, (out, in) of `linear`.
        bias: (out,), or None.
        stride: Of `conv`.
        pads: Of `conv`: top, left, bottom, right.
        groups: Of `conv`.
    """

    kind: Kind
    inputs: tuple[str, ...]
    output: str
    shape: Shape
    activation: str = ""
    weight: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    bias: NDArray[np.float32] | None = None
    stride: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


def input_sides(model: onnx.ModelProto) -> Shape:
    """Shape of one image that a graph takes."""
    (entry,) = model.graph.input
    return tuple(side.dim_value for side in entry.type.tensor_type.shape.dim[1:])


def steps_of(model: onnx.ModelProto) -> list[Step]:
    """Translate a graph of `onnx_graph.graph_of`; the empty model has no steps.

    Returns:
        Steps in order; the first takes `input`, the last gives `logits`.
    """
    reader = _Reader(model)
    for node in model.graph.node:
        reader.take(node)
    steps = _fused(_silus(reader.steps))
    end = reader.named(OUTPUT)
    return [replace(step, output=OUTPUT) if step.output == end else step for step in steps]


class _Reader:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.steps: list[Step] = []
        self._tensors = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self._shapes = {INPUT: input_sides(model)}
        self._same: dict[str, str] = {}

    def named(self, value: str) -> str:
        return self._same.get(value, value)

    def take(self, node: onnx.NodeProto) -> None:
        values = tuple(self.named(name) for name in node.input if name not in self._tensors)
        if node.op_type == "Identity":
            self._same[node.output[0]] = values[0]
            return
        step = self._step(node, values)
        self._shapes[step.output] = step.shape
        self.steps.append(step)

    def _step(self, node: onnx.NodeProto, values: tuple[str, ...]) -> Step:
        (output,), shape = node.output, self._shapes[values[0]]
        parameters = [self._tensors[name] for name in node.input if name in self._tensors]
        if node.op_type in ("Conv", "Gemm"):
            weight, bias = parameters[0], parameters[1] if len(parameters) > 1 else None
            if node.op_type == "Gemm":
                shape = (len(weight),)
                return Step(
                    kind="linear", inputs=values, output=output, shape=shape, weight=weight,
                    bias=bias,
                )  # fmt: skip
            told = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            top, left, bottom, right = told.get("pads", (0, 0, 0, 0))
            stride, kernel = told.get("strides", (1, 1))[0], weight.shape[2]
            height = (shape[1] + top + bottom - kernel) // stride + 1
            width = (shape[2] + left + right - kernel) // stride + 1
            return Step(
                kind="conv", inputs=values, output=output, shape=(len(weight), height, width),
                weight=weight, bias=bias, stride=stride, pads=(top, left, bottom, right),
                groups=told.get("group", 1),
            )  # fmt: skip
        if node.op_type == "GlobalAveragePool":
            return Step(kind="pool", inputs=values, output=output, shape=(shape[0], 1, 1))
        if node.op_type == "Flatten":
            size = int(np.prod(shape))
            return Step(kind="flatten", inputs=values, output=output, shape=(size,))
        if node.op_type == "Add":
            return Step(kind="add", inputs=values, output=output, shape=shape)
        if node.op_type == "Mul":
            return Step(kind="multiply", inputs=values, output=output, shape=shape)
        return Step(
            kind="activate", inputs=values, output=output, shape=shape,
            activation=_NAMES[node.op_type],
        )  # fmt: skip


def _silus(steps: list[Step]) -> list[Step]:
    """X * sigmoid(x), which the graph writes as two nodes, as one activation."""
    gates = {step.output: step for step in steps if step.activation == "sigmoid"}
    found: list[Step] = []
    for step in steps:
        gate = gates.get(step.inputs[-1]) if step.kind == "multiply" else None
        if gate is not None and gate.inputs[0] == step.inputs[0]:
            found = [each for each in found if each.output != gate.output]
            found.append(replace(gate, output=step.output, activation="silu"))
        else:
            found.append(step)
    return found


def _fused(steps: list[Step]) -> list[Step]:
    """Tell an activation with the convolution or linear layer that it alone follows."""
    uses = Counter(name for step in steps for name in step.inputs)
    found: dict[str, Step] = {}
    for step in steps:
        before = found.get(step.inputs[0])
        if (
            step.kind == "activate"
            and before is not None
            and before.kind in ("conv", "linear")
            and not before.activation
            and uses[before.output] == 1
        ):
            del found[before.output]
            step = replace(before, output=step.output, activation=step.activation)
        found[step.output] = step
    return list(found.values())
