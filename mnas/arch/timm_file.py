"""A network as a Python file that builds it with timm, and the reading of such a file.

The file is never run to be read: its block strings are literals, and its one call is taken apart.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any, cast

from mnas.arch.architecture import Architecture, BatchNorm, Input
from mnas.arch.blocks import (
    ConvBlock,
    DepthwiseSeparable,
    FusedInvertedResidual,
    InvertedResidual,
    UniversalInvertedBottleneck,
)
from mnas.arch.errors import InvalidArchitectureError, MnasError
from mnas.arch.heads import HeadConv, HeadItem, HeadPool
from mnas.arch.layers import Activation
from mnas.arch.pieces import SE, Block, Stem
from mnas.arch.timm_notation import LETTERS, TimmNetwork, TimmSqueeze, divisible, timm_network

_MODULES = {"EfficientNet": "efficientnet", "MobileNetV3": "mobilenetv3"}
_ACTIVATIONS = {letters: activation for activation, letters in LETTERS.items()}


class InvalidTimmTextError(MnasError):
    """A text that is not what `timm_text` writes; says what was found."""


def timm_text(arch: Architecture) -> str:
    """Write a network as a Python file that builds it with timm 1.0 or newer.

    Raises:
        NoTimmTextError: timm cannot say the network; names the first place.
    """
    network = timm_network(arch)
    side = arch.input.resolution
    name = " ".join(arch.name.split()).replace("\\", "/").replace('"', "'")
    return "\n".join(
        [
            f'"""{name} ({arch.id}) as a model of timm; written by mnas."""',
            "",
            *_imports(network),
            "",
            f"INPUT_SIZE = ({arch.input.channels}, {side}, {side})",
            "ARCH_DEF = [",
            *(line for stage in network.arch_def for line in _stage(stage)),
            "]",
            "",
            "",
            f"def build() -> {network.model}:",
            '    """The network with timm\'s initial weights."""',
            f"    return {network.model}(",
            "        decode_arch_def(ARCH_DEF),",
            *(f"        {key}={value}," for key, value in _arguments(arch, network)),
            "    )",
            "",
        ]
    )


def _imports(network: TimmNetwork) -> Iterator[str]:
    yield "from functools import partial"
    yield ""
    yield "from timm.layers import get_act_layer"
    if network.squeeze is not None:
        yield "from timm.models._efficientnet_blocks import SqueezeExcite"
    rounded = network.squeeze is not None and network.squeeze.rounded
    names = "decode_arch_def, round_channels" if rounded else "decode_arch_def"
    yield f"from timm.models._efficientnet_builder import {names}"
    yield f"from timm.models.{_MODULES[network.model]} import {network.model}"
    yield "from torch import nn"


def _stage(strings: tuple[str, ...]) -> list[str]:
    line = f"    [{', '.join(map(_quoted, strings))}],"
    if len(line) <= 88:
        return [line]
    return ["    [", *(f"        {_quoted(each)}," for each in strings), "    ],"]


def _quoted(text: str) -> str:
    return f'"{text}"'


def _act(activation: Activation) -> str:
    return f'get_act_layer("{activation}")'


def _arguments(arch: Architecture, network: TimmNetwork) -> Iterator[tuple[str, str]]:
    yield "num_classes", str(arch.num_classes)
    yield "in_chans", str(arch.input.channels)
    yield "stem_size", str(network.stem_size)
    if network.stem_kernel != 3:
        yield "stem_kernel_size", str(network.stem_kernel)
    yield "num_features", str(network.num_features)
    if network.model == "MobileNetV3":
        yield "head_bias", str(network.head == "bias")
        if network.head == "norm":
            yield "head_norm", "True"
    yield "pad_type", '"same"' if arch.padding == "same" else '""'
    yield "act_layer", _act(network.activation)
    norm = f"eps={arch.norm.eps!r}, momentum={arch.norm.momentum!r}"
    yield "norm_layer", f"partial(nn.BatchNorm2d, {norm})"
    if network.squeeze is not None:
        yield "se_layer", _squeeze_text(network.squeeze)
        if network.model == "MobileNetV3":
            yield "se_from_exp", str(network.squeeze.from_expanded)
    yield "drop_rate", repr(arch.dropout)


def _squeeze_text(squeeze: TimmSqueeze) -> str:
    parts = ["SqueezeExcite", f'gate_layer="{squeeze.gate}"']
    if squeeze.activation is not None:
        parts.append(f"force_act_layer={_act(squeeze.activation)}")
    if squeeze.rounded:
        parts.append("rd_round_fn=round_channels")
    lines = "".join(f"            {part},\n" for part in parts)
    return f"partial(\n{lines}        )"


def read_timm_text(text: str, name: str = "timm") -> Architecture:
    """Read back what `timm_text` wrote, by timm's rules; nothing is run.

    Args:
        text: Of the file.
        name: For the network.

    Returns:
        The same function of the same parameters. What timm has only one way for comes back that
        way: convolutions before the pool as blocks, a linear layer of the head as a convolution.

    Raises:
        InvalidTimmTextError: The text is not such a file.
    """
    try:
        return _network(_Told(ast.parse(text)), name)
    except InvalidArchitectureError as error:
        raise InvalidTimmTextError(f"not a network: {error}") from None
    except (SyntaxError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise InvalidTimmTextError(f"not a file that timm_text writes: {error}") from None


class _Told:
    """What such a file says: its constants, its model and the arguments of its one call."""

    def __init__(self, tree: ast.Module) -> None:
        constants = {
            target.id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.arch_def: list[list[str]] = constants["ARCH_DEF"]
        self.channels, self.side, _ = constants["INPUT_SIZE"]
        (returned,) = (node for node in ast.walk(tree) if isinstance(node, ast.Return))
        call = cast(ast.Call, returned.value)
        self.model = cast(ast.Name, call.func).id
        self.given = {str(each.arg): _value(each.value) for each in call.keywords}


def _value(node: ast.expr) -> Any:
    """A literal; the name of an activation; the keywords of a `partial`; a name."""
    match node:
        case ast.Call(func=ast.Name(id="get_act_layer"), args=[ast.Constant(value=name)]):
            return name
        case ast.Call(func=ast.Name(id="partial")):
            return {str(each.arg): _value(each.value) for each in node.keywords}
        case ast.Name():
            return node.id
    return ast.literal_eval(node)


def _network(told: _Told, name: str) -> Architecture:
    given = told.given
    blocks: list[Block] = []
    channels = given["stem_size"]
    for stage in told.arch_def:
        is_first = True
        for string in stage:
            kind, options = _options(string)
            for _ in range(int(options["r"])):
                stride = int(options["s"]) if is_first else 1
                blocks.append(_block(kind, options, stride, channels, told))
                channels, is_first = blocks[-1].out_channels, False
    return Architecture(
        name=name,
        input=Input(channels=told.channels, resolution=told.side),
        num_classes=given["num_classes"],
        padding=given["pad_type"] or "symmetric",
        norm=BatchNorm(**given["norm_layer"]),
        dropout=given["drop_rate"],
        stem=Stem(
            kernel=given.get("stem_kernel_size", 3),
            stride=2,
            out_channels=given["stem_size"],
            activation=given["act_layer"],
        ),
        blocks=tuple(blocks),
        head=tuple(_head(told)),
    )


def _head(told: _Told) -> Iterator[HeadItem]:
    """EfficientNet has its convolution before the pool, MobileNetV3 after it."""
    given, is_late = told.given, told.model == "MobileNetV3"
    has_norm = not is_late or given.get("head_norm", False)
    conv = HeadConv(
        out_channels=given["num_features"] or 1,
        norm=has_norm,
        bias=is_late and not has_norm and given["head_bias"],
        activation=given["act_layer"],
    )
    if not is_late and given["num_features"]:
        yield conv
    yield HeadPool()
    if is_late:
        yield conv


def _options(string: str) -> tuple[str, dict[str, str]]:
    kind, *parts = string.split("_")
    options: dict[str, str] = {}
    for part in parts:
        if part in ("skip", "noskip"):
            options[part] = ""
        elif part.startswith("n"):
            options["n"] = part[1:]
        else:
            found = re.fullmatch(r"([a-z]+)(\d.*)", part)
            if found is None:
                raise InvalidTimmTextError(f"{string!r}: {part!r} says nothing")
            options[found[1]] = found[2]
    return kind, options


def _block(kind: str, options: dict[str, str], stride: int, channels: int, told: _Told) -> Block:
    act = _ACTIVATIONS[options["n"]] if "n" in options else told.given["act_layer"]
    out_channels = divisible(int(options["c"]))
    fits = stride == 1 and channels == out_channels
    expansion = float(options.get("e", 1.0)) if kind in ("ir", "er", "uir") else 1.0
    expanded = divisible(channels * expansion)
    fields: dict[str, Any] = {
        "kernel": int(options["k"]),
        "stride": stride,
        "out_channels": out_channels,
        "activation": act,
        "residual": fits and "noskip" not in options,
    }
    if kind == "cn":
        return ConvBlock(**{**fields, "residual": fits and "skip" in options})
    if kind == "uir":
        start = int(options.get("a", 0))
        return UniversalInvertedBottleneck(**fields, start_kernel=start, expanded_channels=expanded)
    wide = channels if kind in ("ds", "dsa") else expanded
    se = _squeeze(options, wide, expansion, act, told)
    match kind:
        case "ds":
            return DepthwiseSeparable(**fields, pointwise_activation=None, se=se)
        case "dsa":
            plain = {**fields, "residual": False}
            return DepthwiseSeparable(**plain, pointwise_activation=act, se=se)
        case "ir":
            return InvertedResidual(**fields, expanded_channels=expanded, expand=True, se=se)
        case "er":
            return FusedInvertedResidual(**fields, expanded_channels=expanded, se=se)
    raise InvalidTimmTextError(f"mnas has no block {kind!r}")


def _squeeze(
    options: dict[str, str], wide: int, expansion: float, act: Activation, told: _Told
) -> SE | None:
    if "se" not in options:
        return None
    layer = told.given["se_layer"]
    squeeze = TimmSqueeze(
        gate=layer["gate_layer"],
        activation=layer.get("force_act_layer"),
        from_expanded=told.given.get("se_from_exp", False),
        rounded="rd_round_fn" in layer,
    )
    return SE(
        channels=squeeze.channels(wide, float(options["se"]), expansion),
        activation=squeeze.activation or act,
        gate=squeeze.gate,
    )
