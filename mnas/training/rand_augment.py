"""RandAugment for batches (Cubuk et al. 2019, arXiv:1909.13719): groups of images, not one by one.

Operations and strengths are those of torchvision's RandAugment, the usual reading of the paper.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mnas.training.pixels import blended, rounded, to_grey, warped

Operation = Callable[[Tensor, Tensor], Tensor]
_TOP = 30  # the highest magnitude


def rand_augmented(pixels: Tensor, *, operations: int, magnitude: int, seed: int) -> Tensor:
    """Apply to each image operations of its own choice, one after the other.

    Args:
        pixels: (n, r, r, c) uint8, one or three channels.
        operations: How many for each image, drawn with replacement from the 14.
        magnitude: Their strength, 0 to 30.
        seed: Decides which, and in which direction.

    Returns:
        (n, r, r, c) uint8.
    """
    generator = torch.Generator().manual_seed(seed)
    names = list(_OPERATIONS)
    for _ in range(operations):
        drawn = torch.randint(len(names), (len(pixels),), generator=generator)
        signs = torch.randint(2, (len(pixels),), generator=generator) * 2.0 - 1
        result = pixels.clone()
        for index, name in enumerate(names):
            chosen = torch.nonzero(drawn == index)[:, 0]
            if len(chosen) == 0 or name == "identity":
                continue
            strengths = signs[chosen] * (magnitude / _TOP)
            chosen = chosen.to(pixels.device)
            result[chosen] = _OPERATIONS[name](pixels[chosen], strengths.to(pixels.device))
        pixels = result
    return pixels


def _affine(pixels: Tensor, place: tuple[int, int], values: Tensor) -> Tensor:
    """The identity with one number of the matrix replaced, for each image another one."""
    matrices = torch.eye(2, 3, device=pixels.device).repeat(len(pixels), 1, 1)
    matrices[:, place[0], place[1]] = values
    return warped(pixels, matrices, outside="zeros")


def _rotated(pixels: Tensor, strengths: Tensor) -> Tensor:
    angles = strengths * math.radians(30)
    matrices = torch.zeros(len(pixels), 2, 3, device=pixels.device)
    matrices[:, 0, 0] = matrices[:, 1, 1] = angles.cos()
    matrices[:, 0, 1], matrices[:, 1, 0] = -angles.sin(), angles.sin()
    return warped(pixels, matrices, outside="zeros")


def _factor(strengths: Tensor) -> Tensor:
    return (1 + 0.9 * strengths)[:, None, None, None]


def _saturated(pixels: Tensor, strengths: Tensor) -> Tensor:
    return rounded(blended(to_grey(pixels), pixels, _factor(strengths)))


def _brightened(pixels: Tensor, strengths: Tensor) -> Tensor:
    return rounded(pixels * _factor(strengths))


def _contrasted(pixels: Tensor, strengths: Tensor) -> Tensor:
    mean = to_grey(pixels).mean(dim=(1, 2, 3), keepdim=True)
    return rounded(blended(mean, pixels, _factor(strengths)))


def _sharpened(pixels: Tensor, strengths: Tensor) -> Tensor:
    channels = pixels.shape[-1]
    kernel = torch.ones(3, 3, device=pixels.device)
    kernel[1, 1] = 5  # Pillow's SMOOTH
    planes = pixels.permute(0, 3, 1, 2).float()
    smooth = planes.clone()  # the rim stays as it is
    if pixels.shape[1] > 2:
        weights = (kernel / 13).expand(channels, 1, 3, 3)
        smooth[:, :, 1:-1, 1:-1] = nn.functional.conv2d(planes, weights, groups=channels)
    return rounded(blended(smooth.permute(0, 2, 3, 1), pixels, _factor(strengths)))


def _posterized(pixels: Tensor, strengths: Tensor) -> Tensor:
    lost = (4 * strengths.abs()).round().to(torch.uint8)[:, None, None, None]
    return (pixels >> lost) << lost


def _solarized(pixels: Tensor, strengths: Tensor) -> Tensor:
    threshold = (255 * (1 - strengths.abs()))[:, None, None, None]
    return torch.where(pixels >= threshold, 255 - pixels, pixels)


def _stretched(pixels: Tensor, strengths: Tensor) -> Tensor:
    """Autocontrast: the darkest pixel of a channel becomes 0, the brightest 255."""
    low = pixels.amin(dim=(1, 2), keepdim=True).float()
    span = pixels.amax(dim=(1, 2), keepdim=True).float() - low
    stretched = (pixels.float() - low) * (255 / span.clamp(min=1))
    return torch.where(span > 0, rounded(stretched), pixels)


def _equalized(pixels: Tensor, strengths: Tensor) -> Tensor:
    """Equalize each channel's histogram, as Pillow's ImageOps does."""
    count, side, _, channels = pixels.shape
    values = pixels.permute(0, 3, 1, 2).reshape(count * channels, -1).long()
    histogram = torch.zeros(len(values), 256, dtype=torch.long, device=pixels.device)
    histogram.scatter_add_(1, values, torch.ones_like(values))
    last = histogram.gather(1, values.amax(dim=1, keepdim=True))
    step = (values.shape[1] - last) // 255
    before = histogram.cumsum(dim=1) - histogram
    table = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    table = torch.where(step > 0, table, torch.arange(256, device=pixels.device))
    equal = table.gather(1, values).to(torch.uint8)
    return equal.reshape(count, channels, side, side).permute(0, 2, 3, 1)


_TRANSLATION = 2 * 150 / 331  # the paper's 150 of 331 pixels, in sides of which -1 to 1 is one
_OPERATIONS: dict[str, Operation] = {
    "identity": lambda pixels, strengths: pixels,
    "shear_x": lambda pixels, strengths: _affine(pixels, (0, 1), 0.3 * strengths),
    "shear_y": lambda pixels, strengths: _affine(pixels, (1, 0), 0.3 * strengths),
    "translate_x": lambda pixels, strengths: _affine(pixels, (0, 2), _TRANSLATION * strengths),
    "translate_y": lambda pixels, strengths: _affine(pixels, (1, 2), _TRANSLATION * strengths),
    "rotate": _rotated,
    "colour": _saturated,
    "brightness": _brightened,
    "contrast": _contrasted,
    "sharpness": _sharpened,
    "posterize": _posterized,
    "solarize": _solarized,
    "autocontrast": _stretched,
    "equalize": _equalized,
}
