"""Images at another resolution, the same to the bit on every machine."""

import numpy as np
from numpy.typing import NDArray

_UNIT = 4096  # weights are multiples of 1/4096, so that sums in float64 are exact in any order
_ROWS = 32  # of the result worked on at once; each needs only the lines near it
_CHUNK = 2048  # images worked on at once, to bound the memory


def resize_images(images: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Resize square images: bilinear when enlarging, a triangle of the area when shrinking.

    Args:
        images: (n, c, h, h).
        resolution: Wanted side in pixels.

    Returns:
        (n, c, resolution, resolution); the argument itself where nothing changes.
    """
    if images.shape[-1] == resolution:
        return images
    weights = _weights(images.shape[-1], resolution)
    result = np.empty((*images.shape[:2], resolution, resolution), np.uint8)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK].astype(np.float64)
        exact = _weighted(weights, _weighted(weights, chunk).swapaxes(-1, -2)).swapaxes(-1, -2)
        result[start : start + _CHUNK] = np.floor(exact / _UNIT**2 + 0.5)
    return result


def _weighted(weights: NDArray[np.float64], lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """`weights @ lines`, (r, h) by (..., h, k), without the zeros away from the diagonal."""
    result = np.empty((*lines.shape[:-2], len(weights), lines.shape[-1]))
    for start in range(0, len(weights), _ROWS):
        rows = weights[start : start + _ROWS]
        used = np.flatnonzero(rows.any(axis=0))
        first, last = used[0], used[-1] + 1
        result[..., start : start + _ROWS, :] = rows[:, first:last] @ lines[..., first:last, :]
    return result


def _weights(size: int, resolution: int) -> NDArray[np.float64]:
    """(resolution, size) whole numbers; each row sums to `_UNIT`."""
    scale = size / resolution
    reach = max(1.0, scale)  # pixels to each side that count
    centres = (np.arange(resolution) + 0.5) * scale
    distance = np.abs(np.arange(size) + 0.5 - centres[:, None])
    triangle = np.maximum(0.0, 1.0 - distance / reach)
    whole: NDArray[np.float64] = np.floor(
        triangle / triangle.sum(axis=1, keepdims=True) * _UNIT + 0.5
    )
    rows = np.arange(resolution)
    whole[rows, whole.argmax(axis=1)] += _UNIT - whole.sum(axis=1)
    return whole
