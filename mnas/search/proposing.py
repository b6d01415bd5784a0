"""Proposals: Optuna's ask and tell over a search space, rebuilt from records after a resume."""

import json
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from mnas.arch import Architecture
from mnas.search.objectives import Direction
from mnas.search.samplers import SamplerFactory
from mnas.search.seeds import derive_seed
from mnas.space import Option, SearchSpace

# Proposals in a row that start no training (over a limit, or known) before feasible networks are
# drawn directly.
REJECTIONS_BEFORE_DIRECT = 1000
# Spaces of no more encodings are enumerated when their feasible part seems to be used up.
_ENUMERABLE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A candidate that a sampler came up with.

    Attributes:
        number: Optuna's trial number.
        choices: The active choices.
        memory: JSON of all that was suggested, to tell a rebuilt study the same.
    """

    number: int
    architecture: Architecture
    choices: Mapping[str, Option]
    memory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a sampler was told of one proposal; see `Proposer.replay`.

    Attributes:
        values: Objectives, or None for a candidate that was not trained or that failed.
        violations: Limits; above 0 is infeasible.
        failed: Its training failed.
    """

    number: int
    memory: str
    values: tuple[float, ...] | None
    violations: Mapping[str, float]
    failed: bool = False


class Proposer:
    """Asks a sampler for candidates and tells it what became of them.

    All choices of a space are suggested each time, active or not, because a multivariate sampler
    models only what all trials share; a candidate is decoded from the active ones.
    """

    def __init__(
        self,
        space: SearchSpace,
        make_sampler: SamplerFactory,
        *,
        seed: int,
        directions: tuple[Direction, ...],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._make_sampler = make_sampler
        self._seed = seed
        self._study = optuna.create_study(directions=list(directions))
        self._asked: dict[int, optuna.Trial] = {}
        self._last_started = -1
        self._next_number = 0

    def replay(self, told: Iterable[Told]) -> None:
        """Rebuild the study from records; numbers that are missing were repeats or never ended."""
        for each in sorted(told, key=lambda one: one.number):
            while self._next_number < each.number:
                self._study.add_trial(create_trial(state=TrialState.FAIL))
                self._next_number += 1
            self._study.add_trial(self._frozen(each))
            self._next_number += 1
            if each.values is not None or each.failed:
                self._last_started = each.number

    def propose(self) -> Proposal:
        """Ask for the next candidate; it may be over a limit or known already."""
        self._study.sampler = self._make_sampler(
            derive_seed(self._seed, "proposal", self._next_number)
        )
        trial = self._study.ask()
        suggested = {
            name: trial.suggest_categorical(name, options)
            for name, options in self._space.choices.items()
        }
        self._asked[trial.number] = trial
        self._next_number = trial.number + 1
        architecture = self._space.decode(suggested)
        return Proposal(
            number=trial.number,
            architecture=architecture,
            choices=self._space.encode(architecture),
            memory=json.dumps(suggested),
        )

    @property
    def wants_direct(self) -> bool:
        """Whether so many proposals in a row were of no use that feasible ones shall be drawn."""
        return self._next_number - self._last_started > REJECTIONS_BEFORE_DIRECT

    def enqueue(self, architecture: Architecture) -> None:
        """Make an architecture the next proposal."""
        self._study.enqueue_trial(dict(self._space.encode(architecture)))

    def direct_rng(self) -> random.Random:
        """The random numbers for drawing the next candidate directly."""
        return random.Random(derive_seed(self._seed, "direct", self._next_number))

    def note_started(self, number: int) -> None:
        """Its training starts: it was neither over a limit nor known."""
        self._last_started = max(self._last_started, number)

    def tell_infeasible(self, number: int, violations: Mapping[str, float]) -> None:
        """Over a limit: the sampler learns by how much, and no invented objective."""
        self._study.tell(self._constrained(number, violations), state=TrialState.PRUNED)

    def tell_result(
        self, number: int, values: tuple[float, ...], violations: Mapping[str, float]
    ) -> None:
        """Trained: the objectives, in the order of the directions."""
        self._study.tell(self._constrained(number, violations), list(values))

    def tell_nothing(self, number: int) -> None:
        """Known already (its score was told under its first number), or its training failed."""
        self._study.tell(self._asked.pop(number), state=TrialState.FAIL)

    def _constrained(self, number: int, violations: Mapping[str, float]) -> optuna.Trial:
        trial = self._asked.pop(number)
        for name, value in violations.items():
            trial.set_constraint(name, value)
        return trial

    def _frozen(self, told: Told) -> optuna.trial.FrozenTrial:
        if told.failed:
            return create_trial(state=TrialState.FAIL)
        params = json.loads(told.memory)
        return create_trial(
            state=TrialState.PRUNED if told.values is None else TrialState.COMPLETE,
            values=told.values,
            params=params,
            distributions={
                name: CategoricalDistribution(options)
                for name, options in self._space.choices.items()
            },
            constraints=dict(told.violations),
        )


def draw_unseen(
    space: SearchSpace,
    rng: random.Random,
    *,
    seen: Collection[str],
    is_feasible: Callable[[Architecture], bool],
    excess: Callable[[Architecture], float],
    questions: int,
) -> Architecture | None:
    """Draw a feasible network that was not scored yet, without a sampler.

    Args:
        space: Where to look.
        rng: Randomness.
        seen: Ids that are known.
        is_feasible: Whether a network is within every limit.
        excess: How far a network is over the limits; what to go down from a draw over one.
        questions: How many networks may be looked at.

    Returns:
        A network, or None when the space has none left: certain for spaces of no more encodings
        than `questions`, otherwise after as many looks that found nothing.
    """
    if space.size().encodings <= min(questions, _ENUMERABLE):
        left = [arch for arch in space.enumerate() if arch.id not in seen and is_feasible(arch)]
        return rng.choice(left) if left else None
    while questions > 0:
        arch = space.sample(rng)
        here, questions = excess(arch), questions - 1
        while here > 0 and questions > 0:
            lower = None
            for neighbour in _shuffled(space.neighbours(arch), rng):
                questions -= 1
                if (there := excess(neighbour)) < here or questions <= 0:
                    lower = neighbour, there
                    break
            if lower is None:
                break
            arch, here = lower
        if arch.id not in seen and is_feasible(arch):
            return arch
    return None


def _shuffled(architectures: list[Architecture], rng: random.Random) -> list[Architecture]:
    return rng.sample(architectures, len(architectures))
