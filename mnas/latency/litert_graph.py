"""Networks as TFLite flatbuffers, translated from the graph that ONNX Runtime is given.

Images lie as TFLite wants them: (batch, height, width, channels). Padding that TFLite has no word
for is a `PAD` before the convolution, as its own converters write it.
"""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from mnas.arch.layers import halved
from mnas.latency.graph_steps import Shape, Step, input_sides, steps_of
from mnas.latency.onnx_graph import INPUT, OUTPUT

_VERSION = 3  # of the format
_FUSED = {"relu": 1, "relu6": 3}  # ActivationFunctionType of what an operator applies itself
_LARGEST_OLD_CODE = 127  # larger ones stand in a field that came later
_HEIGHT_AND_WIDTH = np.array([1, 2], np.int32)


def tflite_of(model: onnx.ModelProto, batch: int) -> bytes:
    """Translate a graph of `onnx_graph.graph_of`.

    Args:
        model: The graph.
        batch: Images at a time; the interpreter can resize it.

    Returns:
        A flatbuffer with input `input` (batch, height, width, channels) and output `logits`.
    """
    writer = _Writer(batch)
    sides = input_sides(model)
    writer.value(INPUT, sides)
    steps = steps_of(model)
    for step in steps:
        writer.take(step)
    if not steps:  # a call that computes nothing: the value in another shape of the same size
        writer.value(OUTPUT, sides)
        writer.reshape(INPUT, OUTPUT, _last(sides))
    return writer.flatbuffer()


def _last(sides: Shape) -> Shape:
    """(channels, height, width) with the channels last."""
    return (*sides[1:], sides[0])


class _Writer:
    """Collects the tensors and operators of one graph; values are known by name."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._tensors: list[Any] = []
        self._places: dict[str, int] = {}
        self._sides: dict[str, Shape] = {}
        self._operators: list[Any] = []
        self._codes: dict[str, int] = {}
        self._buffers = [schema.BufferT()]  # the first is empty, by the format

    def value(self, name: str, sides: Shape) -> str:
        """Declare a value that is computed; sides (channels, height, width) or (n,)."""
        self._sides[name] = sides
        return self._tensor(name, (self._batch, *_last(sides)), schema.TensorType.FLOAT32, 0)

    def constant(self, values: NDArray[Any]) -> str:
        """Store numbers; gives their name."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._buffers.append(buffer)
        is_whole = values.dtype == np.int32
        kind = schema.TensorType.INT32 if is_whole else schema.TensorType.FLOAT32
        number = len(self._buffers) - 1
        return self._tensor(f"constant_{number}", values.shape, kind, number)

    def operator(self, kind: str, inputs: Sequence[str], output: str, options: Any = None) -> None:
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(kind, len(self._codes))
        operator.inputs = [self._places[name] for name in inputs]
        operator.outputs = [self._places[output]]
        if options is not None:
            operator.builtinOptions = options
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self._operators.append(operator)

    def reshape(self, entered: str, output: str, sides: Shape) -> None:
        shape = self.constant(np.array([-1, *sides], np.int32))  # -1: any batch
        self.operator("RESHAPE", [entered, shape], output, schema.ReshapeOptionsT())

    def take(self, step: Step) -> None:
        self.value(step.output, step.shape)
        match step.kind:
            case "conv" | "linear":
                self._weighted(step)
            case "activate":
                self._activation(step.activation, step.inputs[0], step.output)
            case "pool":
                options = schema.ReducerOptionsT()
                options.keepDims = True
                axes = self.constant(_HEIGHT_AND_WIDTH)
                self.operator("MEAN", [*step.inputs, axes], step.output, options)
            case "flatten":
                # What the blocks flatten has one pixel, so that its order is the same either way.
                assert self._sides[step.inputs[0]][1:] in ((), (1, 1))
                self.reshape(step.inputs[0], step.output, step.shape)
            case "add":
                self.operator("ADD", step.inputs, step.output, schema.AddOptionsT())
            case "multiply":
                self.operator("MUL", step.inputs, step.output, schema.MulOptionsT())

    def _weighted(self, step: Step) -> None:
        fused = _FUSED.get(step.activation, 0)
        output = step.output
        if step.activation and not fused:
            output = self.value(f"{step.output}_plain", step.shape)
        bias = np.zeros(len(step.weight), np.float32) if step.bias is None else step.bias
        weight, entered = step.weight, step.inputs[0]
        options: Any
        if step.kind == "linear":
            kind, options = "FULLY_CONNECTED", schema.FullyConnectedOptionsT()
        else:
            # Of a depthwise weight the channels lie last: (1, height, width, out).
            is_depthwise = step.groups > 1 and weight.shape[1] == 1
            weight = weight.transpose((1, 2, 3, 0) if is_depthwise else (0, 2, 3, 1))
            kind = "DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D"
            options = schema.DepthwiseConv2DOptionsT() if is_depthwise else schema.Conv2DOptionsT()
            options.strideW = options.strideH = step.stride
            if is_depthwise:
                options.depthMultiplier = len(step.weight) // step.groups
            is_same = self._is_same(step)
            options.padding = schema.Padding.SAME if is_same else schema.Padding.VALID
            entered = entered if is_same else self._padded(step)
        options.fusedActivationFunction = fused
        inputs = [entered, self.constant(weight), self.constant(bias)]
        self.operator(kind, inputs, output, options)
        if output != step.output:
            self._activation(step.activation, output, step.output)

    def _is_same(self, step: Step) -> bool:
        """Whether the padding is what TFLite calls SAME, which needs no operator of its own."""
        kernel, stride = step.weight.shape[2], step.stride
        size = self._sides[step.inputs[0]][1:]
        totals = [max((halved(n, stride) - 1) * stride + kernel - n, 0) for n in size]
        before = tuple(total // 2 for total in totals)
        after = tuple(total - total // 2 for total in totals)
        return step.pads == (*before, *after)

    def _padded(self, step: Step) -> str:
        entered, (top, left, bottom, right) = step.inputs[0], step.pads
        if not any(step.pads):
            return entered
        channels, height, width = self._sides[entered]
        padded = f"{step.output}_padded"
        self.value(padded, (channels, height + top + bottom, width + left + right))
        pads = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        self.operator("PAD", [entered, self.constant(pads)], padded, schema.PadOptionsT())
        return padded

    def _activation(self, name: str, entered: str, output: str) -> None:
        match name:
            case "relu" | "relu6":
                self.operator(name.upper(), [entered], output)
            case "hard_swish":
                self.operator("HARD_SWISH", [entered], output, schema.HardSwishOptionsT())
            case "gelu":  # by the error function, as PyTorch's: `approximate` is off
                self.operator("GELU", [entered], output, schema.GeluOptionsT())
            case "sigmoid":
                self.operator("LOGISTIC", [entered], output)
            case "silu":
                gate = self.value(f"{output}_gate", self._sides[output])
                self.operator("LOGISTIC", [entered], gate)
                self.operator("MUL", [entered, gate], output, schema.MulOptionsT())
            case "hard_sigmoid":  # relu6(x + 3) / 6
                raised = self.value(f"{output}_raised", self._sides[output])
                options = schema.AddOptionsT()
                options.fusedActivationFunction = _FUSED["relu6"]
                three, sixth = (self.constant(np.array([n], np.float32)) for n in (3, 1 / 6))
                self.operator("ADD", [entered, three], raised, options)
                self.operator("MUL", [raised, sixth], output, schema.MulOptionsT())
            case _:
                raise AssertionError(name)

    def _tensor(self, name: str, shape: Sequence[int], kind: int, buffer: int) -> str:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), kind, buffer
        self._places[name] = len(self._tensors)
        self._tensors.append(tensor)
        return name

    def flatbuffer(self) -> bytes:
        """The file's bytes."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.name = self._tensors, self._operators, "main"
        graph.inputs, graph.outputs = [self._places[INPUT]], [self._places[OUTPUT]]
        model = schema.ModelT()
        model.version, model.description = _VERSION, "mnas"
        model.operatorCodes = [_code(name) for name in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        builder = flatbuffers.Builder(sum(len(b.data) for b in self._buffers[1:]) + 65536)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _code(name: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, _LARGEST_OLD_CODE)
    return code
