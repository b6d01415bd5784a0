"""Block classes of a written model: one for each way blocks are put together.

Sizes are the arguments. Everything is read from the planned layers and their names, so that a
block operator which mnas does not know yet is written as well.
"""

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass

from mnas.arch import PlannedBlock
from mnas.arch.layers import Activate, Conv, Norm, SqueezeExcite
from mnas.export.source_text import ACTIVATIONS, call, layer_expression

ANNOTATIONS = {"activation": "type[nn.Module]", "gate": "type[nn.Module]", "residual": "bool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenBlock:
    """One block as a call of its class.

    Attributes:
        op: The operator's name in the document.
        layers: (name, expression in terms of the arguments) in the order of execution.
        breaks: Names of the layers that begin a new statement in `forward`.
        sizes: Positional arguments of the call: channels, in the order they come up.
        options: Keyword arguments of the call, as text.
    """

    op: str
    layers: tuple[tuple[str, str], ...]
    breaks: tuple[str, ...]
    sizes: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    residual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockClass:
    """A class of the written model, and which blocks are made of it."""

    name: str
    blocks: tuple[WrittenBlock, ...]

    @property
    def has_residual(self) -> bool:
        return any(block.residual for block in self.blocks)

    @property
    def defaults(self) -> dict[str, str]:
        """Options that a call may leave out: stride 1, and modules that all blocks share."""
        defaults = {}
        for index, (name, value) in enumerate(self.blocks[0].options):
            if name.endswith("stride"):
                defaults[name] = "1"
            elif value.startswith("nn.") and len({b.options[index] for b in self.blocks}) == 1:
                defaults[name] = value
        return defaults | ({"residual": "False"} if self.has_residual else {})


def written_block(planned: PlannedBlock) -> WrittenBlock:
    """Put a block's numbers behind names: what stays is how it is put together."""
    sizes, options = {"in_channels": str(planned.in_channels)}, dict[str, str]()
    spatial = [layer for layer in planned.layers if isinstance(layer, Conv) and _is_spatial(layer)]
    last = [layer for layer in planned.layers if isinstance(layer, Conv)][-1:]
    channels, layers = "in_channels", []
    for layer in planned.layers:
        match layer:
            case Conv():
                text, channels = _conv(
                    layer,
                    channels,
                    is_last=layer in last,
                    several=len(spatial) > 1,
                    sizes=sizes,
                    options=options,
                )
            case Norm():
                text = f"norm({channels})"
            case Activate():
                text = f"{_activation(layer, options)}()"
            case SqueezeExcite():
                text = _squeeze_excite(layer, channels, options)
            case _:
                text = layer_expression(layer)
        layers.append((layer.name, text))
    return WrittenBlock(
        op=str(json.loads(planned.key)["op"]),
        layers=tuple(layers),
        breaks=tuple(
            layer.name for layer in planned.layers if isinstance(layer, Conv | SqueezeExcite)
        ),
        sizes=tuple(sizes.items()),
        options=tuple(options.items()),
        residual=planned.residual,
    )


def _is_spatial(conv: Conv) -> bool:
    return (conv.kernel, conv.stride) != (1, 1)


def _conv(
    conv: Conv,
    channels: str,
    *,
    is_last: bool,
    several: bool,
    sizes: dict[str, str],
    options: dict[str, str],
) -> tuple[str, str]:
    prefix = conv.name.removesuffix("conv")  # `expand_` of `expand_conv`
    depthwise = conv.groups == conv.in_channels == conv.out_channels and conv.groups > 1
    out = channels if depthwise else "out_channels" if is_last else f"{prefix}channels"
    sizes[out] = str(conv.out_channels) if not depthwise else sizes[out]
    arguments = [channels, out]
    if _is_spatial(conv):
        for name, value in (("kernel", conv.kernel), ("stride", conv.stride)):
            option = f"{prefix}{name}" if several else name
            options[option] = str(value)
            arguments.append(option)
    if conv.groups > 1:
        arguments.append(f"groups={channels if depthwise else conv.groups}")
    if conv.bias:
        arguments.append("bias=True")
    return f"conv({', '.join(arguments)})", out


def _activation(layer: Activate, options: dict[str, str]) -> str:
    wanted = ACTIVATIONS[layer.activation]
    if options.setdefault("activation", wanted) == wanted:
        return "activation"
    name = layer.name if layer.name not in options else f"{layer.name}_activation"
    options[name] = wanted
    return name


def _squeeze_excite(layer: SqueezeExcite, channels: str, options: dict[str, str]) -> str:
    names = [f"{layer.name}_{part}" for part in ("channels", "activation", "gate")]
    values = (str(layer.squeeze_channels), ACTIVATIONS[layer.activation], ACTIVATIONS[layer.gate])
    options.update(zip(names, values, strict=True))
    return f"SqueezeExcite({', '.join([channels, *names])})"


def block_classes(blocks: Sequence[WrittenBlock]) -> tuple[BlockClass, ...]:
    """Blocks that are put together in the same way share a class, named after the operator.

    Where one operator needs several classes, each name says which layers it has that others lack.
    """
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[WrittenBlock]] = {}
    for block in blocks:
        groups.setdefault((block.op, block.layers), []).append(block)
    names: dict[str, int] = {}
    classes = []
    for (op, layers), members in groups.items():
        rivals = [{name for name, _ in other} for other_op, other in groups if other_op == op]
        shared = set.intersection(*rivals)
        parts = dict.fromkeys(_part(name, shared) for name, _ in layers if name not in shared)
        name = _camel(op) + (f"With{''.join(_camel(part) for part in parts)}" if parts else "")
        names[name] = names.get(name, 0) + 1
        number = str(names[name]) if names[name] > 1 else ""
        classes.append(BlockClass(name=name + number, blocks=tuple(members)))
    return tuple(classes)


def _part(layer_name: str, shared: Set[str]) -> str:
    """`start` for all layers of an optional start; an optional activation keeps its whole name."""
    head = layer_name.rpartition("_")[0]
    return head if head and f"{head}_conv" not in shared else layer_name


def _camel(name: str) -> str:
    words = name.split("_") if "_" in name or name != "conv" else ["conv", "block"]
    return "".join(word.upper() if word == "se" else word.capitalize() for word in words)


def class_text(written: BlockClass) -> str:
    """The class: constructor with explicit layers, and forward."""
    first = written.blocks[0]
    defaults = written.defaults
    required = [name for name, _ in first.options if name not in defaults]
    parameters = ["self", *(f"{name}: int" for name, _ in first.sizes), "*"]
    parameters += [f"{name}: {_annotation(name)}" for name in required]
    parameters += [f"{name}: {_annotation(name)} = {value}" for name, value in defaults.items()]
    if parameters[-1] == "*":
        parameters.pop()
    lines = [
        f"class {written.name}(nn.Module):",
        f'    """{_summary(first)}"""',
        "",
        call("__init__", parameters, indent=4, before="def ", after=" -> None:"),
        "        super().__init__()",
        *(_assignment(name, text) for name, text in first.layers),
        *(["        self.residual = residual"] if written.has_residual else []),
        "",
        "    def forward(self, x: Tensor) -> Tensor:",
        *_forward(first, written.has_residual),
    ]
    return "\n".join(lines)


def block_call(written: BlockClass, block: WrittenBlock, *, indent: int) -> str:
    """The line that makes one block."""
    defaults = written.defaults
    keywords = [f"{name}={value}" for name, value in block.options if defaults.get(name) != value]
    if block.residual:
        keywords.append("residual=True")
    arguments = [*(value for _, value in block.sizes), *keywords]
    return call(written.name, arguments, indent=indent, after=",")


def _annotation(name: str) -> str:
    return ANNOTATIONS.get(name.rpartition("_")[2], "int")


def _summary(block: WrittenBlock) -> str:
    spoken = {"conv": "convolution", "se": "squeeze-and-excite"}
    parts = [spoken.get(name, name.removesuffix("_conv")) for name in block.breaks]
    text = ", ".join(parts).replace("_", " ")
    return f"{text[:1].upper()}{text[1:]}."


def _assignment(name: str, text: str) -> str:
    function, _, arguments = text.partition("(")
    return call(
        function,
        arguments[:-1].split(", ") if arguments != ")" else [],
        indent=8,
        before=f"self.{name} = ",
    )


def _forward(block: WrittenBlock, has_residual: bool) -> list[str]:
    statements: list[list[str]] = []
    for name, _ in block.layers:
        if name in block.breaks or not statements:
            statements.append([])
        statements[-1].append(name)
    lines, source = [], "x"
    for names in statements:
        for name in names:
            source = f"self.{name}({source})"
        lines.append(f"        y = {source}")
        source = "y"
    if has_residual:
        return [*lines, "        return x + y if self.residual else y"]
    return [*lines[:-1], lines[-1].replace("y =", "return", 1)]
