"""What a network is, and every size of it, worked out once. Needs no torch."""

from mnas.arch.architecture import Architecture, BatchNorm, Input
from mnas.arch.block_contract import BlockContract
from mnas.arch.blocks import (
    BLOCKS,
    ConvBlock,
    DepthwiseSeparable,
    FusedInvertedResidual,
    InvertedResidual,
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
    not_an_architecture,
)
from mnas.arch.files import (
    UnwritableFileError,
    atomic_path,
    cache_folder,
    shipped_folder,
    write_atomically,
)
from mnas.arch.heads import HeadConv, HeadItem, HeadLinear, HeadPool
from mnas.arch.keys import planned_from_key
from mnas.arch.layers import (
    Activate,
    Activation,
    Conv,
    Gate,
    Layer,
    Norm,
    Padding,
    conv_norm,
    depthwise,
)
from mnas.arch.machine import MachineLockError, machine_lock
from mnas.arch.operators import (
    BY_PACKAGES,
    InvalidBlockOperatorError,
    OperatorField,
    block_operator,
    block_operators,
    block_problems,
    operator_fields,
)
from mnas.arch.pieces import SE, Block, Problems, Stem, squeeze_excite
from mnas.arch.planning import (
    Plan,
    PlannedBlock,
    plan,
    plan_block,
    plan_classifier,
    plan_head,
    plan_stem,
)
from mnas.arch.timm_file import InvalidTimmTextError, read_timm_text, timm_text
from mnas.arch.timm_notation import NoTimmTextError

__all__ = [
    "BLOCKS",
    "BY_PACKAGES",
    "SE",
    "Activate",
    "Activation",
    "Architecture",
    "BatchNorm",
    "Block",
    "BlockContract",
    "BlockCounts",
    "Conv",
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
    "InvalidBlockOperatorError",
    "InvalidFileError",
    "InvalidTimmTextError",
    "InvertedResidual",
    "Layer",
    "MachineLockError",
    "MnasError",
    "NoTimmTextError",
    "Norm",
    "OperatorField",
    "Padding",
    "Plan",
    "PlannedBlock",
    "Problems",
    "Stem",
    "UniversalInvertedBottleneck",
    "UnknownNameError",
    "UnwritableFileError",
    "atomic_path",
    "block_counts",
    "block_operator",
    "block_operators",
    "block_problems",
    "cache_folder",
    "conv_norm",
    "count",
    "depthwise",
    "did_you_mean",
    "layer_macs",
    "layer_params",
    "machine_lock",
    "not_an_architecture",
    "operator_fields",
    "plan",
    "plan_block",
    "plan_classifier",
    "plan_head",
    "plan_stem",
    "planned_from_key",
    "read_timm_text",
    "shipped_folder",
    "squeeze_excite",
    "timm_text",
    "write_atomically",
]
