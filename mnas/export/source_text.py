"""Python text as a person would lay it out: calls that wrap, docstrings, safe quoting.

Lines end at 88 columns, where ruff and black break them, so that a formatter finds nothing to do.
"""

import json
import textwrap
from collections.abc import Sequence
from typing import assert_never

from mnas.arch import Activation, Gate, Layer
from mnas.arch.layers import (
    Activate,
    Conv,
    Dropout,
    Flatten,
    Linear,
    Norm,
    Pool,
    SqueezeExcite,
)

LINE_LENGTH = 88
ACTIVATIONS: dict[Activation | Gate, str] = {
    "relu": "nn.ReLU",
    "relu6": "nn.ReLU6",
    "hard_swish": "nn.Hardswish",
    "silu": "nn.SiLU",
    "gelu": "nn.GELU",
    "sigmoid": "nn.Sigmoid",
    "hard_sigmoid": "nn.Hardsigmoid",
}


def call(
    name: str, arguments: Sequence[str], *, indent: int, before: str = "", after: str = ""
) -> str:
    """One call, on one line if it fits and else with one argument on each line.

    Args:
        name: What is called; a bracket alone, as `(`, makes a tuple or a list of it.
        arguments: Each as text; one that itself spans lines makes the call span lines.
        indent: Columns before the line.
        before: Text before the name, as `self.stem = `.
        after: Text after the closing bracket, as `,`.

    Returns:
        Lines without a newline at the end, each indented.
    """
    opening, closing = (name, "") if name[-1:] in "([" else (f"{name}(", ")")
    closing = closing or {"(": ")", "[": "]"}[name[-1]]
    space = " " * indent
    comma = "," if name == "(" and len(arguments) == 1 else ""
    arguments = [argument.lstrip(" ") for argument in arguments]
    line = f"{space}{before}{opening}{', '.join(arguments)}{comma}{closing}{after}"
    if "\n" not in line and len(line) <= LINE_LENGTH:
        return line
    inner = "\n".join(f"{' ' * (indent + 4)}{argument}," for argument in arguments)
    return f"{space}{before}{opening}\n{inner}\n{space}{closing}{after}"


def layer_expression(layer: Layer, *, indent: int = 0) -> str:
    """The call that makes a layer with its numbers written out; never wrapped."""
    match layer:
        case Conv():
            arguments = [str(layer.in_channels), str(layer.out_channels)]
            for name, value, default in (
                ("kernel", layer.kernel, 1),
                ("stride", layer.stride, 1),
                ("groups", layer.groups, 1),
                ("bias", layer.bias, False),
            ):
                if value != default:
                    arguments.append(f"{name}={value}")
            return f"conv({', '.join(arguments)})"
        case Norm():
            return f"{'norm' if layer.size is not None else 'vector_norm'}({layer.in_channels})"
        case Activate():
            return f"{ACTIVATIONS[layer.activation]}()"
        case SqueezeExcite():
            activation, gate = ACTIVATIONS[layer.activation], ACTIVATIONS[layer.gate]
            channels = f"{layer.in_channels}, {layer.squeeze_channels}"
            return f"SqueezeExcite({channels}, {activation}, {gate})"
        case Pool():
            return "nn.AdaptiveAvgPool2d(1)"
        case Flatten():
            return "nn.Flatten()"
        case Linear():
            bias = "" if layer.bias else ", bias=False"
            return f"nn.Linear({layer.in_channels}, {layer.out_channels}{bias})"
        case Dropout():
            return f"nn.Dropout({layer.rate!r})"
        case _:
            assert_never(layer)


def one_line(text: str) -> str:
    """Somebody's text as it may stand in a docstring: it can neither end it nor hide in it."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown.replace("\\", "/").replace('"', "'").strip()


def literal(text: str) -> str:
    """Somebody's text as a Python string literal in double quotes."""
    return json.dumps(text)


def wrapped(text: str, *, indent: int = 0, hanging: int = 0) -> str:
    """A paragraph of a docstring, broken between words."""
    return textwrap.fill(
        text,
        LINE_LENGTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
