"""Timing deployed files end to end, in the regime of the tables."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from mnas.arch import MnasError
from mnas.latency.rounds import Progress, Stopwatch, no_progress, time_interleaved
from mnas.latency.runtime import Run, Runtime, runtime_for
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
        files: Files by any name, of the format that the target's runtime runs: ONNX files for
            `onnxruntime`.
        target: Runtime, threads and batch.
        rounds: How often each file is visited, in another random order each time.
        progress: Told (done, total, what) after each timing.
        settings: How a visit is timed.
        clock: Instead of the machine's.
        seed: Decides the orders.

    Returns:
        A timing for each name, in the order of `files`.

    Raises:
        MnasError: The target's runtime runs no files, or a file cannot be run or computes with
            another dtype.
        UnknownNameError: The runtime is not known, or does not compute with the target's dtype.
    """
    runtime = runtime_for(target)
    if runtime.file_format is None:
        raise MnasError(
            f"{target.runtime}, which the target {target.name} asks for, runs no files. "
            "`time_architectures` times networks in any runtime."
        )
    times = time_interleaved(
        {name: _preparing(runtime, Path(path), target) for name, path in files.items()},
        Stopwatch(target=target, settings=settings or Settings(), clock=clock or Clock()),
        runtime,
        rounds=rounds,
        rng=random.Random(seed),
        progress=progress,
    )
    return {name: combine(passes) for name, passes in times.items()}


def _preparing(runtime: Runtime, path: Path, target: Target) -> Callable[[], Run]:
    return lambda: runtime.prepare_file(path, target)
