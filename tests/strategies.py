"""All Hypothesis strategies of the tests: architectures, and small search spaces as documents."""

from typing import Any

from hypothesis import strategies as st

from mnas.arch import (
    SE,
    Architecture,
    BatchNorm,
    Block,
    ConvBlock,
    DepthwiseSeparable,
    FusedInvertedResidual,
    HeadConv,
    HeadItem,
    HeadLinear,
    HeadPool,
    Input,
    InvertedResidual,
    Stem,
    UniversalInvertedBottleneck,
)

ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu", "gelu")
activations = st.sampled_from(ACTIVATIONS)
channels = st.integers(1, 3).map(lambda n: 8 * n)


@st.composite
def _se(draw: st.DrawFn) -> SE | None:
    if draw(st.booleans()):
        return None
    return SE(
        channels=draw(st.sampled_from((2, 4, 8))),
        activation=draw(activations),
        gate=draw(st.sampled_from(("sigmoid", "hard_sigmoid"))),
    )


@st.composite
def blocks(draw: st.DrawFn, in_channels: int, size: int) -> Block:
    """A block that may stand where (in_channels, size, size) comes in."""
    out_channels = draw(st.one_of(st.just(in_channels), channels))
    stride = 1 if size == 1 else draw(st.sampled_from((1, 1, 2)))
    residual = stride == 1 and out_channels == in_channels and draw(st.booleans())
    kernel = draw(st.sampled_from((3, 5)))
    activation = draw(activations)
    expanded = in_channels * draw(st.integers(1, 3))
    match draw(st.sampled_from(("conv", "separable", "inverted", "fused", "universal"))):
        case "conv":
            return ConvBlock(
                kernel=draw(st.sampled_from((1, 3))),
                stride=stride,
                out_channels=out_channels,
                activation=draw(st.one_of(st.none(), activations)),
                residual=residual,
            )
        case "separable":
            return DepthwiseSeparable(
                kernel=kernel,
                stride=stride,
                out_channels=out_channels,
                activation=activation,
                pointwise_activation=draw(st.one_of(st.none(), activations)),
                se=draw(_se()),
                residual=residual,
            )
        case "inverted":
            return InvertedResidual(
                kernel=kernel,
                stride=stride,
                expanded_channels=expanded,
                out_channels=out_channels,
                activation=activation,
                expand=True,
                se=draw(_se()),
                residual=residual,
            )
        case "fused":
            return FusedInvertedResidual(
                kernel=kernel,
                stride=stride,
                expanded_channels=expanded,
                out_channels=out_channels,
                activation=activation,
                se=draw(_se()),
                residual=residual,
            )
    middle = draw(st.sampled_from((0, 3, 5)))
    start = draw(st.sampled_from((0, 3, 5) if middle or stride == 1 else (3, 5)))
    return UniversalInvertedBottleneck(
        start_kernel=start,
        kernel=middle,
        stride=stride,
        expanded_channels=expanded,
        out_channels=out_channels,
        activation=activation,
        residual=residual,
    )


@st.composite
def _heads(draw: st.DrawFn) -> tuple[HeadItem, ...]:
    conv = HeadConv(
        out_channels=draw(channels),
        norm=draw(st.booleans()),
        bias=draw(st.booleans()),
        activation=draw(st.one_of(st.none(), activations)),
    )
    linear = HeadLinear(
        out_features=draw(channels),
        norm=draw(st.booleans()),
        bias=draw(st.booleans()),
        activation=draw(st.one_of(st.none(), activations)),
    )
    pool = HeadPool()
    heads: tuple[tuple[HeadItem, ...], ...] = (
        (pool,),
        (conv, pool),
        (pool, conv),
        (pool, linear),
        (conv, pool, linear),
    )
    return draw(st.sampled_from(heads))


@st.composite
def architectures(draw: st.DrawFn, max_blocks: int = 5, max_resolution: int = 40) -> Architecture:
    """Small networks of every operator, also with odd resolutions; cheap to build and run."""
    resolution = draw(st.integers(4, max_resolution))
    in_channels = draw(st.sampled_from((1, 3)))
    stem = Stem(
        kernel=draw(st.sampled_from((1, 3, 5))),
        stride=draw(st.sampled_from((1, 2))),
        out_channels=draw(channels),
        activation=draw(activations),
    )
    size = -(-resolution // stem.stride)
    chain: list[Block] = []
    now = stem.out_channels
    for _ in range(draw(st.integers(0, max_blocks))):
        block = draw(blocks(now, size))
        chain.append(block)
        now, size = block.out_channels, -(-size // block.stride)
    return Architecture(
        name=draw(st.sampled_from(("a", "b"))),
        input=Input(channels=in_channels, resolution=resolution),
        num_classes=draw(st.integers(2, 12)),
        padding=draw(st.sampled_from(("symmetric", "same"))),
        norm=draw(
            st.sampled_from((BatchNorm(eps=1e-5, momentum=0.1), BatchNorm(eps=1e-3, momentum=0.01)))
        ),
        dropout=draw(st.sampled_from((0.0, 0.2))),
        stem=stem,
        blocks=tuple(chain),
        head=draw(_heads()),
    )


@st.composite
def _stages(draw: st.DrawFn) -> dict[str, Any]:
    def one_or_many(*options: Any) -> Any:
        picked = draw(st.lists(st.sampled_from(options), min_size=1, max_size=2, unique=True))
        return draw(st.sampled_from((picked[0], picked, {"each": picked})))

    stage = {
        "op": one_or_many("inverted_residual", "depthwise_separable", "conv"),
        "depth": draw(st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True)),
        "stride": draw(st.sampled_from((1, 2))),
        "out_channels": draw(st.sampled_from((8, 16, [8, 16]))),
        "kernel": one_or_many(3, 5),
        "expansion": one_or_many(1, 2, 3),
        "activation": "relu",
        "residual": one_or_many(True, False),
    }
    if draw(st.booleans()):
        options = [{"name": "plain"}, {"name": "skip", "op": "identity"}, {"kernel": [1, 7]}]
        stage["layer"] = draw(st.sampled_from((options, {"each": options}, {"kernel": [3, 7]})))
        stage["first"] = {"layer": None, "expansion": 2}
    return stage


@st.composite
def space_documents(draw: st.DrawFn, max_stages: int = 2) -> dict[str, Any]:
    """Small search spaces as plain documents: few enough networks to enumerate them all."""
    stages = draw(st.lists(_stages(), min_size=1, max_size=max_stages))
    hidden = draw(st.sampled_from((16, [16, 32])))
    document: dict[str, Any] = {
        "schema": "mnas.space/1",
        "name": "tiny",
        "input": {"channels": 3, "resolution": draw(st.sampled_from((32, [16, 24])))},
        "width": draw(st.sampled_from((1.0, [1.0, 2.0], [0.5, 1.0]))),
        "num_classes": 10,
        "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
        "stages": stages,
        "head": [{"op": "conv", "out_channels": hidden, "activation": "relu"}, {"op": "pool"}],
    }
    if len(stages) == 1 and draw(st.booleans()):
        document["network"] = [
            {"name": "same"},
            {"name": "other", "stages": [draw(_stages())]},
            {"name": "wide", "width": 1.5},
        ]
    return document
