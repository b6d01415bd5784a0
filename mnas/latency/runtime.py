"""The seam to what executes networks: one way to make a chain of blocks ready to run.

A package adds a runtime with an entry point of the group `mnas.runtimes`: the name is the
runtime's, the value an object that is a `Runtime`. Entry points are read when a name is not one of
mnas's own.
`mnas.latency.runtime_contract.RuntimeContract` holds the tests that each must pass.
"""

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mnas.arch import PlannedBlock, UnknownNameError
from mnas.arch.plug_ins import PlugIn, plug_ins
from mnas.latency.errors import InvalidRuntimeError, MissingRuntimeError
from mnas.latency.target import Target

if TYPE_CHECKING:
    from mnas.latency.timing import Clock

GROUP = "mnas.runtimes"
Run = Callable[[], object]
Pinned = Mapping[str, str | int | bool]


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

    @property
    def file_format(self) -> str | None:
        """The export format whose file `prepare_file` runs; None if it runs no files."""
        ...

    def pinned(self, target: Target) -> Pinned:
        """What the runtime is set to for a target, for the header of a table.

        Args:
            target: Threads and dtype.

        Raises:
            MeasuringError: It cannot run such a target, such as one with several threads.
        """
        ...

    def hold(self, target: Target) -> AbstractContextManager["Clock | None"]:
        """Set for the whole process what the target asks for, and put it back at the end.

        Args:
            target: What everything prepared and run meanwhile is run with.

        Returns:
            A context that gives the clock of the device where what is run computes; None for
            the thread that calls.
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

    def prepare_file(self, path: Path, target: Target) -> Run:
        """Make a deployed file ready to run on random images.

        Args:
            path: A file of the format `file_format`.
            target: Threads, dtype and batch to run it with.

        Raises:
            MnasError: It cannot be run so; says why.
        """
        ...


# Modules that hold an object `RUNTIME`, loaded when asked for: each needs a heavy library.
RUNTIMES: dict[str, str] = {
    "onnxruntime": "mnas.latency.ort",
    "torch": "mnas.latency.eager",
    "torch-cuda": "mnas.latency.cuda",
    "openvino": "mnas.latency.openvino_cpu",
    "ncnn": "mnas.latency.ncnn_cpu",
    "litert": "mnas.latency.litert_cpu",
}
EXTRAS = (
    "openvino",
    "ncnn",
    "litert",
)  # an extra of mnas by the runtime's name installs what it needs


def runtime_for(target: Target) -> Runtime:
    """Find the runtime a target names.

    Raises:
        UnknownNameError: The runtime, or the dtype for this runtime, is not known; lists those
            that are.
        MissingRuntimeError: Its package is not installed; says how to install it.
        InvalidRuntimeError: An installed package adds one that is none.
    """
    runtime = _load(target.runtime)
    if target.dtype not in runtime.dtypes:
        raise UnknownNameError(f"dtype of {target.runtime}", target.dtype, runtime.dtypes)
    return runtime


def runtime_names() -> tuple[str, ...]:
    """Every runtime: those of mnas first, then those of installed packages."""
    return (*RUNTIMES, *added_runtimes())


def runtime_problems(runtime: Any) -> list[str]:
    """What keeps an object from being a runtime."""
    problems = [
        f"needs a method `{name}`"
        for name in ("pinned", "hold", "prepare", "prepare_file")
        if not callable(getattr(runtime, name, None))
    ]
    dtypes = getattr(runtime, "dtypes", None)
    if not isinstance(dtypes, tuple) or not dtypes or not all(isinstance(d, str) for d in dtypes):
        problems.append("`dtypes` must be a tuple of names")
    if not isinstance(getattr(runtime, "file_format", ""), str | None):
        problems.append("`file_format` must be the name of an export format, or None")
    if not hasattr(type(runtime), "version") and not hasattr(runtime, "version"):
        problems.append("needs a `version`")
    return problems


def _load(name: str) -> Runtime:
    if name not in RUNTIMES:
        return _load_added(name)
    try:
        found: Runtime = importlib.import_module(RUNTIMES[name]).RUNTIME
    except (ImportError, OSError) as error:
        if name not in EXTRAS:
            raise
        raise MissingRuntimeError(
            f"the runtime {name} is not installed here ({error}): pip install 'mnas[{name}]'"
        ) from error
    return found


def _load_added(name: str) -> Runtime:
    entry = added_runtimes().get(name)
    if entry is None:
        raise UnknownNameError("runtime", name, runtime_names())
    runtime = entry.load()
    problems = runtime_problems(runtime)
    if problems:
        raise InvalidRuntimeError("\n  ".join([f"{entry.where}:", *problems]))
    found: Runtime = runtime
    return found


@functools.cache
def added_runtimes() -> Mapping[str, PlugIn]:
    """What installed packages add, by name.

    Raises:
        InvalidRuntimeError: Two have one name, or one has that of mnas's own.
    """
    return plug_ins(GROUP, "runtime", taken=RUNTIMES, error=InvalidRuntimeError)
