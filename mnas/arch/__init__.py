"""What a network is, and every size of it, worked out once. Needs no torch."""

from mnas.arch.architecture import Architecture, BatchNorm, Input
from mnas.arch.blocks import (
    BLOCKS,
    SE,
    Block,
    ConvBlock,
    DepthwiseSeparable,
    FusedInvertedResidual,
    InvertedResidual,
    Stem,
    UniversalInvertedBottleneck,
)
from mnas.arch.counts import BlockCounts, Counts, block_counts, count, layer_macs, layer_params
from mnas.arch.errors import (
    Fault,
    InvalidArchitectureError,
    InvalidFileError,
    MnasError,
    UnknownNameError,
    did_you_mean,
)
from mnas.arch.files import UnwritableFileError, atomic_path, shipped_folder, write_atomically
from mnas.arch.heads import HeadConv, HeadItem, HeadLinear, HeadPool
from mnas.arch.keys import planned_from_key
from mnas.arch.layers import Activation, Gate, Layer, Padding
from mnas.arch.machine import MachineLockError, machine_lock
from mnas.arch.planning import (
    Plan,
    PlannedBlock,
    plan,
    plan_block,
    plan_classifier,
    plan_head,
    plan_stem,
)

__all__ = [
    "BLOCKS",
    "SE",
    "Activation",
    "Architecture",
    "BatchNorm",
    "Block",
    "BlockCounts",
    "ConvBlock",
    "Counts",
    "DepthwiseSeparable",
    "Fault",
    "FusedInvertedResidual",
    "Gate",
    "HeadConv",
    "HeadItem",
    "HeadLinear",
    "HeadPool",
    "Input",
    "InvalidArchitectureError",
    "InvalidFileError",
    "InvertedResidual",
    "Layer",
    "MachineLockError",
    "MnasError",
    "Padding",
    "Plan",
    "PlannedBlock",
    "Stem",
    "UniversalInvertedBottleneck",
    "UnknownNameError",
    "UnwritableFileError",
    "atomic_path",
    "block_counts",
    "count",
    "did_you_mean",
    "layer_macs",
    "layer_params",
    "machine_lock",
    "plan",
    "plan_block",
    "plan_classifier",
    "plan_head",
    "plan_stem",
    "planned_from_key",
    "shipped_folder",
    "write_atomically",
]
