"""Published networks, scaled to a budget as well as width and resolution let them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnas.arch import Architecture, InvalidArchitectureError, InvalidFileError
from mnas.results import RecordStore
from mnas.search.executors import Executor
from mnas.search.experiment import Experiment
from mnas.search.limits import Limits
from mnas.search.observing import Observer, Step
from mnas.search.performing import perform_all
from mnas.search.recording import evaluation_record
from mnas.search.seeds import derive_seed
from mnas.search.stopping import StopRequest
from mnas.search.work import Task
from mnas.space import SearchSpace, load_published, scaled
from mnas.training import Score

# The multipliers that the MobileNet papers publish, and finer ones below for tight budgets.
WIDTHS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 1.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A published network at the widths and resolutions it may be compared at.

    Attributes:
        name: Published name, or the name in its file.
        variants: Every scaled version that can be built, from small to large.
    """

    name: str
    variants: tuple[Architecture, ...]

    def within(self, limits: Limits) -> tuple[Architecture, ...]:
        """For each resolution the widest version within every limit; empty if none is."""
        best: dict[int, Architecture] = {}
        for variant in self.variants:
            if limits.assess(variant).is_feasible:
                best[variant.input.resolution] = variant
        return tuple(best.values())

    def narrower_than(self, variant: Architecture) -> tuple[Architecture, ...]:
        """The narrower versions at the same resolution, the widest of them first."""
        resolution = variant.input.resolution
        group = [each for each in self.variants if each.input.resolution == resolution]
        return tuple(reversed(group[: group.index(variant)]))


def scaled_baselines(
    names: Iterable[str], space: SearchSpace, *, num_classes: int, channels: int
) -> tuple[Baseline, ...]:
    """Scale published networks to the resolutions of a space.

    Args:
        names: Published names, or paths of architecture documents.
        space: Gives the resolutions; a baseline is not shown larger images than the candidates.
        num_classes: Of the data.
        channels: Of the data's images.

    Raises:
        UnknownNameError: A name is not published; names the known ones.
        InvalidFileError: A document cannot be read.
    """
    baselines = []
    for name in names:
        published = _document(Path(name)) if name.endswith(".json") else load_published(name)
        variants = tuple(_variants(published, space.resolutions, num_classes, channels))
        baselines.append(Baseline(name=published.name, variants=variants))
    return tuple(baselines)


def _variants(
    published: Architecture, resolutions: Iterable[int], num_classes: int, channels: int
) -> Iterator[Architecture]:
    seen = set()
    for width in WIDTHS:
        for resolution in resolutions:
            try:
                variant = scaled(
                    published,
                    width=width,
                    resolution=resolution,
                    num_classes=num_classes,
                    channels=channels,
                )
            except InvalidArchitectureError:
                continue  # too many strides for so small an image
            if variant.id not in seen:
                seen.add(variant.id)
                yield variant


def _document(path: Path) -> Architecture:
    try:
        return Architecture.from_json(path.read_bytes())
    except OSError as error:
        raise InvalidFileError(f"cannot read the baseline {path}: {error.strerror}") from None


def score_baselines(
    baselines: Sequence[Baseline],
    experiment: Experiment,
    *,
    limits: Limits,
    store: RecordStore,
    executor: Executor,
    observer: Observer,
    stop: StopRequest,
) -> list[tuple[Architecture, ...]]:
    """Find for each published network the scaled version that its proxy prefers.

    For each resolution the widest version within the limits gets the proxy's top rung; what is
    recorded is not trained again.

    Returns:
        For each published network that has a version within the limits: the preferred one, then
        narrower ones that take its place if it measures over the budget.
    """
    versions = [each.within(limits) for each in baselines]
    every = {arch.id: arch for group in versions for arch in group}
    rung = len(experiment.proxy.epochs) - 1
    scores = {
        record.id: record.accuracy or 0.0
        for record in store.all()
        if record.kind == "baseline" and record.rung is not None
    }
    waiting = [pair for pair in enumerate(every.values()) if pair[1].id not in scores]

    def keep(index: int, score: Score, started: str) -> None:
        number, arch = waiting[index]
        record = evaluation_record(
            arch,
            limits.assess(arch),
            number=number,
            kind="baseline",
            score=score,
            rung=rung,
            started=started,
        )
        store.add(record, arch)
        scores[arch.id] = score.accuracy or 0.0
        observer(Step(phase="baselines", done=index + 1, total=len(waiting), text=arch.name))

    tasks = [
        Task(
            architecture=arch,
            stage="proxy",
            epochs=experiment.proxy.epochs[rung],
            seed=derive_seed(experiment.search.seed, arch.id, 0),
        )
        for _, arch in waiting
    ]
    perform_all(tasks, executor, stop, keep)
    preferred = [
        (baseline, max(group, key=lambda arch: scores.get(arch.id, 0.0)))
        for baseline, group in zip(baselines, versions, strict=True)
        if group
    ]
    return [(arch, *baseline.narrower_than(arch)) for baseline, arch in preferred]
