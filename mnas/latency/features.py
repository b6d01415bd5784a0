"""Physical quantities of a block, from which the time of an unmeasured one is predicted."""

import numpy as np
from numpy.typing import NDArray

from mnas.arch import Layer, PlannedBlock, layer_macs, layer_params
from mnas.arch.layers import Activate, Conv, Linear, Norm, SqueezeExcite, output_of

_CHEAP = ("relu", "relu6")  # folded into the convolution by every runtime
FEATURES = (
    "pointwise_macs",
    "depthwise_macs",
    "full_conv_macs",
    "vector_macs",
    "elements_read",
    "elements_written",
    "depthwise_elements",
    "activated_elements",
    "gated_elements",
    "params",
    "layers",
    "one",
)


def features_of(block: PlannedBlock) -> NDArray[np.float64]:
    """Say what a block costs in physical terms; each more of them can only cost time.

    Args:
        block: Any planned block.

    Returns:
        (len(FEATURES),) non-negative numbers for one image, in the order of `FEATURES`.
    """
    found = dict.fromkeys(FEATURES, 0.0)
    found["one"] = 1.0
    for layer in block.layers:
        _add(found, layer)
    if block.residual:
        found["elements_read"] += _elements(block.in_channels, block.size)
        found["layers"] += 1
    return np.array([found[name] for name in FEATURES])


def _add(found: dict[str, float], layer: Layer) -> None:
    channels, size = output_of(layer)
    read = _elements(layer.in_channels, getattr(layer, "size", None))
    written = _elements(channels, size)
    match layer:
        case Conv():
            found[f"{_conv_kind(layer)}_macs"] += layer_macs(layer)
            if layer.groups > 1:
                found["depthwise_elements"] += written
        case SqueezeExcite():
            found["vector_macs"] += layer_macs(layer)
            found["gated_elements"] += written
        case Linear():
            found["vector_macs"] += layer_macs(layer)
        case Activate():
            found["activated_elements"] += 0 if layer.activation in _CHEAP else written
    if not isinstance(layer, Norm | Activate):
        found["elements_read"] += read
        found["elements_written"] += written
        found["layers"] += 4 if isinstance(layer, SqueezeExcite) else 1
        found["params"] += layer_params(layer)


def _conv_kind(layer: Conv) -> str:
    if layer.groups > 1:
        return "depthwise"
    return "pointwise" if layer.kernel == 1 else "full_conv"


def _elements(channels: int, size: int | None) -> int:
    return channels * (size or 1) ** 2
