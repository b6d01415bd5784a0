"""Trained weights in safetensors files: tensors by name and nothing that can run."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from mnas.arch import MnasError, write_atomically

_NAMED = 3  # names told of each kind of difference


class WeightsError(MnasError):
    """Weights that cannot be read or do not belong to the network; says what differs."""


def save_weights(weights: nn.Module | Mapping[str, Tensor], path: Path) -> None:
    """Write the weights and statistics of a network as a safetensors file, atomically.

    Args:
        weights: A module, or its state by name.
        path: Where; parent folders are made.

    Raises:
        UnwritableFileError: The file cannot be written; says why.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    write_atomically(path, safetensors.torch.save(tensors))


def load_weights(module: nn.Module, weights: Path | Mapping[str, Tensor]) -> None:
    """Give a network the weights of a file.

    Args:
        module: Changed in place, and not at all if the weights do not fit.
        weights: A safetensors file, or tensors by name.

    Raises:
        WeightsError: No such file, not a safetensors file, or names or shapes that differ from
            the network's.
    """
    if isinstance(weights, Mapping):
        tensors, where = dict(weights), "the weights"
    else:
        tensors, where = _read(weights), str(weights)
    own = module.state_dict()
    lacking = [name for name in own if name not in tensors]
    strange = [name for name in tensors if name not in own]
    differing = [
        f"{name} ({list(tensors[name].shape)}, the network has {list(value.shape)})"
        for name, value in own.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    problems = [
        f"{what} {', '.join(names[:_NAMED])}"
        + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        for what, names in (
            ("lacks", lacking),
            ("has what the network lacks:", strange),
            ("differs in shape:", differing),
        )
        if names
    ]
    if problems:
        raise WeightsError(
            f"{where} does not hold the weights of this network: {'; '.join(problems)}. Use the "
            "weights that were trained for this architecture"
        )
    module.load_state_dict(tensors)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; train the network first with `mnas train`")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is not a safetensors file ({error}); mnas reads weights from nothing else"
        ) from None
