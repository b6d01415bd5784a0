"""A network drawn as its blocks, from the plan: one row each, its silhouette beside its words."""

import json

from mnas.arch import Architecture, BlockCounts, PlannedBlock, count, plan
from mnas.arch.layers import Activate, Conv, SqueezeExcite
from mnas.results.markup import Html, element, join
from mnas.results.wording import amount

_WORDS = {
    "conv": "convolution",
    "depthwise_separable": "depthwise separable",
    "inverted_residual": "inverted residual",
    "fused_inverted_residual": "fused inverted residual",
    "universal_inverted_bottleneck": "universal inverted bottleneck",
    "head_conv": "head: 1\u00d71 convolution",
    "head_pool": "head: global average pooling",
    "head_linear": "head: fully connected",
}
_WIDTH, _HEIGHT = 240, 30


def draw_network(architecture: Architecture) -> Html:
    """Every block of a network in the order of execution, for people.

    The silhouette's width is the number of channels: in, expanded, out. Its colour is the size of
    the largest kernel.

    Args:
        architecture: What to draw.

    Returns:
        A list, one item for each planned block.
    """
    planned = plan(architecture)
    costs = count(architecture)
    widest = max(max(_widths(block)) for block in planned.blocks)
    rows = []
    size: int | None = -1
    for place, block, cost in zip(planned.places, planned.blocks, costs.blocks, strict=True):
        if block.size != size:
            rows.append(_level(block.size))
            size = block.size
        rows.append(_row(place, block, cost, widest, costs.macs))
    return join(_legend(), element("ol", *rows, class_="network"))


def _level(size: int | None) -> Html:
    words = "a vector" if size is None else f"{size} \u00d7 {size}\u00a0px"
    return element("li", words, class_="level")


def _row(place: str, block: PlannedBlock, cost: BlockCounts, widest: int, macs: int) -> Html:
    channels = (
        f"{block.in_channels} channels"
        if block.in_channels == block.out_channels
        else f"{block.in_channels} \u2192 {block.out_channels} channels"
    )
    share = f"{100 * cost.macs / macs:.1f}\u00a0% of MACs" if macs else ""
    return element(
        "li",
        _silhouette(block, widest),
        element(
            "div",
            element("b", _title(place, block)),
            element("span", *_facts(block)),
            element("small", f"{channels} \u00b7 {share} \u00b7 {amount(cost.params)} parameters"),
            class_="words",
        ),
    )


def _silhouette(block: PlannedBlock, widest: int) -> Html:
    """In, middle and out as a polygon around the middle axis, like the bottleneck it is."""
    widths = _widths(block)
    heights = [index * _HEIGHT / (len(widths) - 1) for index in range(len(widths))]
    halves = [max(1.0, width / widest * _WIDTH / 2) for width in widths]
    right = [f"{_WIDTH / 2 + half:.1f},{y:.1f}" for half, y in zip(halves, heights, strict=True)]
    left = [f"{_WIDTH / 2 - half:.1f},{y:.1f}" for half, y in zip(halves, heights, strict=True)]
    return element(
        "svg",
        element("polygon", points=" ".join([*right, *reversed(left)])),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        class_=f"shape kernel{min(_kernel(block), 7)}",
        aria_hidden="true",
    )


def _widths(block: PlannedBlock) -> list[int]:
    """Channels in, after each convolution, and out."""
    convs = [layer.out_channels for layer in block.layers if isinstance(layer, Conv)]
    ends_with_conv = bool(convs) and convs[-1] == block.out_channels
    return [block.in_channels, *convs, *(() if ends_with_conv else (block.out_channels,))]


def _kernel(block: PlannedBlock) -> int:
    return max((layer.kernel for layer in block.layers if isinstance(layer, Conv)), default=0)


def _title(place: str, block: PlannedBlock) -> str:
    op = str(json.loads(block.key)["op"])
    number = f"{place.removeprefix('blocks.')} \u00b7 " if block.kind == "block" else ""
    return f"{number}{_WORDS.get(op, op)}"


def _facts(block: PlannedBlock) -> list[Html]:
    words = []
    depthwise = [layer for layer in block.layers if isinstance(layer, Conv) and layer.kernel > 1]
    words += [f"{layer.kernel}\u00d7{layer.kernel}" for layer in depthwise]
    expanded = max(_widths(block))
    if len(block.layers) > 3 and expanded > max(block.in_channels, block.out_channels):
        words.append(f"expands {expanded / block.in_channels:.3g}\u00d7 to {expanded}")
    words += [
        f"SE {each.squeeze_channels}" for each in block.layers if isinstance(each, SqueezeExcite)
    ]
    if block.size is not None and block.out_size not in (block.size, None) and depthwise:
        words.append(f"stride {max(layer.stride for layer in depthwise)}")
    words += dict.fromkeys(each.activation for each in block.layers if isinstance(each, Activate))
    if block.residual:
        words.append("residual")
    return [element("i", word, class_="fact") for word in words]


def _legend() -> Html:
    swatches = [
        element("span", element("i", class_=f"swatch kernel{kernel}"), f" {words}")
        for kernel, words in (
            (1, "1\u00d71 or none"),
            (3, "3\u00d73"),
            (5, "5\u00d75"),
            (7, "7\u00d77 or larger"),
        )
    ]
    return element(
        "p",
        "Width is the number of channels (in, expanded, out); colour is the largest kernel: ",
        *swatches,
        class_="legend",
    )
