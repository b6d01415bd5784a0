"""Where a training computes: processors, or one NVIDIA GPU in mixed precision."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from mnas.arch import MnasError

DeviceName = Literal["cpu", "cuda"]


class DeviceError(MnasError):
    """The device that was asked for is not here; says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device and the precision of its forward pass.

    Attributes:
        place: torch's device.
        autocast: The type of convolutions and matrices in the forward pass (Micikevicius et al.
            2017, arXiv:1710.03740); None computes everything in fp32. Weights, the optimiser and
            whatever judges a network are fp32 in any case.
    """

    place: torch.device
    autocast: torch.dtype | None = None

    @property
    def name(self) -> str:
        """What decides rounding, for a training's identity: `cpu`, `cuda bfloat16`."""
        parts = [self.place.type]
        if self.autocast is not None:
            parts.append(str(self.autocast).removeprefix("torch."))
        return " ".join(parts)

    @property
    def scales_gradients(self) -> bool:
        """Whether small gradients would vanish: fp16 has 5 bits of exponent, bfloat16 all 8."""
        return self.autocast == torch.float16

    def computing(self) -> contextlib.AbstractContextManager[object]:
        """Within it, a forward pass has the device's precision."""
        return torch.autocast(
            self.place.type, dtype=self.autocast, enabled=self.autocast is not None
        )

    def seed(self, seed: int) -> None:
        """Start what the device draws by itself, such as dropout, from a seed."""
        if self.place.type == "cuda":
            with torch.cuda.device(self.place):
                torch.cuda.manual_seed(seed)


CPU = Device(place=torch.device("cpu"))


def device_of(name: DeviceName, index: int = 0) -> Device:
    """The device of that name, in the best precision it trains in.

    Args:
        name: `cpu`, or `cuda` for an NVIDIA GPU.
        index: Which of the GPUs that this process may see.

    Raises:
        DeviceError: There is no such GPU.
    """
    if name == "cpu":
        return CPU
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= found:
        raise DeviceError(
            f"no GPU number {index + 1} for training: PyTorch {torch.__version__} finds "
            f"{found or 'none'}; `nvidia-smi` must list it, and PyTorch must be one with CUDA"
        )
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Device(
        place=torch.device("cuda", index), autocast=torch.bfloat16 if bf16 else torch.float16
    )


def device_of_module(module: nn.Module) -> torch.device:
    """Where a network's weights lie."""
    return next(module.parameters()).device


@contextlib.contextmanager
def repeatable(device: Device) -> Iterator[None]:
    """Let a GPU give the same bits each time, and restore what was; a CPU does so by itself."""
    if device.place.type != "cuda":
        yield
        return
    # cuBLAS reads it when it starts: its results are repeatable only with a fixed work space
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    was = torch.are_deterministic_algorithms_enabled()
    was_warning = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn.deterministic, cudnn.benchmark = True, False
    cudnn.allow_tf32 = matmul.allow_tf32 = False  # judging is fp32, as the exported file is
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before
        torch.use_deterministic_algorithms(was, warn_only=was_warning)
