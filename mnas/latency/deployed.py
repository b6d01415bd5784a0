"""Timing deployed ONNX files end to end, in the regime of the tables."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from mnas.arch import MnasError
from mnas.latency.ort import prepare_file
from mnas.latency.rounds import Progress, Stopwatch, no_progress, time_interleaved
from mnas.latency.runtime import Run, runtime_for
from mnas.latency.target import Target, Timing
from mnas.latency.timing import Clock, Settings, combine


def time_networks(
    files: Mapping[str, Path],
    target: Target,
    *,
    rounds: int = 6,
    progress: Progress = no_progress,
    settings: Settings | None = None,
    clock: Clock | None = None,
    seed: int = 0,
) -> dict[str, Timing]:
    """Time deployed files end to end, interleaved, as a table's verification times networks.

    Holds the machine alone meanwhile.

    Args:
        files: ONNX files by any name.
        target: Threads and batch; its runtime must be `onnxruntime`.
        rounds: How often each file is visited, in another random order each time.
        progress: Told (done, total, what) after each timing.
        settings: How a visit is timed.
        clock: Instead of the machine's.
        seed: Decides the orders.

    Returns:
        A timing for each name, in the order of `files`.

    Raises:
        MnasError: The target is not ONNX Runtime's, or a file cannot be run or computes with
            another dtype.
        UnknownNameError: ONNX Runtime does not compute with the target's dtype here.
    """
    if target.runtime != "onnxruntime":
        raise MnasError(
            f"ONNX files are timed with onnxruntime; the target {target.name} asks for "
            f"{target.runtime}. `time_architectures` times networks in any runtime."
        )
    times = time_interleaved(
        {name: _preparing(Path(path), target) for name, path in files.items()},
        Stopwatch(target=target, settings=settings or Settings(), clock=clock or Clock()),
        runtime_for(target),
        rounds=rounds,
        rng=random.Random(seed),
        progress=progress,
    )
    return {name: combine(passes) for name, passes in times.items()}


def _preparing(path: Path, target: Target) -> Callable[[], Run]:
    return lambda: prepare_file(path, target)
