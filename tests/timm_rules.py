"""timm's rules a second time, written for the tests: what a file for timm would build there.

From `_decode_block_str`, `EfficientNetBuilder` and the block classes of pytorch-image-models; the
file is executed with stand-ins for timm that record what they are told.
"""

import sys
import types
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch  # noqa: F401 - once, outside of the patched modules

_BLOCKS, _ENDS = "timm.models._efficientnet_", ("blocks", "builder")
SHORT = {"re": "relu", "r6": "relu6", "hs": "hard_swish", "sw": "silu"}


@dataclass
class Told:
    """What timm was told: the class, the block strings, and the keywords of the call."""

    model: str
    arch_def: list[list[str]]
    given: dict[str, Any]


def executed(text: str) -> Told:
    """Run a file for timm without timm."""
    names = ("timm", "timm.layers", "timm.models", *(f"{_BLOCKS}{end}" for end in _ENDS))
    modules = {name: types.ModuleType(name) for name in names}
    modules["timm.layers"].get_act_layer = lambda name: name
    modules["timm.models._efficientnet_blocks"].SqueezeExcite = lambda **given: given
    modules["timm.models._efficientnet_builder"].decode_arch_def = lambda strings: strings
    modules["timm.models._efficientnet_builder"].round_channels = make_divisible
    for name, model in (("efficientnet", "EfficientNet"), ("mobilenetv3", "MobileNetV3")):
        module = modules[f"timm.models.{name}"] = types.ModuleType(name)
        setattr(module, model, _recorder(model))
    names_of_file: dict[str, Any] = {"__name__": "timm_model"}
    with mock.patch.dict(sys.modules, modules):
        exec(compile(text, "timm_model.py", "exec"), names_of_file)
        told: Told = names_of_file["build"]()
    return told


def _recorder(model: str) -> type:
    return type(model, (), {"__new__": lambda cls, arch_def, **given: Told(model, arch_def, given)})


def make_divisible(value: float, divisor: int = 8, round_limit: float = 0.9) -> int:
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < round_limit * value else rounded


def blocks_of(told: Told) -> list[dict[str, Any]]:
    """The blocks that timm would build, as they stand in a document."""
    channels = make_divisible(told.given["stem_size"])
    blocks, total = [], 2
    for stage in told.arch_def:
        position = 0
        for string in stage:
            kind, *words = string.split("_")
            options = dict(_option(word) for word in words)
            for _ in range(int(options["r"])):
                stride = int(options["s"]) if position == 0 else 1
                assert stride in (1, 2)
                total *= stride
                assert total <= 32, "timm would dilate"
                blocks.append(_block(kind, options, stride, channels, told.given))
                channels, position = blocks[-1]["out_channels"], position + 1
    return blocks


def _option(word: str) -> tuple[str, str]:
    if word in ("skip", "noskip"):
        return word, ""
    if word[0] == "n":
        return "n", word[1:]
    cut = next(index for index, letter in enumerate(word) if letter.isdigit())
    return word[:cut], word[cut:]


def _block(
    kind: str, options: dict[str, str], stride: int, channels: int, given: dict[str, Any]
) -> dict[str, Any]:
    out = make_divisible(int(options["c"]))
    activation = SHORT[options["n"]] if "n" in options else given["act_layer"]
    same = stride == 1 and channels == out
    block = {"kernel": int(options["k"]), "stride": stride, "out_channels": out}
    block |= {"activation": activation, "residual": same and "noskip" not in options}
    if kind == "cn":
        return {"op": "conv", **block, "residual": same and "skip" in options}
    if kind in ("ds", "dsa"):
        se = _se(options, channels, 1.0, activation, given)
        last = activation if kind == "dsa" else None
        block["residual"] = block["residual"] and kind == "ds"
        return {"op": "depthwise_separable", **block, "pointwise_activation": last, "se": se}
    ratio = float(options["e"])
    block["expanded_channels"] = middle = make_divisible(channels * ratio)
    if kind == "uir":
        return {
            "op": "universal_inverted_bottleneck", **block, "start_kernel": int(options["a"])
        }  # fmt: skip
    block["se"] = _se(options, middle, ratio, activation, given)
    if kind == "er":
        return {"op": "fused_inverted_residual", **block}
    assert kind == "ir"
    return {"op": "inverted_residual", **block, "expand": True}


def _se(
    options: dict[str, str], channels: int, expansion: float, activation: str, given: dict[str, Any]
) -> dict[str, Any] | None:
    if "se" not in options:
        return None
    ratio = float(options["se"])
    if not given.get("se_from_exp", False):
        ratio /= expansion
    layer = given["se_layer"]()
    squeezed = layer.get("rd_round_fn", round)(channels * ratio)
    return {
        "channels": squeezed,
        "activation": layer.get("force_act_layer", activation),
        "gate": layer["gate_layer"],
    }
