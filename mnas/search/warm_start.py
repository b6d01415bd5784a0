"""What a search begins with: scores of earlier runs, and published networks to try first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mnas.arch import Architecture, InvalidArchitectureError
from mnas.results import Run
from mnas.search.overrides import InvalidExperimentError
from mnas.search.sections import PUBLISHED
from mnas.search.seeds import derive_seed
from mnas.space import SearchSpace, load_published, published, scaled
from mnas.training import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A score that an earlier run found, and the name of that run."""

    score: Score
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What a search begins with.

    Attributes:
        first: Architectures to propose before the sampler is asked, in order.
        scores: By architecture id and epochs: what needs no training here.
    """

    first: tuple[Architecture, ...] = ()
    scores: Mapping[tuple[str, int], Known] = field(default_factory=dict)

    def find(self, architecture_id: str, epochs: int) -> Known | None:
        """The score of an architecture after so many epochs, if an earlier run has it."""
        return self.scores.get((architecture_id, epochs))


NOTHING_EARLIER = Earlier()


def read_warm_start(
    entries: Iterable[str],
    space: SearchSpace,
    *,
    hashes: Mapping[str, str],
    epochs: tuple[int, ...],
    seed: int,
) -> Earlier:
    """Read what an experiment's `warm_start` names; nothing of a run is imported or executed.

    Args:
        entries: Folders of runs, and the word `published`.
        space: What lies outside it is left out.
        hashes: Of the `data` and the `recipe` of the new run: scores of others say nothing here.
        epochs: The rungs of the new run; scores after other numbers of epochs are left out.
        seed: Of the new run: where several earlier scores answer one question, the one with the
            seed that the new run would use is taken, else the first.

    Raises:
        RunError: A folder is no run.
        InvalidExperimentError: A run was made with other data or another recipe; names both.
    """
    first: dict[str, Architecture] = {}
    scores: dict[tuple[str, int], Known] = {}
    for entry in entries:
        if entry == PUBLISHED:
            first |= {arch.id: arch for arch in published_inside(space)}
            continue
        run = Run.load(entry)
        _refuse_other_scores(run, entry, hashes)
        for record in run.evaluations:
            place = record.id, record.epochs
            if record.kind != "trial" or record.accuracy is None or record.epochs not in epochs:
                continue
            is_own = record.seed == derive_seed(seed, record.id, 0)
            if place in scores and not is_own:
                continue
            if record.id not in first:
                arch = run.architecture(record.id)
                if not space.contains(arch):
                    continue
                first[arch.id] = arch
            score = Score(
                accuracy=record.accuracy,
                epochs=record.epochs,
                seed=record.seed,
                seconds=0.0,  # this run spends nothing on it
                state="complete",
                reason=None,
            )
            scores[place] = Known(score=score, run=Path(entry).name)
    return Earlier(first=tuple(first.values()), scores=scores)


def published_inside(space: SearchSpace) -> list[Architecture]:
    """The published networks that the space holds, for its classes, channels and resolutions."""
    own = space.cheapest(lambda block: 1.0)
    found = []
    for name in published():
        for resolution in space.resolutions:
            try:
                arch = scaled(
                    load_published(name),
                    width=1.0,
                    resolution=resolution,
                    num_classes=own.num_classes,
                    channels=own.input.channels,
                )
            except InvalidArchitectureError:
                continue  # too many strides for so small an image
            if space.contains(arch):
                found.append(arch)
    return found


def _refuse_other_scores(run: Run, entry: str, hashes: Mapping[str, str]) -> None:
    theirs = run.environment.get("hashes") or {}
    for name in ("data", "recipe"):
        if theirs.get(name) != hashes[name]:
            raise InvalidExperimentError(
                f"warm_start: {entry} was scored with other content: its {name} is "
                f"{theirs.get(name) or 'unknown'!s:.12}, here it is {hashes[name]:.12}. Accuracies "
                "of different data or recipes do not compare: leave that run out."
            )
