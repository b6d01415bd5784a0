"""The sandglass block of MobileNeXt (Zhou et al. 2020, arXiv:2007.02269, section 3.2)."""

from dataclasses import dataclass
from typing import Literal

from mnas.arch import Activation, Layer, Problems, block_problems, conv_norm, depthwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandglass:
    """Depthwise, norm, act, pointwise reduce, norm, pointwise expand, norm, act, depthwise, norm.

    The residual joins the wide ends; the last depthwise convolution has the stride.
    """

    op: Literal["sandglass"] = "sandglass"
    kernel: int
    stride: int
    reduced_channels: int
    out_channels: int
    activation: Activation
    residual: bool

    def plan(self, in_channels: int, size: int) -> tuple[Layer, ...]:
        kernel, act, out = self.kernel, self.activation, self.out_channels
        narrow = self.reduced_channels
        return (
            *depthwise("first", in_channels, size, activation=act, kernel=kernel, stride=1),
            *conv_norm("reduce", in_channels, size, narrow, activation=None),
            *conv_norm("expand", narrow, size, out, activation=act),
            *depthwise("last", out, size, activation=None, kernel=kernel, stride=self.stride),
        )

    def problems(self, in_channels: int, size: int) -> Problems:
        return block_problems(self, in_channels, size)
