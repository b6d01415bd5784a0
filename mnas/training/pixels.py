"""Arithmetic on batches of pixels (n, r, r, c), 0 to 255, that augmentation is made of."""

from typing import Literal

import torch
from torch import Tensor, nn

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and torchvision


def rounded(values: Tensor) -> Tensor:
    """Floats as uint8; what lies outside 0 to 255 is cut off."""
    return (values + 0.5).clamp(0, 255).to(torch.uint8)


def to_grey(pixels: Tensor) -> Tensor:
    """(n, r, r, 1) floats: the brightness of each pixel."""
    if pixels.shape[-1] == 1:
        return pixels.float()
    return (pixels.float() * torch.tensor(_GREY, device=pixels.device)).sum(dim=-1, keepdim=True)


def blended(base: Tensor, image: Tensor, factor: Tensor) -> Tensor:
    """Away from `base` (factor above 1) or towards it (below 1); floats, 0 to 255."""
    return (base + (image.float() - base) * factor).clamp(0, 255)


def warped(pixels: Tensor, matrices: Tensor, outside: Literal["zeros", "border"]) -> Tensor:
    """Images whose pixels are taken from elsewhere in the same image, bilinearly.

    Args:
        pixels: (n, r, r, c) uint8.
        matrices: (n, 2, 3): from a place in the result to one in the image, both -1 to 1.
        outside: What lies outside the image: black, or its nearest pixel.

    Returns:
        (n, r, r, c) uint8.
    """
    planes = pixels.permute(0, 3, 1, 2).float()
    places = nn.functional.affine_grid(
        matrices.to(pixels.device), list(planes.shape), align_corners=False
    )
    moved = nn.functional.grid_sample(planes, places, padding_mode=outside, align_corners=False)
    return rounded(moved.permute(0, 2, 3, 1))
