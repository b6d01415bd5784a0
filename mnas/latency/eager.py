"""PyTorch as it is written: eager, channels_last, without gradients."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.backends import mkldnn

from mnas.arch import BatchNorm, PlannedBlock
from mnas.latency.errors import MeasuringError
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target
from mnas.nets import build_block

_NORM = BatchNorm(eps=1e-5, momentum=0.1)  # its constants do not change the time

_PRECISION = "ieee"  # neither bf16 nor TF32 inside of products and convolutions
_FAST_MATH = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")


class EagerTorch:
    """Runs modules layer by layer, as training and validation do."""

    version: str = torch.__version__
    dtypes: tuple[str, ...] = ("fp32",)
    file_format: str | None = None

    def pinned(self, target: Target) -> Pinned:
        return {
            "threads": target.threads,
            "memory_format": "channels_last",
            "autocast": False,
            "fp32_precision": _PRECISION,
            "onednn_fast_math": False,
        }

    @contextlib.contextmanager
    def hold(self, target: Target) -> Iterator[None]:
        """Pin threads and precision: processors that can would compute fp32 in bf16 or TF32.

        Raises:
            MeasuringError: The environment tells oneDNN to use fast math, which no call takes back.
        """
        _refuse_fast_math()
        # torch's stubs leave these two out of the module.
        parts: tuple[Any, ...] = (mkldnn.matmul, mkldnn.conv)  # type: ignore[attr-defined]
        threads, before = torch.get_num_threads(), [part.fp32_precision for part in parts]
        torch.set_num_threads(target.threads)
        for part in parts:
            part.fp32_precision = _PRECISION
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            for part, precision in zip(parts, before, strict=True):
                part.fp32_precision = precision

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        module, image = module_of(blocks), image_for(blocks, target.batch)

        def run() -> object:
            with torch.inference_mode():
                return module(image)

        return run

    def prepare_file(self, path: Path, target: Target) -> Run:
        raise MeasuringError(f"PyTorch runs modules, and no file such as {path}")


RUNTIME = EagerTorch()


def _refuse_fast_math() -> None:
    for name in _FAST_MATH:
        mode = os.environ.get(name, "STRICT")
        if mode.upper() != "STRICT":
            raise MeasuringError(
                f"{name}={mode} lets PyTorch compute fp32 with fewer bits, so this would be no "
                f"table of fp32: unset it (or {name}=STRICT) and measure again"
            )


def module_of(blocks: Sequence[PlannedBlock]) -> nn.Module:
    """A chain of blocks with random weights, ready for inference."""
    modules = [build_block(block, _NORM) for block in blocks]
    module = modules[0] if len(modules) == 1 else nn.Sequential(*modules)
    # torch's stubs leave memory_format out of Module.to.
    found: nn.Module = module.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return found


def image_for(blocks: Sequence[PlannedBlock], batch: int) -> torch.Tensor:
    """A random input of a chain of blocks, channels last."""
    if not blocks or blocks[0].size is None:
        return torch.randn(batch, blocks[0].in_channels if blocks else 1)
    size = blocks[0].size
    shape = (batch, blocks[0].in_channels, size, size)
    return torch.randn(shape).to(memory_format=torch.channels_last)
