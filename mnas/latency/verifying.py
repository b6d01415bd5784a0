"""Holding a table against whole networks, timed end to end on the same device."""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mnas.arch import Architecture, count, plan
from mnas.latency.accuracy import fit_calibration, judge
from mnas.latency.device import describe_device
from mnas.latency.errors import MeasuringError, TableMismatchError
from mnas.latency.reachable import MeasurableSpace
from mnas.latency.rounds import (
    Progress,
    Stopwatch,
    no_progress,
    split_half_difference,
    time_interleaved,
)
from mnas.latency.runtime import Run, Runtime, runtime_for, runtime_names
from mnas.latency.table import LatencyTable
from mnas.latency.target import Target, Timing, VerifiedNetwork
from mnas.latency.timing import Clock, PassTime, Settings, combine

_CANDIDATES_FOR_ONE = 20  # sampled for each network that is timed, to find the fast and slow ones
_MOST_FITTED = 10
_FEWEST_NETWORKS = 3
_ROUNDS = 6  # halves of three each: one bad round does not decide


def verify_table(
    table: LatencyTable,
    space: MeasurableSpace,
    networks: int = 70,
    *,
    rounds: int = _ROUNDS,
    progress: Progress = no_progress,
    settings: Settings | None = None,
    runtime: Runtime | None = None,
    clock: Clock | None = None,
    seed: int = 0,
    force: bool = False,
) -> LatencyTable:
    """Time whole networks of a space and compare them with the table's predictions.

    Networks are spread evenly over the predicted latencies of many samples, the fastest and the
    slowest included. An affine correction is fitted on ten of them, errors are reported on the
    others. Holds the machine alone meanwhile.

    Args:
        table: What to verify; it must have been measured on this device.
        space: Where the networks come from.
        networks: How many to time; fewer if the space has fewer.
        rounds: How often each is timed, interleaved with the others; at least 2.
        progress: Told (done, total, what) after each timing.
        settings: How networks are timed.
        runtime: Instead of the one the table's target names.
        clock: Instead of the machine's.
        seed: Decides samples and orders.
        force: Verify with a space whose blocks the table did not measure, too.

    Returns:
        The table with its correction and verification; also written to its file, if it has one.

    Raises:
        TableMismatchError: The table is of another device or runtime version, of a runtime that
            mnas does not know, or of another space without whose blocks most of these networks
            would be predicted; names both sides.
        MeasuringError: The space has, or was asked for, fewer than three networks.
    """
    runtime = runtime or _runtime_of(table)
    _require_here(table, runtime)
    rng = random.Random(seed)
    chosen = spread_over_latency(table, space, networks, rng)
    if not force:
        require_measured(table, space, chosen)
    times = time_interleaved(
        {arch.id: _preparing(arch, runtime, table.target) for arch in chosen},
        Stopwatch(target=table.target, settings=settings or Settings(), clock=clock or Clock()),
        runtime,
        rounds=rounds,
        rng=rng,
        progress=progress,
    )
    verified = with_verification(table, chosen, times, rng, space=space_facts(space))
    if Path(table.source).is_file():
        verified.save(table.source)
    return verified


def time_architectures(
    architectures: Sequence[Architecture],
    target: Target,
    *,
    rounds: int = _ROUNDS,
    progress: Progress = no_progress,
    settings: Settings | None = None,
    runtime: Runtime | None = None,
    clock: Clock | None = None,
    seed: int = 0,
) -> dict[str, Timing]:
    """Time whole networks end to end, interleaved, with random weights.

    Args:
        architectures: Any; twice the same counts once.
        target: What to run them with.
        rounds: How often each is timed.
        progress: Told (done, total, what) after each timing.
        settings: How networks are timed.
        runtime: Instead of the one the target names.
        clock: Instead of the machine's.
        seed: Decides the orders.

    Returns:
        A timing for each id.
    """
    runtime = runtime or runtime_for(target)
    times = time_interleaved(
        {arch.id: _preparing(arch, runtime, target) for arch in architectures},
        Stopwatch(target=target, settings=settings or Settings(), clock=clock or Clock()),
        runtime,
        rounds=rounds,
        rng=random.Random(seed),
        progress=progress,
    )
    return {name: combine(passes) for name, passes in times.items()}


def spread_over_latency(
    table: LatencyTable, space: MeasurableSpace, networks: int, rng: random.Random
) -> list[Architecture]:
    """Sample networks and keep some that lie evenly along their predicted latencies.

    Returns:
        Distinct networks from the fastest to the slowest sampled.

    Raises:
        MeasuringError: There are fewer than three.
    """
    sampled = {
        arch.id: arch for arch in (space.sample(rng) for _ in range(_CANDIDATES_FOR_ONE * networks))
    }
    ordered = sorted(sampled.values(), key=lambda arch: (table.predict_raw_ms(arch), arch.id))
    kept = min(networks, len(ordered))
    if kept < _FEWEST_NETWORKS:
        raise MeasuringError(
            f"verifying a table needs at least {_FEWEST_NETWORKS} networks; got {kept}"
        )
    return [ordered[round(index * (len(ordered) - 1) / (kept - 1))] for index in range(kept)]


def space_facts(space: MeasurableSpace) -> dict[str, str]:
    """Which space: its name, and the digest of all that it holds."""
    return {"name": space.name, "digest": space.digest}


def require_measured(
    table: LatencyTable, space: MeasurableSpace, chosen: Sequence[Architecture]
) -> None:
    """Refuse networks of a space that the table was not measured for.

    A part of the table's space, as one of its resolutions, is measured with it.

    Raises:
        TableMismatchError: The spaces differ and blocks of the networks are missing; says how much.
    """
    share = _predicted_share(table, chosen)
    if table.space.get("digest") == space.digest or not share:
        return
    raise TableMismatchError(
        f"{table.source} was measured for the space {table.space.get('name', 'unknown')!r}; of the "
        f"networks of {space.name!r} it did not measure {100 * share:.3g} %. Measure a table for "
        f"{space.name!r}, or verify this one anyway with --force, which the table will say"
    )


def _predicted_share(table: LatencyTable, networks: Sequence[Architecture]) -> float:
    return float(np.mean([table.predict(arch).predicted_share for arch in networks]))


def with_verification(
    table: LatencyTable,
    chosen: Sequence[Architecture],
    times: Mapping[str, list[PassTime]],
    rng: random.Random,
    *,
    space: Mapping[str, str],
) -> LatencyTable:
    fitted = _choose_fitted(len(chosen), rng)
    verified = tuple(
        VerifiedNetwork(
            id=arch.id,
            resolution=arch.input.resolution,
            macs=count(arch).macs,
            predicted_ms=table.predict_raw_ms(arch),
            measured_ms=combine(times[arch.id]).ms,
            fitted=index in fitted,
        )
        for index, arch in enumerate(chosen)
    )
    on = [network for network in verified if network.fitted]
    return replace(
        table,
        calibration=fit_calibration(
            np.array([network.predicted_ms for network in on]),
            np.array([network.measured_ms for network in on]),
        ),
        verification=judge(
            verified,
            noise_floor=split_half_difference(times),
            space=space,
            predicted_share=_predicted_share(
                table, [arch for index, arch in enumerate(chosen) if index not in fitted]
            ),
        ),
    )


def _choose_fitted(networks: int, rng: random.Random) -> set[int]:
    """One network of each of ten equal stretches of latency; a third of them if there are few."""
    fitted = min(_MOST_FITTED, max(1, networks // 3))
    edges = [round(index * networks / fitted) for index in range(fitted + 1)]
    return {rng.randrange(low, high) for low, high in itertools.pairwise(edges)}


def _preparing(arch: Architecture, runtime: Runtime, target: Target) -> Callable[[], Run]:
    return lambda: runtime.prepare(plan(arch).blocks, target)


def _runtime_of(table: LatencyTable) -> Runtime:
    """The runtime of a table, which may come from another tool."""
    if table.target.runtime not in runtime_names():
        raise TableMismatchError(
            f"{table.source} was measured with {table.target.runtime!r}, which mnas cannot run "
            f"(known: {', '.join(runtime_names())}): it can be predicted from, but not verified."
        )
    return runtime_for(table.target)


def _require_here(table: LatencyTable, runtime: Runtime) -> None:
    for what, there, here in (
        ("device", table.device, describe_device()),
        ("runtime version", table.runtime_version, runtime.version),
    ):
        if there != here:
            raise TableMismatchError(
                f"{table.source} was measured with {what} {there!r}, but here it is {here!r}. "
                "Verify it there, or measure a table here with `mnas latency measure`."
            )
