"""A network as one plain `model.py` that needs torch and nothing else.

The file is written from the plan, and its state_dict has the names that `mnas.build` gives, so that
the exported weights load. It works for images of any size.
"""

from collections.abc import Iterator, Sequence

import mnas
from mnas.arch import Architecture, Plan, PlannedBlock, count, plan
from mnas.arch.layers import Conv, Norm, Pool, SqueezeExcite
from mnas.export.card import DataCard
from mnas.export.source_blocks import (
    BlockClass,
    WrittenBlock,
    block_call,
    block_classes,
    class_text,
    written_block,
)
from mnas.export.source_text import call, layer_expression, literal, one_line, wrapped

_SAME_CONV = '''
class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding: odd pixels go below and right."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0)
            for size in x.shape[-2:]
        )
        sides = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(functional.pad(x, sides))
'''
_CONV_HEAD = """
def conv(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
"""
_CONV_BODY = {
    "symmetric": '''    """A square convolution, padded evenly so that stride 1 keeps the size."""
    padding = (kernel - 1) // 2
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride, padding, groups=groups, bias=bias
    )
''',
    "same": '''    """A square convolution with TensorFlow's padding."""
    return SameConv2d(
        in_channels, out_channels, kernel, stride, groups=groups, bias=bias
    )
''',
}
_SQUEEZE_EXCITE = '''
class SqueezeExcite(nn.Module):
    """Weighs each channel by what all of the map says (Hu et al. 2018)."""

    def __init__(
        self,
        channels: int,
        squeeze_channels: int,
        activation: type[nn.Module],
        gate: type[nn.Module],
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeeze_channels, 1)
        self.activation = activation()
        self.expand = nn.Conv2d(squeeze_channels, channels, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        weights = self.activation(self.reduce(self.pool(x)))
        return x * self.gate(self.expand(weights))
'''
_FORWARD = """
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.blocks(x)
        x = self.head(x)
        return self.classifier(x)
"""
_BUILD = '''
def build() -> Network:
    """A new network, in training mode, with PyTorch's initial weights."""
    return Network()
'''


def model_source(arch: Architecture, card: DataCard | None = None) -> str:
    """Write a network as a Python module.

    Args:
        arch: Any architecture.
        card: What is known of the data: input normalisation and class names go into the file.

    Returns:
        The text of `model.py`: imports torch alone, defines `Network` and `build()`.
    """
    planned = plan(arch)
    card = card or DataCard()
    blocks = [written_block(block) for block in planned.blocks if block.kind == "block"]
    classes = block_classes(blocks)
    sections = [
        "\n\n".join([_docstring(arch, card), _imports(arch), *_constants(card)]),
        *_helpers(arch, planned),
        *(class_text(written) for written in classes),
        _network(arch, planned, blocks, classes),
        _BUILD.strip("\n"),
    ]
    return "\n\n\n".join(sections) + "\n"


def _docstring(arch: Architecture, card: DataCard) -> str:
    counts = count(arch)
    side = arch.input.resolution
    shape = f"(n, {arch.input.channels}, {side}, {side})"
    title = one_line(arch.name) or "A network"
    lines = [
        wrapped(f'"""{title}: an image classifier of the MobileNet family.'),
        "",
        wrapped(
            f"Architecture {arch.id}, {counts.params} parameters, {counts.macs} "
            f"multiply-accumulates. Written by mnas {mnas.__version__} from the architecture; "
            "needs torch alone."
        ),
        "",
        wrapped(
            f"Input: float32 of shape {shape}, NCHW; any height and width work. "
            f"{_normalisation(card)}"
        ),
        wrapped(f"Output: logits of shape (n, {arch.num_classes})."),
        wrapped(f"Classes: {_classes(arch, card)}"),
        "",
        "Usage:",
        "    from safetensors.torch import load_file",
        "",
        "    network = build()",
        '    network.load_state_dict(load_file("weights.safetensors"))',
        "    network.eval()",
        '"""',
    ]
    return "\n".join(lines)


def _normalisation(card: DataCard) -> str:
    if card.mean is None or card.std is None:
        return "How pixels were normalised in training is not known to this file."
    return (
        "Pixels x of 0 to 255 enter as (x / 255 - mean) / std, for each channel with "
        f"mean {list(card.mean)} and std {list(card.std)}."
    )


def _classes(arch: Architecture, card: DataCard) -> str:
    if card.class_names is None:
        return f"{arch.num_classes}, without names."
    if len(card.class_names) > 20:  # a longer list is read in the constant below
        return f"{arch.num_classes}, see CLASS_NAMES."
    return (
        ", ".join(f"{index} {one_line(name)}" for index, name in enumerate(card.class_names)) + "."
    )


def _imports(arch: Architecture) -> str:
    functional = ["from torch.nn import functional"] if arch.padding == "same" else []
    return "\n".join(
        ["from collections import OrderedDict", "", "from torch import Tensor, nn", *functional]
    )


def _constants(card: DataCard) -> Iterator[str]:
    lines = []
    for name, values in (("MEAN", card.mean), ("STD", card.std)):
        if values is not None:
            lines.append(
                call("(", [repr(value) for value in values], indent=0, before=f"{name} = ")
            )
    if card.class_names is not None:
        names = [literal(name) for name in card.class_names]
        lines.append(call("(", names, indent=0, before="CLASS_NAMES = "))
    if lines:
        yield "\n".join(lines)


def _helpers(arch: Architecture, planned: Plan) -> Iterator[str]:
    layers = [layer for block in planned.blocks for layer in block.layers]
    if arch.padding == "same":
        yield _SAME_CONV.strip("\n")
    if any(isinstance(layer, Conv) for layer in layers):
        yield (_CONV_HEAD + _CONV_BODY[arch.padding]).strip("\n")
    for name, kind, vector in (
        ("norm", "BatchNorm2d", False),
        ("vector_norm", "BatchNorm1d", True),
    ):
        if any(isinstance(layer, Norm) and (layer.size is None) == vector for layer in layers):
            constants = f"eps={arch.norm.eps!r}, momentum={arch.norm.momentum!r}"
            yield (
                f"def {name}(channels: int) -> nn.{kind}:\n"
                '    """Batch normalisation with the constants of this network."""\n'
                f"    return nn.{kind}(channels, {constants})"
            )
    if any(isinstance(layer, SqueezeExcite) for layer in layers):
        yield _SQUEEZE_EXCITE.strip("\n")


def _network(
    arch: Architecture, planned: Plan, blocks: Sequence[WrittenBlock], classes: Sequence[BlockClass]
) -> str:
    pieces = {
        kind: [block for block in planned.blocks if block.kind == kind]
        for kind in ("stem", "head", "classifier")
    }
    owners = {block: written for written in classes for block in written.blocks}
    block_lines = [block_call(owners[block], block, indent=12).rstrip(",") for block in blocks]
    head_lines = [_sequential(block, indent=12) for block in pieces["head"]]
    return "\n".join(
        [
            "class Network(nn.Module):",
            f'    """{_network_summary(arch)}"""',
            "",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            _sequential(pieces["stem"][0], indent=8, before="self.stem = "),
            call("nn.Sequential", block_lines, indent=8, before="self.blocks = "),
            call("nn.Sequential", head_lines, indent=8, before="self.head = "),
            _sequential(pieces["classifier"][0], indent=8, before="self.classifier = "),
            _FORWARD.rstrip("\n"),
        ]
    )


def _network_summary(arch: Architecture) -> str:
    return f"Images to logits: stem, {len(arch.blocks)} blocks, head, classifier."


def _sequential(block: PlannedBlock, *, indent: int, before: str = "", after: str = "") -> str:
    if any(isinstance(layer, Pool) for layer in block.layers):
        return " " * indent + before + layer_expression(block.layers[0]) + after
    named = [f"{layer.name}={layer_expression(layer)}" for layer in block.layers]
    inner = call("OrderedDict", named, indent=indent + 4, after=",").removesuffix(",")
    return call("nn.Sequential", [inner], indent=indent, before=before, after=after)
