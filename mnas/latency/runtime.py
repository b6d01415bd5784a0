"""The seam to what executes networks: one way to make a chain of blocks ready to run."""

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from mnas.arch import PlannedBlock, UnknownNameError
from mnas.latency.target import Target

if TYPE_CHECKING:
    from mnas.latency.timing import Clock

Run = Callable[[], object]


class Runtime(Protocol):
    """Executes chains of planned blocks."""

    @property
    def version(self) -> str:
        """The runtime's own version."""
        ...

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Number types it can compute with."""
        ...

    def hold(self, target: Target) -> AbstractContextManager["Clock | None"]:
        """Set for the whole process what the target asks for, and put it back at the end.

        Args:
            target: What everything prepared and run meanwhile is run with.

        Returns:
            A context that gives the clock of the device where what is run computes; None for
            this machine's processor.
        """
        ...

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Run:
        """Make blocks ready to run.

        Args:
            blocks: One block, a whole network, or none: then the call that computes nothing.
            target: Threads, dtype and batch to run them with.

        Returns:
            A function that runs them once, on prepared input, and waits for the end.
        """
        ...


# Modules that hold an object `RUNTIME`, loaded when asked for: each needs a heavy library.
RUNTIMES: dict[str, str] = {
    "onnxruntime": "mnas.latency.ort",
    "torch": "mnas.latency.eager",
    "torch-cuda": "mnas.latency.cuda",
}


def runtime_for(target: Target) -> Runtime:
    """Find the runtime a target names.

    Raises:
        UnknownNameError: The runtime, or the dtype for this runtime, is not known; lists those
            that are.
    """
    if target.runtime not in RUNTIMES:
        raise UnknownNameError("runtime", target.runtime, RUNTIMES)
    runtime: Runtime = importlib.import_module(RUNTIMES[target.runtime]).RUNTIME
    if target.dtype not in runtime.dtypes:
        raise UnknownNameError(f"dtype of {target.runtime}", target.dtype, runtime.dtypes)
    return runtime
