"""`mnas search --dry-run`: what a search would cost and whether it can succeed."""

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnas.arch import Architecture, count
from mnas.latency import LatencyTable, find_table, plan_measurement
from mnas.search.confirming import most_timed_at_once
from mnas.search.experiment import load_experiment
from mnas.search.ground import Ground
from mnas.search.limits import Limits
from mnas.search.observing import Observer, Step, ignore
from mnas.search.pace import try_pace
from mnas.search.preparing import (
    limits_of,
    objectives_of,
    prepare,
    refuse_impossible_limits,
)
from mnas.search.sections import INLINE, TargetSection, WorkersSection
from mnas.search.tables import NETWORKS_TO_VERIFY, target_of
from mnas.space import SearchSpace

_SAMPLES = 2000
_ROUNDS, _PARENTS = 50, 64  # of mutation, to find a large network within the limits


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePreview:
    """What is known of a target before the search.

    Attributes:
        path: The table that would be used; None if it would be measured first.
        blocks: Blocks to measure; 0 if none.
        seconds: Estimated time of measuring them.
        verdict: What the table says of itself; None if it is not verified or not measured.
        address: Where the device is.
        python: Runs the agent there, if it is behind ssh; None for `python3`.
        networks: Whole networks that go there, where it is another device: to verify a table,
            and those of the comparison, of which there are more if many measure over the budget.
    """

    target: str
    address: str
    python: str | None
    networks: int
    path: str | None
    blocks: int
    seconds: float
    verdict: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a search would do.

    Attributes:
        encodings: Combinations of active choices in the space.
        architectures: Distinct networks in it; None past what is counted.
        params: Lowest and highest parameters among the samples.
        macs: Lowest and highest multiply-accumulates among the samples.
        feasible_share: Share of uniform samples within every limit; None while a table is missing.
        fastest_id: Id of the fastest network of the space on the first target; None as above.
        fastest_ms: Its predicted latency in milliseconds.
        largest_id: Id of the network with the most parameters that was found within every
            limit: the most accurate-looking one, since larger networks are mostly the more
            accurate ones; None as above, or where none was found.
        largest_ms: Its predicted latency on the first target, in milliseconds.
        largest_params: Its parameters.
        images: Training images of one epoch.
        epochs: Most epochs of training the search and the comparison can take, in all.
        trials_seconds: Estimated wall time of the trials, with the workers the experiment asks
            for, from a few steps of training here, the filter's scores included; None if no
            network could be tried.
        comparison_seconds: The same of the comparison's trainings.
        tables: For each target its table.
    """

    name: str
    encodings: int
    architectures: int | None
    params: tuple[int, int]
    macs: tuple[int, int]
    feasible_share: float | None
    fastest_id: str | None
    fastest_ms: float | None
    largest_id: str | None
    largest_ms: float | None
    largest_params: int | None
    images: int
    epochs: int
    trials_seconds: float | None
    comparison_seconds: float | None
    tables: tuple[TablePreview, ...]


def preview_search(
    path: str | Path, overrides: Iterable[str] = (), *, observer: Observer = ignore
) -> Preview:
    """Look at a search before anything is spent: a few steps of training tell its time here.

    Args:
        path: As for `run_search`.
        overrides: As for `run_search`.
        observer: Is told what is read.

    Raises:
        BudgetError: A table is there and says that no network can meet the budget.
        MnasError: What the experiment names is not there or not what it should be.
    """
    experiment = load_experiment(path, overrides)
    prepared = prepare(experiment, observer)
    space, also = prepared.space, prepared.also
    previews: list[TablePreview] = []
    tables: dict[str, LatencyTable] = {}
    for section in experiment.targets:
        target = target_of(section)
        if section.table == "auto":
            table = find_table(space, target, also, address=section.place)
        else:
            table = LatencyTable.load(section.table)
        if table is not None:
            table.require(target)
            tables[section.name] = table
        compared = most_timed_at_once(experiment) if section is experiment.target else 0
        previews.append(_table_preview(section, table, space, also, compared=compared))
    rng = random.Random(experiment.search.seed)
    samples = [space.sample(rng) for _ in range(_SAMPLES)]
    counts = [count(arch) for arch in samples]
    share = fastest_id = fastest_ms = None
    within, largest = samples, None
    if len(tables) == len(experiment.targets):
        limits: Limits = limits_of(experiment, tables)
        refuse_impossible_limits(space, limits)
        within = [arch for arch in samples if limits.assess(arch).is_feasible]
        share = len(within) / _SAMPLES
        largest = _largest_of(Ground(space, limits, objectives_of(experiment)))
        first = tables[experiment.target.name]
        fastest = space.cheapest(first.block_ms)
        fastest_id, fastest_ms = fastest.id, first.predict(fastest).ms
    observer(Step(phase="pace", text="a few steps of training, to tell how long it takes here"))
    tried = sorted(within or samples, key=lambda arch: (count(arch).macs, arch.id))
    pace = try_pace(tried[len(tried) // 2], prepared.data, experiment)
    workers = _trainings_at_once(experiment.workers)
    size = space.size()
    confirm = experiment.confirm
    contenders = confirm.top + len(experiment.baselines)
    return Preview(
        name=experiment.name,
        encodings=size.encodings,
        architectures=size.architectures,
        params=(min(c.params for c in counts), max(c.params for c in counts)),
        macs=(min(c.macs for c in counts), max(c.macs for c in counts)),
        feasible_share=share,
        fastest_id=fastest_id,
        fastest_ms=fastest_ms,
        largest_id=None if largest is None else largest.id,
        largest_ms=None if largest is None else first.predict(largest).ms,
        largest_params=None if largest is None else count(largest).params,
        trials_seconds=None
        if pace is None
        else pace.seconds_of_trials(experiment, prepared.data) / workers
        + pace.seconds_of_filter(experiment),
        comparison_seconds=None
        if pace is None
        else pace.seconds_of_comparison(experiment, prepared.data) / workers,
        images=experiment.proxy.samples or len(prepared.data.train),
        epochs=experiment.search.trials * experiment.proxy.epochs[-1]
        + contenders * confirm.seeds * confirm.epochs,
        tables=tuple(previews),
    )


def _largest_of(ground: Ground) -> Architecture | None:
    """The most parameters within every limit that random networks and their mutants come to."""
    rng = np.random.default_rng(0)
    found = ground.feasible(_SAMPLES, rng)
    for _ in range(_ROUNDS):
        found = found[np.argsort(-found.sizes[:, 0], kind="stable")[:_PARENTS]]
        born = ground.look(ground.compiled.mutate(found.rows.repeat(4, axis=0), rng))
        found = found.joined(born[born.is_feasible])
    return ground.compiled.decode(found.rows[found.sizes[:, 0].argmax()]) if len(found) else None


def _trainings_at_once(workers: WorkersSection) -> int:
    """Workers that truly train side by side: on one machine no more than it has processors for."""
    if workers.address == INLINE:
        return 1
    if workers.address is not None:
        return workers.count
    return max(1, min(workers.count, (os.cpu_count() or 1) // workers.cpus))


def _table_preview(
    section: TargetSection,
    table: LatencyTable | None,
    space: SearchSpace,
    also: tuple[Architecture, ...],
    *,
    compared: int,
) -> TablePreview:
    found = None if table is None else table.verification
    measuring = None if table is not None else plan_measurement(space, target_of(section), also)
    is_verified_first = section.table == "auto" and found is None
    return TablePreview(
        target=section.name,
        address=section.address,
        python=section.python,
        networks=0
        if section.is_here
        else compared + (NETWORKS_TO_VERIFY if is_verified_first else 0),
        path=None if table is None else str(table.source),
        blocks=0 if measuring is None else measuring.blocks,
        seconds=0.0 if measuring is None else measuring.seconds,
        verdict=None if found is None else found.verdict,
    )
