"""Architecture -> torch module: the plan, layer by layer, and nothing else."""

import math

from torch import Tensor, nn

from mnas.arch import Architecture, BatchNorm, PlannedBlock, not_an_architecture, plan
from mnas.nets.leaves import leaves


class NetworkBlock(nn.Module):
    """The layers of one planned block in a row, with its input added at the end if residual.

    Its children have the names of the plan's layers: `expand_conv`, `expand_norm`, `se`, ...
    """

    def __init__(self, planned: PlannedBlock, norm: BatchNorm) -> None:
        super().__init__()
        self.residual = planned.residual
        for layer in planned.layers:
            for name, module in leaves(layer, planned.padding, norm):
                self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, height, width), or (n, features) for a vector, to the output."""
        y = x
        for module in self.children():
            y = module(y)
        return x + y if self.residual else y


class Network(nn.Module):
    """A whole network; its children stand where the document has them.

    Names in the state dictionary are place and layer: `stem.conv.weight`,
    `blocks.3.expand_conv.weight`, `blocks.3.se.reduce.weight`, `head.0.conv.weight`,
    `classifier.linear.weight`.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        stem, *rest = (build_block(planned, arch.norm) for planned in plan(arch).blocks)
        self.stem = stem
        self.blocks = nn.Sequential(*rest[: len(arch.blocks)])
        self.head = nn.Sequential(*rest[len(arch.blocks) : -1])
        self.classifier = rest[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Give the logits (n, num_classes) of images (n, channels, height, width).

        Height and width may differ from each other and from the architecture's resolution.
        """
        logits: Tensor = self.classifier(self.head(self.blocks(self.stem(x))))
        return logits


def build(arch: Architecture) -> Network:
    """Build the network in training mode, its weights initialised.

    Weights are drawn as the papers' reference code does it. Convolutions: normal with variance
    2 / fan_out (He et al. 2015, arXiv:1502.01852, equation 14), where fan_out = kernel^2 x output
    channels of one group, so kernel^2 for a depthwise one (MnasNet and EfficientNet in
    tensorflow/tpu, `conv_kernel_initializer`). Normalisations: scale 1, shift 0. Linear layers:
    normal with standard deviation 0.01 (MobileNetV2 and V3 in torchvision). Biases: 0.

    Args:
        arch: Any architecture.

    Returns:
        A float32 module on the CPU. The same `torch.manual_seed` gives the same weights.
    """
    if not isinstance(arch, Architecture):
        raise not_an_architecture(arch, "mnas.build")
    return Network(arch)


def build_block(planned: PlannedBlock, norm: BatchNorm) -> NetworkBlock:
    """Build one block of a plan, initialised as `build` does it.

    Args:
        planned: A block with its sizes.
        norm: Constants of its batch normalisations.

    Returns:
        A module from (n, in_channels, size, size), or (n, in_channels) where size is None, to the
        planned output; other sizes of maps work as well.
    """
    block = NetworkBlock(planned, norm)
    for module in block.modules():
        _initialise(module)
    return block


def _initialise(module: nn.Module) -> None:
    match module:
        case nn.Conv2d():
            kernel_area = module.kernel_size[0] * module.kernel_size[1]
            fan_out = kernel_area * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        case nn.Linear():
            nn.init.normal_(module.weight, std=0.01)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            nn.init.ones_(module.weight)
        case _:
            return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
