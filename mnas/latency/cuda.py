"""PyTorch on an NVIDIA GPU, timed by the device's own events."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from mnas.arch import PlannedBlock
from mnas.latency.eager import image_for, module_of
from mnas.latency.errors import MeasuringError
from mnas.latency.runtime import Pinned, Run
from mnas.latency.target import COLD, Target
from mnas.latency.timing import Clock

_SECONDS = 1e-3


class CudaTorch:
    """Runs modules layer by layer on the first GPU; its clock is the sum of CUDA events.

    An event is recorded before the first kernel and one after the last, so a network that waits
    for its kernels to be launched pays for that, as it does when it is deployed. TF32 stays off:
    fp32 is what the table says.
    """

    dtypes: tuple[str, ...] = ("fp32",)
    file_format: str | None = None

    def __init__(self) -> None:
        self._seconds = 0.0

    @property
    def version(self) -> str:
        """Version of PyTorch and CUDA, and which GPU: a table is of one of them.

        Raises:
            MeasuringError: There is no GPU that PyTorch can use.
        """
        if not torch.cuda.is_available():
            raise MeasuringError(
                f"the runtime torch-cuda needs an NVIDIA GPU, and PyTorch {torch.__version__} "
                "finds none here. Measure on a machine that has one with a CUDA build of "
                "PyTorch, or with --runtime torch."
            )
        return f"{torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"

    def pinned(self, target: Target) -> Pinned:
        if target.regime == COLD:
            raise MeasuringError(
                "the runtime torch-cuda has no regime cold: filling the processor's caches leaves "
                "those of the GPU as they are. Measure with --regime steady."
            )
        return {"memory_format": "channels_last", "autocast": False, "tf32": False}

    @contextlib.contextmanager
    def hold(self, target: Target) -> Iterator[Clock]:
        """Switch TF32 off and give the GPU's clock."""
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield Clock(cpu=lambda: self._seconds)
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        module = module_of(blocks).to("cuda")
        image = image_for(blocks, target.batch).to("cuda")
        # torch's stubs leave the types out of Event.
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

        def run() -> object:
            start.record()
            with torch.inference_mode():
                answer = module(image)
            end.record()
            end.synchronize()
            self._seconds += start.elapsed_time(end) * _SECONDS
            return answer

        return run

    def prepare_file(self, path: Path, target: Target) -> Run:
        raise MeasuringError(f"PyTorch runs modules, and no file such as {path}")


RUNTIME = CudaTorch()
