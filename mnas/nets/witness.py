"""thop counts the built module: a second opinion on the counts that come from the plan."""

import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mnas.arch import Architecture
from mnas.nets.building import build

# thop counts 4 operations per element of a normalisation: 3 to 19 % above the papers' figures.
_FREE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThopCounts:
    """What the built module costs; lower is better.

    Attributes:
        macs: Multiply-accumulates of one image as thop sees them run, with normalisation and
            pooling counted as nothing: the convention of the papers and of `mnas.count`.
        params: Learnable parameters of the module itself; thop's own figure is not used.
        macs_by_own_rules: What thop says unless told otherwise: four operations for each element
            of a normalisation and the pooling are in it, 3 to 19 % more.
        block_macs: `macs` of stem, blocks, head items and classifier, in the order of the plan.
    """

    macs: int
    params: int
    macs_by_own_rules: int
    block_macs: tuple[int, ...]


def thop_counts(arch: Architecture) -> ThopCounts:
    """Build a network, run it once, and let thop count what ran.

    Args:
        arch: Any architecture; it is run at its own resolution with batch 1.

    Returns:
        Counts of which `macs`, `params` and `block_macs` must equal those of `mnas.count(arch)`.
    """
    # thop leaves buffers in what it profiles, so it gets a module of its own; building it may not
    # disturb anybody's random numbers.
    with torch.random.fork_rng(devices=()), torch.device("meta"):  # counted, not computed
        module = build(arch)
    params = sum(parameter.numel() for parameter in module.parameters())
    resolution = arch.input.resolution
    image = torch.zeros(1, arch.input.channels, resolution, resolution, device="meta")
    pristine = copy.deepcopy(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # thop imports and uses distutils
        from thop import profile

        rules = dict.fromkeys(_FREE, _count_nothing)
        macs, _, pieces = profile(
            module, inputs=(image,), custom_ops=rules, verbose=False, ret_layer_info=True
        )
        by_own_rules, _ = profile(pristine, inputs=(image,), verbose=False)
    return ThopCounts(
        macs=round(macs),
        params=params,
        macs_by_own_rules=round(by_own_rules),
        block_macs=tuple(_block_macs(pieces)),
    )


def _block_macs(pieces: Mapping[str, tuple[float, float, Any]]) -> Iterator[int]:
    """Of thop's nested (operations, parameters, children), in the order of execution."""
    yield round(pieces["stem"][0])
    for name in ("blocks", "head"):
        yield from (round(operations) for operations, _, _ in pieces[name][2].values())
    yield round(pieces["classifier"][0])


def _count_nothing(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """A counting rule for thop."""
