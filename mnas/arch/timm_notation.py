"""A network in the notation of timm (pytorch-image-models): block strings and what stands around.

The rules are those of timm's `decode_arch_def`, `EfficientNetBuilder`, `EfficientNet` and
`MobileNetV3` (timm 1.0): channels are multiples of 8, a stage's first block alone has a stride,
squeeze-and-excite is a ratio. What they cannot say is refused, never approximated.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mnas.arch.architecture import Architecture
from mnas.arch.blocks import (
    BLOCKS,
    ConvBlock,
    DepthwiseSeparable,
    FusedInvertedResidual,
    InvertedResidual,
    UniversalInvertedBottleneck,
)
from mnas.arch.errors import MnasError
from mnas.arch.heads import HeadConv, HeadItem, HeadLinear, HeadPool
from mnas.arch.layers import Activation, Gate
from mnas.arch.pieces import SE, Block

LETTERS: dict[Activation, str] = {"relu": "re", "relu6": "r6", "hard_swish": "hs", "silu": "sw"}
_LARGEST_STRIDE = 32  # timm turns further strides into dilation
_USUAL_RATIOS = ("0.25", "0.5", "0.125", "0.0625")


class NoTimmTextError(MnasError):
    """timm's notation cannot say a network; names the first place that it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmSqueeze:
    """How timm makes every squeeze-and-excite of a network.

    Attributes:
        activation: None for that of the block around it.
        from_expanded: Whether ratios are of the expanded channels, not of the block's input.
        rounded: Whether channels are rounded to multiples of 8, not to whole numbers.
    """

    gate: Gate
    activation: Activation | None
    from_expanded: bool
    rounded: bool

    def channels(self, expanded: int, ratio: float, expansion: float) -> int:
        """The arithmetic of timm, in its order: the last digit of a float decides."""
        wanted = expanded * (ratio if self.from_expanded else ratio / expansion)
        return divisible(wanted) if self.rounded else round(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmNetwork:
    """A network as timm would be told it.

    Attributes:
        model: The class of timm.
        arch_def: Stages of block strings, for `decode_arch_def`.
        num_features: Channels of the head's convolution; 0 for none.
        head: What follows it: `norm`, `bias`, or nothing.
        squeeze: None if no block has a squeeze-and-excite.
    """

    model: Literal["EfficientNet", "MobileNetV3"]
    arch_def: tuple[tuple[str, ...], ...]
    stem_size: int
    stem_kernel: int
    num_features: int
    head: Literal["norm", "bias", "plain"]
    activation: Activation
    squeeze: TimmSqueeze | None


def divisible(value: float) -> int:
    """The `make_divisible` of timm with its defaults: multiples of 8, never below 90 %."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def timm_network(arch: Architecture) -> TimmNetwork:
    """Write a network in timm's notation.

    Args:
        arch: Any architecture.

    Returns:
        What to tell timm, such that it builds the same function of the same parameters. A
        `linear` of the head becomes the 1x1 convolution that timm has there.

    Raises:
        NoTimmTextError: timm cannot say it; names the first place.
    """
    _check_around(arch)
    act = arch.stem.activation
    before = list(itertools.takewhile(lambda item: not isinstance(item, HeadPool), arch.head))
    after = arch.head[len(before) + 1 :]
    convs = [_head_block(item, index, arch) for index, item in enumerate(before)]
    head: Literal["norm", "bias", "plain"] = "norm"
    features = 0
    if after:
        head, features = _after_pool(after, len(before) + 1, arch)
    elif convs and convs[-1].activation == act:
        features = convs.pop().out_channels
    model: Literal["EfficientNet", "MobileNetV3"] = "MobileNetV3" if after else "EfficientNet"
    if model == "MobileNetV3" and arch.stem.kernel != 3:
        raise _refusal(arch, "stem.kernel", f"is 3 in timm's MobileNetV3; got {arch.stem.kernel}")
    squeeze = _squeeze(arch, model)
    return TimmNetwork(
        model=model,
        arch_def=tuple(_stages(arch, convs, squeeze)),
        stem_size=arch.stem.out_channels,
        stem_kernel=arch.stem.kernel,
        num_features=features,
        head=head,
        activation=act,
        squeeze=squeeze,
    )


def _refusal(arch: Architecture, place: str, problem: str) -> NoTimmTextError:
    return NoTimmTextError(f"{arch.name} cannot be said in timm's notation: {place} {problem}")


def _check_around(arch: Architecture) -> None:
    if arch.stem.stride != 2:
        raise _refusal(arch, "stem.stride", f"is always 2 in timm; got {arch.stem.stride}")
    _multiple(arch, "stem.out_channels", arch.stem.out_channels)
    total = 2
    for index, block in enumerate(arch.blocks):
        place = f"blocks.{index}"
        if block.op not in BLOCKS:
            raise _refusal(arch, f"{place}.op", f"{block.op!r} is not known to timm")
        if block.stride > 2:
            raise _refusal(arch, f"{place}.stride", f"is 1 or 2 in timm; got {block.stride}")
        total *= block.stride
        if total > _LARGEST_STRIDE:
            problem = f"makes {total} in all; timm dilates instead of reducing by more than 32"
            raise _refusal(arch, f"{place}.stride", problem)
        _multiple(arch, f"{place}.out_channels", block.out_channels)


def _multiple(arch: Architecture, place: str, channels: int) -> None:
    if channels % 8:
        raise _refusal(arch, place, f"must be a multiple of 8, timm rounds to one; got {channels}")


def _head_block(item: HeadItem, index: int, arch: Architecture) -> ConvBlock:
    """A convolution before the pool as the block that timm has for it."""
    assert isinstance(item, HeadConv)
    place = f"head.{index}"
    if not item.norm or item.bias:
        raise _refusal(arch, place, "has norm and no bias before the pool in timm")
    if item.activation is None:
        raise _refusal(arch, f"{place}.activation", "cannot be null in timm")
    _multiple(arch, f"{place}.out_channels", item.out_channels)
    return ConvBlock(
        kernel=1,
        stride=1,
        out_channels=item.out_channels,
        activation=item.activation,
        residual=False,
    )


def _after_pool(
    items: Sequence[HeadItem], first: int, arch: Architecture
) -> tuple[Literal["norm", "bias", "plain"], int]:
    item, place = items[0], f"head.{first}"
    if len(items) > 1:
        raise _refusal(arch, f"head.{first + 1}", "is one layer too many: timm has one after pool")
    assert isinstance(item, HeadConv | HeadLinear)
    if item.activation != arch.stem.activation:
        problem = f"must be the stem's, {arch.stem.activation}, in timm; got {item.activation}"
        raise _refusal(arch, f"{place}.activation", problem)
    if item.norm and item.bias:
        raise _refusal(arch, f"{place}.bias", "cannot stand beside a norm in timm")
    size = item.out_channels if isinstance(item, HeadConv) else item.out_features
    return ("norm" if item.norm else "bias" if item.bias else "plain"), size


_Squeezing = DepthwiseSeparable | InvertedResidual | FusedInvertedResidual
_SqueezeSite = tuple[str, SE, int, float, Activation]  # place, se, expanded, expansion, activation


def _squeeze(arch: Architecture, model: str) -> TimmSqueeze | None:
    """The one way in which timm makes all squeeze-and-excites of a network, the plainest first."""
    sites = list(_squeeze_sites(arch))
    if not sites:
        return None
    place, first, *_ = sites[0]
    for other, se, *_ in sites:
        if se.gate != first.gate:
            problem = f"must be that of {place}, timm has one for the network; got {se.gate}"
            raise _refusal(arch, f"{other}.gate", problem)
    forced = None if all(se.activation == act for _, se, _, _, act in sites) else first.activation
    for other, se, *_ in sites:
        if forced is not None and se.activation != forced:
            problem = f"must be its block's or one for the network in timm; got {se.activation}"
            raise _refusal(arch, f"{other}.activation", problem)
    found: list[tuple[int, int, int, TimmSqueeze]] = []
    orders = (True, False) if model == "MobileNetV3" else (False,)
    for from_expanded, rounded in itertools.product(orders, (False, True)):
        squeeze = TimmSqueeze(
            gate=first.gate, activation=forced, from_expanded=from_expanded, rounded=rounded
        )
        ratios = [_ratio(squeeze, se.channels, mid, wide) for _, se, mid, wide, _ in sites]
        texts = [ratio for ratio in ratios if ratio is not None]
        if len(texts) == len(sites):
            found.append((len(set(texts)), len("".join(texts)), len(found), squeeze))
    assert found, "whole numbers are what some ratio gives, written long enough"
    return min(found)[-1]


def _squeeze_sites(arch: Architecture) -> Iterator[_SqueezeSite]:
    channels = arch.stem.out_channels
    for index, block in enumerate(arch.blocks):
        place = f"blocks.{index}"
        if isinstance(block, _Squeezing) and block.se is not None:
            expanded, expansion = _middle(arch, place, block, channels)
            yield f"{place}.se", block.se, expanded, expansion, block.activation
        channels = block.out_channels


def _middle(arch: Architecture, place: str, block: _Squeezing, channels: int) -> tuple[int, float]:
    """Channels that a squeeze-and-excite sees, and the expansion that timm knows of."""
    if isinstance(block, DepthwiseSeparable):
        return channels, 1.0
    expanded = block.expanded_channels
    return expanded, float(_expansion(arch, place, channels, expanded))


def _ratio(squeeze: TimmSqueeze, channels: int, expanded: int, expansion: float) -> str | None:
    wide = expanded if squeeze.from_expanded else expanded / expansion
    return _decimal(
        channels / wide,
        lambda ratio: ratio > 0 and squeeze.channels(expanded, ratio, expansion) == channels,
        _USUAL_RATIOS,
    )


def _expansion(arch: Architecture, place: str, channels: int, expanded: int) -> str:
    _multiple(arch, f"{place}.expanded_channels", expanded)
    found = _decimal(expanded / channels, lambda ratio: divisible(channels * ratio) == expanded)
    assert found is not None, "a quotient written long enough gives its number back"
    return found


def _decimal(wanted: float, fits: Callable[[float], bool], usual: Sequence[str] = ()) -> str | None:
    """The shortest decimal near a number that does what it should."""
    digits = (f"{wanted:.{places}f}" for places in range(16))
    for text in (*usual, *digits):
        if fits(float(text)):
            return text.rstrip("0").rstrip(".") if "." in text else text
    return None


@dataclass(frozen=True, slots=True)
class _Piece:
    """One block string without `r` and `s`; `skip` None where no shape lets a residual be."""

    kind: str
    options: tuple[str, ...]
    skip: bool | None

    def joins(self, before: "_Piece") -> bool:
        same = (self.kind, self.options) == (before.kind, before.options)
        return same and (self.skip == before.skip or before.skip is None)


def _stages(
    arch: Architecture, convs: Sequence[ConvBlock], squeeze: TimmSqueeze | None
) -> Iterator[tuple[str, ...]]:
    """A stage begins at a stride, at other channels, and at each convolution of the head."""
    stages: list[list[tuple[_Piece, int, int]]] = []  # piece, stride, repeats
    channels = arch.stem.out_channels
    blocks: list[tuple[str, Block, bool]] = [
        *((f"blocks.{index}", block, False) for index, block in enumerate(arch.blocks)),
        *((f"head.{index}", conv, True) for index, conv in enumerate(convs)),
    ]
    for place, block, opens in blocks:
        piece = _piece(arch, place, block, channels, squeeze)
        if not stages or opens or block.stride > 1 or block.out_channels != channels:
            stages.append([])
        stage = stages[-1]
        if stage and piece.joins(stage[-1][0]):
            _, stride, repeats = stage.pop()
            stage.append((piece, stride, repeats + 1))
        else:
            stage.append((piece, block.stride, 1))
        channels = block.out_channels
    for stage in stages:
        yield tuple(_string(piece, stride, repeats) for piece, stride, repeats in stage)


def _string(piece: _Piece, stride: int, repeats: int) -> str:
    kernel, *rest = piece.options
    skip = []
    if piece.kind == "cn":  # has a residual only where it says so, the others unless they say so
        skip = ["skip"] if piece.skip else []
    elif piece.skip is False:
        skip = ["noskip"]
    return "_".join([piece.kind, f"r{repeats}", kernel, f"s{stride}", *rest, *skip])


def _piece(
    arch: Architecture, place: str, block: Block, channels: int, squeeze: TimmSqueeze | None
) -> _Piece:
    fits = block.stride == 1 and block.out_channels == channels
    skip = block.residual if fits else None
    act: Any = getattr(block, "activation", None)
    tail = [
        f"c{block.out_channels}",
        *_activation(arch, place, act),
        *_se(arch, place, block, channels, squeeze),
    ]
    match block:
        case ConvBlock():
            return _Piece("cn", (f"k{block.kernel}", *tail), skip)
        case DepthwiseSeparable():
            kind = _separable_kind(arch, place, block)
            return _Piece(kind, (f"k{block.kernel}", *tail), skip if kind == "ds" else None)
        case InvertedResidual() | FusedInvertedResidual():
            kind = "ir" if isinstance(block, InvertedResidual) else "er"
            wide = _expansion(arch, place, channels, block.expanded_channels)
            return _Piece(kind, (f"k{block.kernel}", f"e{wide}", *tail), skip)
        case UniversalInvertedBottleneck():
            wide = _expansion(arch, place, channels, block.expanded_channels)
            kernels = f"a{block.start_kernel}_k{block.kernel}"
            return _Piece("uir", (kernels, f"e{wide}", *tail), skip)
    raise AssertionError(block)


def _separable_kind(arch: Architecture, place: str, block: DepthwiseSeparable) -> str:
    if block.pointwise_activation is None:
        return "ds"
    if block.pointwise_activation != block.activation:
        problem = f"must be {block.activation}, as after the depthwise, or null in timm; got "
        raise _refusal(arch, f"{place}.pointwise_activation", problem + block.pointwise_activation)
    if block.residual:
        raise _refusal(arch, f"{place}.residual", "is never there with a pointwise activation")
    return "dsa"


def _activation(arch: Architecture, place: str, activation: Activation | None) -> Iterator[str]:
    if activation is None:
        raise _refusal(arch, f"{place}.activation", "cannot be null in timm")
    if activation != arch.stem.activation:
        letters = LETTERS.get(activation)
        if letters is None:
            problem = f"{activation} has no letters in timm, so it must be the stem's"
            raise _refusal(arch, f"{place}.activation", problem)
        yield f"n{letters}"


def _se(
    arch: Architecture, place: str, block: Block, channels: int, squeeze: TimmSqueeze | None
) -> Iterator[str]:
    if isinstance(block, _Squeezing) and block.se is not None:
        assert squeeze is not None
        expanded, expansion = _middle(arch, place, block, channels)
        yield f"se{_ratio(squeeze, block.se.channels, expanded, expansion)}"
