"""Networks as ncnn's two files, translated from the graph that ONNX Runtime is given.

The formats are those of ncnn's wiki, "param and model file structure" and "operation param weight
table". ncnn computes one image at a time, (channels, height, width), in fp32 as written here.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from mnas.latency.graph_steps import Step, input_sides, steps_of
from mnas.latency.onnx_graph import INPUT, OUTPUT

_MAGIC = "7767517"
_FP32 = b"\0\0\0\0"  # the tag of weights that are not compressed
_SIXTH = 1 / 6
# Number and parameters of what a convolution or linear layer applies itself (keys 9 and 10).
_FUSED = {
    "relu": "9=1",
    "relu6": "9=3 -23310=2,0.0,6.0",
    "sigmoid": "9=4",
    "hard_swish": f"9=6 -23310=2,{_SIXTH!r},0.5",
}
_LAYERS = {
    "relu": "ReLU",
    "relu6": "Clip",
    "hard_swish": "HardSwish",
    "silu": "Swish",
    "gelu": "GELU",
    "sigmoid": "Sigmoid",
    "hard_sigmoid": "HardSigmoid",
}
_ARGUMENTS = {
    "relu6": "0=0.0 1=6.0",
    "hard_swish": f"0={_SIXTH!r} 1=0.5",
    "hard_sigmoid": f"0={_SIXTH!r} 1=0.5",
    "gelu": "0=0",  # by the error function, as PyTorch's
}


def ncnn_of(model: onnx.ModelProto) -> tuple[str, bytes]:
    """Translate a graph of `onnx_graph.graph_of`.

    Returns:
        The text of `.param` and the bytes of `.bin`; input `input`, output `logits`.
    """
    writer = _Writer(input_sides(model))
    steps = steps_of(model)
    for step in steps:
        writer.take(step)
    if not steps:
        writer.layer("Noop", [INPUT], OUTPUT)
    return writer.text(), b"".join(writer.weights)


class _Writer:
    """Collects layers; values that have passed a global pool are flat, which is what ncnn gives."""

    def __init__(self, sides: Sequence[int]) -> None:
        self.weights: list[bytes] = []
        self._layers: list[tuple[str, list[str], list[str], str]] = []
        self._flat = {INPUT} if len(sides) == 1 else set()
        keys = zip(range(len(sides)), reversed(sides), strict=True)  # width, height, channels
        self.layer("Input", [], INPUT, " ".join(f"{key}={side}" for key, side in keys))

    def layer(self, kind: str, inputs: Sequence[str], output: str, arguments: str = "") -> None:
        self._layers.append((kind, list(inputs), [output], arguments))

    def take(self, step: Step) -> None:
        is_flat = step.inputs[0] in self._flat
        if is_flat or step.kind in ("pool", "flatten", "linear"):
            self._flat.add(step.output)
        match step.kind:
            case "conv" | "linear":
                self._weighted(step, is_flat or step.kind == "linear")
            case "activate":
                self._activation(step.activation, step.inputs[0], step.output)
            case "pool":
                self.layer("Pooling", step.inputs, step.output, "0=1 4=1")
            case "flatten":
                self.layer("Flatten", step.inputs, step.output)
            case "add":
                self.layer("BinaryOp", step.inputs, step.output, "0=0")
            case "multiply":
                values = list(step.inputs)
                if not is_flat and values[1] in self._flat:
                    # (n,) would be spread along the width where that has n columns.
                    values[1] = f"{step.output}_gate"
                    self.layer("Reshape", [step.inputs[1]], values[1], "0=1 1=1 2=-1")
                self.layer("BinaryOp", values, step.output, "0=2")

    def _weighted(self, step: Step, is_flat: bool) -> None:
        fused = _FUSED.get(step.activation, "")
        output = step.output if fused or not step.activation else f"{step.output}_plain"
        out, size = len(step.weight), step.weight.size
        if is_flat:
            kind, told = "InnerProduct", f"0={out} 1={int(step.bias is not None)} 2={size}"
        else:
            top, left, bottom, right = step.pads
            kind = "Convolution" if step.groups == 1 else "ConvolutionDepthWise"
            told = (
                f"0={out} 1={step.weight.shape[3]} 11={step.weight.shape[2]} 3={step.stride} "
                f"4={left} 14={top} 15={right} 16={bottom} 5={int(step.bias is not None)} 6={size}"
            )
            told += f" 7={step.groups}" if step.groups > 1 else ""
        self.layer(kind, step.inputs, output, f"{told} {fused}".rstrip())
        self.weights.append(_FP32 + _bytes(step.weight))
        if step.bias is not None:
            self.weights.append(_bytes(step.bias))
        if output != step.output:
            self._activation(step.activation, output, step.output)

    def _activation(self, name: str, entered: str, output: str) -> None:
        self.layer(_LAYERS[name], [entered], output, _ARGUMENTS.get(name, ""))

    def text(self) -> str:
        """The file: what is used more than once is split, because a value has one reader."""
        layers = list(self._split())
        blobs = sum(len(outputs) for _, _, outputs, _ in layers)
        lines = [_MAGIC, f"{len(layers)} {blobs}"]
        for number, (kind, inputs, outputs, arguments) in enumerate(layers):
            counts = f"{len(inputs)} {len(outputs)}"
            lines.append(" ".join([kind, f"l{number}", counts, *inputs, *outputs, arguments]))
        return "\n".join(lines) + "\n"

    def _split(self) -> Iterator[tuple[str, list[str], list[str], str]]:
        uses = Counter(name for _, inputs, _, _ in self._layers for name in inputs)
        copies = {name: itertools.count() for name, number in uses.items() if number > 1}
        for kind, inputs, outputs, arguments in self._layers:
            renamed = [f"{n}_{next(copies[n])}" if n in copies else n for n in inputs]
            yield kind, renamed, outputs, arguments
            for name in outputs:
                if name in copies:
                    given = [f"{name}_{index}" for index in range(uses[name])]
                    yield "Split", [name], given, ""


def _bytes(values: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()
