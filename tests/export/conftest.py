"""Small networks with weights that look trained, and one folder with every format of one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mnas.arch import Architecture
from mnas.export import export_network
from mnas.nets import build

SE = {"channels": 4, "activation": "relu", "gate": "hard_sigmoid"}
BLOCKS: dict[str, dict[str, Any]] = {
    "conv": {
        "op": "conv", "kernel": 3, "stride": 1, "out_channels": 8, "activation": None,
        "residual": True,
    },
    "depthwise_separable": {
        "op": "depthwise_separable", "kernel": 3, "stride": 2, "out_channels": 12,
        "activation": "relu", "pointwise_activation": "relu6", "se": None, "residual": False,
    },
    "inverted_residual": {
        "op": "inverted_residual", "kernel": 5, "stride": 2, "expanded_channels": 16,
        "out_channels": 8, "activation": "hard_swish", "expand": True, "se": SE,
        "residual": False,
    },
    "fused_inverted_residual": {
        "op": "fused_inverted_residual", "kernel": 3, "stride": 1, "expanded_channels": 16,
        "out_channels": 8, "activation": "silu", "se": None, "residual": True,
    },
    "universal_inverted_bottleneck": {
        "op": "universal_inverted_bottleneck", "start_kernel": 5, "kernel": 3, "stride": 2,
        "expanded_channels": 16, "out_channels": 12, "activation": "gelu", "residual": False,
    },
}  # fmt: skip
HEADS: dict[str, list[dict[str, Any]]] = {
    "pool": [{"op": "pool"}],
    "conv before pool": [
        {"op": "conv", "out_channels": 10, "norm": True, "bias": False, "activation": "relu6"},
        {"op": "pool"},
    ],
    "conv after pool": [
        {"op": "pool"},
        {"op": "conv", "out_channels": 10, "norm": False, "bias": True, "activation": "silu"},
    ],
    "linear": [
        {"op": "pool"},
        {"op": "linear", "out_features": 10, "norm": True, "bias": False, "activation": "relu"},
    ],
}

Tiny = Callable[..., Architecture]


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """Makes networks at 32 px: `tiny(blocks=[...], head=..., padding=..., **fields)`."""

    def make(
        blocks: tuple[str | dict[str, Any], ...] = ("conv",), head: str = "pool", **fields: Any
    ) -> Architecture:
        document = {
            "schema": "mnas.architecture/1", "name": "tiny",
            "input": {"channels": 3, "resolution": 32}, "num_classes": 5, "dropout": 0.2,
            "padding": "symmetric", "norm": {"eps": 1e-3, "momentum": 0.1},
            "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
            "blocks": [BLOCKS[each] if isinstance(each, str) else each for each in blocks],
            "head": HEADS[head], **fields,
        }  # fmt: skip
        return Architecture.from_json(json.dumps(document))

    return make


@pytest.fixture(scope="session")
def weights_of() -> Callable[[Architecture], dict[str, torch.Tensor]]:
    """Seeded weights in which every number matters: statistics and biases are not at rest."""

    def make(arch: Architecture) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(7)
        state = build(arch).state_dict()
        for name, value in state.items():
            if not value.is_floating_point():
                continue
            noise = torch.rand(value.shape, generator=generator)
            vector = value.ndim == 1 or name.endswith("running_var")
            state[name] = noise + 0.5 if vector else (noise - 0.5) * 0.6
        return state

    return make


@pytest.fixture(scope="session")
def network(tiny: Tiny) -> Architecture:
    """One network with every operator, squeeze-and-excite, `same` padding and a linear head."""
    return tiny(blocks=tuple(BLOCKS)[:1] + tuple(BLOCKS)[3:4] + tuple(BLOCKS)[1:3], head="linear",
                padding="same")  # fmt: skip


@pytest.fixture(scope="session")
def _exported(
    network: Architecture,
    weights_of: Callable[[Architecture], dict[str, torch.Tensor]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "network"
    export_network(
        network,
        weights_of(network),
        ["architecture", "source", "weights", "pt2", "onnx"],
        folder,
        data_card=CARD,
    )
    return folder


@pytest.fixture
def exported(_exported: Path, tmp_path: Path) -> Path:
    """A folder with every format of `network`, a copy that a test may spoil."""
    return Path(shutil.copytree(_exported, tmp_path / "exported"))


CARD = {
    "source": "idx",
    "fingerprint": "0123456789ab",
    "class_names": ["shirt", 'the "bag"', "coat", "shoe", "läder"],
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 0.3],
    "images": {"train": 10},
    "val": {"value": 0.9, "low": 0.85, "high": 0.94, "correct": 90, "total": 100},
    "test": None,
}


@pytest.fixture
def card() -> dict[str, Any]:
    """A data card as training writes it."""
    return dict(CARD)


@pytest.fixture(params=list(BLOCKS))
def operator(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(HEADS))
def head(request: pytest.FixtureRequest) -> str:
    return str(request.param)
