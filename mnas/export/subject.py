"""What is exported: an architecture, its module with weights, and what is known of the data."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mnas.arch import Architecture
from mnas.export.card import DataCard
from mnas.export.errors import ExportError
from mnas.export.manifest import WeightsOrigin
from mnas.nets import build
from mnas.training import Dataset, load_weights

UNTRAINED_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A network about to be exported, or read back.

    Attributes:
        module: In eval mode, float32, on the CPU; nobody changes it.
        origin: Where its weights came from.
        data: Images of the kind it was trained on, at its resolution; None where none were given.
    """

    architecture: Architecture
    module: nn.Module
    card: DataCard
    origin: WeightsOrigin
    data: Dataset | None = None


def subject_of(
    arch: Architecture,
    weights: Path | Mapping[str, Tensor] | None,
    card: DataCard,
    data: Dataset | None = None,
) -> Subject:
    """Build a network and give it its weights.

    Args:
        arch: The network.
        weights: A safetensors file, tensors by name, or None for seeded initial weights.
        card: What is known of the data.
        data: Its images, at the network's resolution.

    Raises:
        WeightsError: The weights cannot be read or are not those of the network.
        ExportError: A weight is not a finite number.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        module = build(arch).eval()
    if weights is not None:
        load_weights(module, weights)
    if weights is None:
        source = f"untrained, initial weights of seed {UNTRAINED_SEED}"
    else:
        source = "given tensors" if isinstance(weights, Mapping) else Path(weights).name
    state = module.state_dict()
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ExportError(
            f"the weights ({source}) hold infinities or NaN in {', '.join(broken[:3])}"
            f"{' and others' if len(broken) > 3 else ''}; the training that wrote them diverged: "
            "train the network again"
        )
    origin = WeightsOrigin(source=source, trained=weights is not None, sha256=_digest(state))
    return Subject(architecture=arch, module=module, card=card, origin=origin, data=data)


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
