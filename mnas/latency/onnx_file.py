"""The deployed ONNX file of a built network."""

import os
from typing import TYPE_CHECKING

import numpy as np
import onnx

from mnas.arch import Architecture, MnasError, atomic_path, plan
from mnas.latency.onnx_graph import graph_of

if TYPE_CHECKING:
    from torch import nn


def write_onnx(module: "nn.Module", arch: Architecture, path: str | os.PathLike[str]) -> None:
    """Write a network with its weights as an ONNX file for deployment.

    Args:
        module: What `mnas.nets.build(arch)` gave, with its trained weights.
        arch: The architecture it was built from.
        path: The file; input `input` (batch, channels, resolution, resolution), output `logits`
            (batch, num_classes), fp32, free batch size.

    Raises:
        MnasError: The module is not that architecture's.
        UnwritableFileError: The file cannot be written; says why.
    """
    model = deployed_graph(module, arch)
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)


def deployed_graph(module: "nn.Module", arch: Architecture) -> onnx.ModelProto:
    """The graph of a network with its weights, of which every deployed format is made.

    It comes from the plan, by the same writer that makes the blocks of a latency table; the
    weights come from the module. Export compares the answers of each file with the module's.

    Args:
        module: What `mnas.nets.build(arch)` gave, with its trained weights.
        arch: The architecture it was built from.

    Raises:
        MnasError: The module is not that architecture's.
    """
    weights = {
        name: np.asarray(tensor.detach().cpu().float().numpy())
        for name, tensor in module.state_dict().items()
    }
    planned = plan(arch)
    try:
        model = graph_of(
            planned.blocks,
            places=planned.places,
            weights=weights,
            norm_eps=arch.norm.eps,
            name=arch.name,
        )
    except KeyError as error:
        raise MnasError(
            f"the module is not one of {arch.name} ({arch.id}): it has no {error.args[0]!r}. "
            "Build it with mnas.build from the same architecture."
        ) from None
    onnx.checker.check_model(model, full_check=True)
    return model
