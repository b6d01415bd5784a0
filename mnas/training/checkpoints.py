"""Checkpoints: tensors and what they belong to in one safetensors file, whole or not there.

A checkpoint is only a cache. One that is damaged, or belongs to something else, is not there.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mnas.arch import Architecture, MnasError, write_atomically
from mnas.training.dataset import Dataset
from mnas.training.devices import Device
from mnas.training.recipes import FullRecipe, ProxyRecipe

_logger = logging.getLogger(__name__)


class UnreadableCheckpointError(MnasError):
    """A checkpoint that is there and cannot be read; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        identity: What the tensors belong to, as JSON types.
        notes: What else was written beside the tensors, as JSON types.
        tensors: Contiguous tensors by name.
    """

    identity: Mapping[str, Any]
    notes: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def identity_of(
    arch: Architecture,
    *,
    data: Dataset,
    recipe: ProxyRecipe | FullRecipe,
    seed: int,
    threads: int,
    device: Device,
) -> dict[str, Any]:
    """What decides the tensors of a training: another thread or torch may round differently."""
    return {
        "architecture": arch.id,
        "seed": seed,
        "data": data.fingerprint,
        "recipe": recipe.digest,
        "threads": threads,
        "device": device.name,
        "torch": str(torch.__version__),
    }


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        UnwritableFileError: The file cannot be written; says why.
    """
    # clone() after contiguous(): two names must not share memory in a safetensors file
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in checkpoint.tensors.items()
    }
    # one entry only: safetensors writes several in an order that differs from time to time
    head = {
        "identity": dict(checkpoint.identity),
        "notes": dict(checkpoint.notes),
        "sha256": _digest(tensors),
    }
    metadata = {"mnas": json.dumps(head, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None where there is none, or a damaged one (which is logged).

    Raises:
        UnreadableCheckpointError: The disk does not give it; it may be as good as ever.
    """
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            head = json.loads((file.metadata() or {})["mnas"])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
        if head["sha256"] != _digest(tensors):
            raise ValueError("its content does not have its checksum")
        return Checkpoint(
            identity=head["identity"],
            notes=head["notes"],
            tensors=tensors,
        )
    except OSError as error:
        raise UnreadableCheckpointError(
            f"cannot read the checkpoint {path}: {error}. Mend that, or remove the file to train "
            "from the start"
        ) from None
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        _logger.warning("the checkpoint %s is damaged and will not be used: %s", path, error)
        return None


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
