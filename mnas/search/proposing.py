"""Proposals: Optuna's ask and tell over a search space, rebuilt from records after a resume."""

import json
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from mnas.arch import Architecture
from mnas.search.objectives import Direction
from mnas.search.row_sampler import SCORES
from mnas.search.samplers import SamplerFactory
from mnas.search.seeds import derive_seed
from mnas.space import Option, SearchSpace

# Proposals in a row that start no training (over a limit, or known) before feasible networks are
# drawn directly.
REJECTIONS_BEFORE_DIRECT = 1000
# Spaces of no more encodings are enumerated when their feasible part seems to be used up.
_ENUMERABLE = 20_000
# A study of so many trials is begun anew with the latest of them: what Optuna keeps of a trial and
# what TPE makes of all of them would grow for ever. Our own samplers remember by themselves.
MOST_TRIALS = 5000
KEPT_TRIALS = 2500
# Repeats and failures, which tell a sampler nothing, are not among those.


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A candidate that a sampler came up with.

    Attributes:
        number: Optuna's trial number.
        choices: The active choices.
        memory: JSON of all that was suggested (`choices`), and of what the sampler noted of the
            trial (`notes`), to tell a rebuilt study the same.
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
        scores: One for each rung that it finished, the lowest first.
        violations: Limits; above 0 is infeasible.
        failed: Its training failed.
    """

    number: int
    memory: str
    values: tuple[float, ...] | None
    scores: tuple[float, ...]
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
        self._directions = directions
        self._distributions = {
            name: CategoricalDistribution(options) for name, options in space.choices.items()
        }
        self._study = self._new_study()
        self._held = 0  # proposals that the study holds
        self._wanted: dict[str, Option] | None = None  # what is proposed next by others
        self._asked: dict[int, tuple[optuna.Study, optuna.Trial]] = {}
        self._last_started = -1
        self._next_number = 0

    def replay(self, told: Iterable[Told]) -> None:
        """Rebuild the study from records; numbers that are missing were repeats or never ended."""
        for each in sorted(told, key=lambda one: one.number):
            while self._next_number < each.number:
                self._begin_next()
                self._study.add_trial(create_trial(state=TrialState.FAIL))
            self._begin_next()
            frozen = self._frozen(each)
            self._study.add_trial(frozen)
            # A rebuilt sampler hears what it would have heard when the trial ended.
            frozen.number = each.number
            self._study.sampler.after_trial(self._study, frozen, frozen.state, each.values)
            if each.values is not None or each.failed:
                self._last_started = each.number

    def propose(self) -> Proposal:
        """Ask for the next candidate; it may be over a limit or known already."""
        number = self._begin_next()
        self._study.sampler = self._make_sampler(derive_seed(self._seed, "proposal", number))
        if self._wanted is not None:  # not earlier: the study may have been begun anew
            self._study.enqueue_trial(self._wanted)
            self._wanted = None
        trial = self._study.ask()
        suggested = {
            name: trial.suggest_categorical(name, distribution.choices)
            for name, distribution in self._distributions.items()
        }
        self._asked[number] = self._study, trial
        notes = self._study.get_trials(deepcopy=False)[trial.number].system_attrs
        architecture = self._space.decode(suggested)
        return Proposal(
            number=number,
            architecture=architecture,
            choices=self._space.encode(architecture),
            memory=json.dumps({"choices": suggested, "notes": dict(notes)}),
        )

    def _new_study(self) -> optuna.Study:
        return optuna.create_study(
            directions=list(self._directions),
            sampler=self._make_sampler(derive_seed(self._seed, "proposal", 0)),
        )

    def _begin_next(self) -> int:
        """Make room for the next proposal, at numbers that are the same every time; gives its."""
        if self._held >= MOST_TRIALS:
            before, self._study = self._study, self._new_study()
            telling = before.get_trials(
                deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
            )
            self._study.add_trials(telling[-KEPT_TRIALS:])
            self._held = len(telling[-KEPT_TRIALS:])
        self._held += 1
        self._next_number += 1
        return self._next_number - 1

    @property
    def wants_direct(self) -> bool:
        """Whether so many proposals in a row were of no use that feasible ones shall be drawn."""
        return self._next_number - self._last_started > REJECTIONS_BEFORE_DIRECT

    def enqueue(self, architecture: Architecture) -> None:
        """Make an architecture the next proposal."""
        self._wanted = dict(self._space.encode(architecture))

    def direct_rng(self) -> random.Random:
        """The random numbers for drawing the next candidate directly."""
        return random.Random(derive_seed(self._seed, "direct", self._next_number))

    def note_started(self, number: int) -> None:
        """Its training starts: it was neither over a limit nor known."""
        self._last_started = max(self._last_started, number)

    def tell_ruled_out(self, number: int, violations: Mapping[str, float]) -> None:
        """Not worth training: the sampler learns what is over by how much, no invented objective.

        With nothing over a limit a training-free score ruled it out.
        """
        self._tell(number, TrialState.PRUNED, violations=violations)

    def tell_result(
        self,
        number: int,
        values: tuple[float, ...],
        violations: Mapping[str, float],
        scores: tuple[float, ...],
    ) -> None:
        """Trained.

        Args:
            number: Of the proposal.
            values: The objectives, in the order of the directions, by the highest rung it finished.
            violations: Limits; none above 0.
            scores: One for each rung that it finished, the lowest first.
        """
        self._tell(number, TrialState.COMPLETE, values, violations=violations, scores=scores)

    def tell_nothing(self, number: int) -> None:
        """Known already (its score was told under its first number), or its training failed."""
        self._tell(number, TrialState.FAIL)

    def _tell(
        self,
        number: int,
        state: TrialState,
        values: tuple[float, ...] | None = None,
        *,
        violations: Mapping[str, float] = MappingProxyType({}),
        scores: tuple[float, ...] = (),
    ) -> None:
        study, trial = self._asked.pop(number)
        for name, value in violations.items():
            trial.set_constraint(name, value)
        if scores:
            trial.set_user_attr(SCORES, list(scores))
        study.tell(trial, list(values) if values is not None else None, state=state)
        if study is not self._study:  # it was asked for before the study was begun anew
            self._study.add_trial(study.get_trials(deepcopy=False)[trial.number])

    def _frozen(self, told: Told) -> optuna.trial.FrozenTrial:
        memory = json.loads(told.memory)
        params = memory["choices"]
        if told.failed:
            state = TrialState.FAIL
        else:
            state = TrialState.PRUNED if told.values is None else TrialState.COMPLETE
        return create_trial(
            state=state,
            values=told.values,
            params=params,
            distributions={name: self._distributions[name] for name in params},
            constraints=None if told.failed else dict(told.violations),
            system_attrs=memory["notes"],
            user_attrs={SCORES: list(told.scores)} if told.scores else None,
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
