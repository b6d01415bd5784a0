"""PyTorch as it is written: eager, channels_last, without gradients."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from mnas.arch import BatchNorm, PlannedBlock
from mnas.latency.errors import MeasuringError
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import Target
from mnas.nets import build_block

_NORM = BatchNorm(eps=1e-5, momentum=0.1)  # its constants do not change the time


class EagerTorch:
    """Runs modules layer by layer, as training and validation do."""

    version: str = torch.__version__
    dtypes: tuple[str, ...] = ("fp32",)
    file_format: str | None = None

    def pinned(self, target: Target) -> Pinned:
        return {"threads": target.threads, "memory_format": "channels_last", "autocast": False}

    @contextlib.contextmanager
    def hold(self, target: Target) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(target.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        module, image = module_of(blocks), image_for(blocks, target.batch)

        def run() -> object:
            with torch.inference_mode():
                return module(image)

        return run

    def prepare_file(self, path: Path, target: Target) -> Run:
        raise MeasuringError(f"PyTorch runs modules, and no file such as {path}")


RUNTIME = EagerTorch()


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
