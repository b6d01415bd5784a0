"""One torch module for each layer of a plan.

Convolutions, normalisations and linear layers are the plain classes of `torch.nn`: thop and the
exporters dispatch on the exact type, so a subclass would be counted as nothing.
"""

import functools
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from mnas.arch import Activation, BatchNorm, Gate, Layer, Padding
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

# In place where torch can: an activation always follows a convolution, a normalisation or a linear
# layer, none of which needs its output again, and a training step takes 7 % less time.
_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": functools.partial(nn.ReLU, inplace=True),
    "relu6": functools.partial(nn.ReLU6, inplace=True),
    "hard_swish": functools.partial(nn.Hardswish, inplace=True),
    "silu": functools.partial(nn.SiLU, inplace=True),
    "gelu": nn.GELU,
}
_GATES: dict[Gate, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "hard_sigmoid": nn.Hardsigmoid,
}


class SamePad(nn.Module):
    """TensorFlow's `same` padding, for a following convolution that has none of its own.

    It depends on the size of the map: ceil(size / stride) outputs need (kernel - 1) minus
    (size - 1) mod stride more pixels; of an odd number the right and the lower edge get one more.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Pad (n, c, height, width) with zeros on its four sides."""
        above, below = self._split(x.shape[-2])
        left, right = self._split(x.shape[-1])
        return nn.functional.pad(x, (left, right, above, below))

    def _split(self, size: int) -> tuple[int, int]:
        total = self.kernel - 1 - (size - 1) % self.stride
        if self.stride > self.kernel:  # only then negative, and traced sizes cannot be compared
            total = max(total, 0)
        return total // 2, total - total // 2

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class SqueezeExciteModule(nn.Module):
    """Weighs each channel by what all of them hold on average (Hu et al. 2018, arXiv:1709.01507).

    Both 1x1 convolutions have biases and no normalisation, as in MobileNetV3 and EfficientNet.
    """

    def __init__(self, layer: SqueezeExcite) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(layer.in_channels, layer.squeeze_channels, 1)
        self.activation = _ACTIVATIONS[layer.activation]()
        self.expand = nn.Conv2d(layer.squeeze_channels, layer.in_channels, 1)
        self.gate = _GATES[layer.gate]()

    def forward(self, x: Tensor) -> Tensor:
        """Scale (n, c, height, width) by an (n, c, 1, 1) gate."""
        scale: Tensor = self.gate(self.expand(self.activation(self.reduce(self.pool(x)))))
        return x * scale


def leaves(layer: Layer, padding: Padding, norm: BatchNorm) -> Iterator[tuple[str, nn.Module]]:
    """The torch modules of one layer, named, in the order in which they are called.

    Args:
        layer: A layer of a plan.
        padding: The network's; `same` puts a `SamePad` before a convolution.
        norm: Constants of batch normalisation.

    Yields:
        One module, or a padding and its convolution; their weights are not initialised yet.
    """
    match layer:
        case Conv():
            pads_itself = padding == "symmetric" or layer.kernel == 1
            if not pads_itself:
                yield f"{layer.name}_pad", SamePad(layer.kernel, layer.stride)
            yield (
                layer.name,
                nn.Conv2d(
                    layer.in_channels,
                    layer.out_channels,
                    layer.kernel,
                    layer.stride,
                    (layer.kernel - 1) // 2 if pads_itself else 0,
                    groups=layer.groups,
                    bias=layer.bias,
                ),
            )
        case Norm():
            kind = nn.BatchNorm1d if layer.size is None else nn.BatchNorm2d
            yield layer.name, kind(layer.in_channels, eps=norm.eps, momentum=norm.momentum)
        case Activate():
            yield layer.name, _ACTIVATIONS[layer.activation]()
        case SqueezeExcite():
            yield layer.name, SqueezeExciteModule(layer)
        case Pool():
            yield layer.name, nn.AdaptiveAvgPool2d(1)
        case Flatten():
            yield layer.name, nn.Flatten()
        case Linear():
            yield layer.name, nn.Linear(layer.in_channels, layer.out_channels, bias=layer.bias)
        case Dropout():
            yield layer.name, nn.Dropout(layer.rate)
