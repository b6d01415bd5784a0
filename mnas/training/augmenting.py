"""Augmentation of whole batches; every draw comes from one seed, so a step can be done again.

`augmented` changes pixels before they are normalised, `mixed` blanks and mixes them afterwards.
Draws are made on the CPU, so that another device sees the same images.
"""

import math
import random

import torch
from torch import Tensor, nn

from mnas.training.augmentation import Augmentation
from mnas.training.batches import stream
from mnas.training.pixels import blended, rounded, to_grey, warped
from mnas.training.rand_augment import rand_augmented

_ASPECT = math.log(4 / 3)  # of random crops: 3/4 to 4/3
_ERASED_AREA = (0.02, 0.33)  # of the image; as Zhong et al. and timm
_ERASED_ASPECT = math.log(3.3)


def augmented(pixels: Tensor, augmentation: Augmentation, seed: int) -> Tensor:
    """Change each image of a batch in its own way: crop, move, mirror, RandAugment, colour.

    Args:
        pixels: (n, r, r, c) uint8, one or three channels.
        augmentation: What is done.
        seed: Decides everything.

    Returns:
        (n, r, r, c) uint8; the argument itself where nothing is done.
    """
    if augmentation.crop < 1:
        pixels = _cropped(pixels, augmentation.crop, stream(seed, "crop"))
    pixels = _moved(pixels, augmentation, seed)
    if augmentation.rand_augment:
        pixels = rand_augmented(
            pixels,
            operations=augmentation.rand_augment,
            magnitude=augmentation.rand_augment_magnitude,
            seed=stream(seed, "rand_augment"),
        )
    if augmentation.colour:
        pixels = _coloured(pixels, augmentation.colour, stream(seed, "colour"))
    return pixels


def mixed(
    inputs: Tensor, labels: Tensor, num_classes: int, augmentation: Augmentation, seed: int
) -> tuple[Tensor, Tensor]:
    """Blank a part of some images, and blend a batch with itself.

    Args:
        inputs: (n, c, r, r) normalised images: zero is the mean pixel.
        labels: (n,) classes.
        num_classes: How many there are.
        augmentation: What is done.
        seed: Decides everything.

    Returns:
        Images of the same shape, and targets for `cross_entropy`: `labels` themselves, or shares
        of the classes (n, num_classes) where images are mixed.
    """
    if augmentation.erase:
        inputs = _erased(inputs, augmentation.erase, stream(seed, "erase"))
    if not augmentation.mixes_labels:
        return inputs, labels
    rng = random.Random(stream(seed, "mix"))
    is_cut = augmentation.cutmix > 0 and (augmentation.mixup == 0 or rng.random() < 0.5)
    alpha = augmentation.cutmix if is_cut else augmentation.mixup
    own = rng.betavariate(alpha, alpha)
    others = inputs.roll(1, dims=0)  # the order of a batch is random already
    if is_cut:
        inputs, own = _cut(inputs, others, own, rng)
    else:
        inputs = others.lerp(inputs, own)
    targets = nn.functional.one_hot(labels, num_classes).to(inputs.dtype)
    return inputs, targets.roll(1, dims=0).lerp(targets, own)


def _moved(pixels: Tensor, augmentation: Augmentation, seed: int) -> Tensor:
    """Move each image by its own number of pixels, and mirror some."""
    count, side = len(pixels), pixels.shape[1]
    reach = round(augmentation.shift * side)
    if reach == 0 and not augmentation.flip:
        return pixels
    generator = torch.Generator().manual_seed(seed)
    moves = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator)
    is_mirrored = torch.rand((count, 1), generator=generator) < 0.5
    if reach:
        padded = nn.functional.pad(pixels, (0, 0, reach, reach, reach, reach))
        pixels = _windows(padded, moves[:, :, 0].to(pixels.device), side)
    if not augmentation.flip:
        return pixels
    mirrored = torch.nonzero(is_mirrored)[:, 0].to(pixels.device)
    return pixels.index_copy(0, mirrored, pixels[mirrored].flip(2))


def _windows(padded: Tensor, moves: Tensor, side: int) -> Tensor:
    """The part of each image that begins at its own row and column, `moves` (2, n).

    Each row of the result is one copy of bytes that lie together, 3 to 5 times faster than picking
    pixels: the rows are taken from an overlapping view of everything.
    """
    count, height, width, channels = padded.shape
    images = torch.arange(count, device=padded.device) * height
    rows = (images + moves[0])[:, None] + torch.arange(side, device=padded.device)
    starts = rows * width + moves[1][:, None]
    all_rows = padded.as_strided(
        (count * height * width - side + 1, side * channels), (channels, 1)
    )
    return all_rows.index_select(0, starts.flatten()).reshape(count, side, side, channels)


def _cropped(pixels: Tensor, smallest: float, seed: int) -> Tensor:
    """Enlarge a random part of each image to the whole side."""
    count = len(pixels)
    generator = torch.Generator().manual_seed(seed)
    area, aspect, x, y = torch.rand((4, count), generator=generator)
    share = (smallest + (1 - smallest) * area).sqrt()
    stretch = torch.exp((aspect * 2 - 1) * _ASPECT / 2)
    width, height = (share * stretch).clamp(max=1), (share / stretch).clamp(max=1)
    matrices = torch.zeros(count, 2, 3)
    matrices[:, 0, 0], matrices[:, 0, 2] = width, (1 - width) * (x * 2 - 1)
    matrices[:, 1, 1], matrices[:, 1, 2] = height, (1 - height) * (y * 2 - 1)
    return warped(pixels, matrices, outside="border")


def _coloured(pixels: Tensor, strength: float, seed: int) -> Tensor:
    """Brightness, contrast, saturation, in this order, each by a factor of the image's own."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand((3, len(pixels), 1, 1, 1), generator=generator)
    brightness, contrast, saturation = (1 + strength * (draws * 2 - 1)).to(pixels.device)
    image = (pixels * brightness).clamp(0, 255)
    image = blended(to_grey(image).mean(dim=(1, 2, 3), keepdim=True), image, contrast)
    if pixels.shape[-1] == 3:
        image = blended(to_grey(image), image, saturation)
    return rounded(image)


def _erased(inputs: Tensor, chance: float, seed: int) -> Tensor:
    """Set a rectangle of some images to the mean pixel."""
    count, height, width = inputs.shape[0], inputs.shape[2], inputs.shape[3]
    generator = torch.Generator().manual_seed(seed)
    is_erased, area, aspect, x, y = torch.rand((5, count, 1), generator=generator)
    share = (_ERASED_AREA[0] + (_ERASED_AREA[1] - _ERASED_AREA[0]) * area).sqrt()
    stretch = torch.exp((aspect * 2 - 1) * _ERASED_ASPECT / 2)
    is_row = _within(share * stretch, y, height) & (is_erased < chance)
    is_column = _within(share / stretch, x, width)
    is_blank = (is_row[:, :, None] & is_column[:, None, :])[:, None].to(inputs.device)
    return inputs.masked_fill(is_blank, 0)


def _within(share: Tensor, place: Tensor, size: int) -> Tensor:
    """(n, size): which of `size` lines lie in a span of a share of them, placed 0 to 1."""
    length = (share.clamp(max=1) * size).round().clamp(min=1)
    start = (place * (size - length + 1)).floor().clamp(max=size - 1)
    along = torch.arange(size)
    return (along >= start) & (along < start + length)


def _cut(inputs: Tensor, others: Tensor, own: float, rng: random.Random) -> tuple[Tensor, float]:
    """Put a rectangle of the others into the images; also the share that stays their own."""
    height, width = inputs.shape[2], inputs.shape[3]
    side = math.sqrt(1 - own)
    spans = []
    for size in (height, width):
        centre, half = rng.randrange(size), int(size * side) // 2
        spans.append(slice(max(centre - half, 0), min(centre + half, size)))
    result = inputs.clone()
    result[:, :, spans[0], spans[1]] = others[:, :, spans[0], spans[1]]
    taken = math.prod(span.stop - span.start for span in spans)
    return result, 1 - taken / (height * width)
