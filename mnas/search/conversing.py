"""How a sampler is asked and told: ours by rows, those of others through a study of Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from mnas.search.objectives import Direction
from mnas.search.row_sampler import SCORES, RowSampler
from mnas.space import Option

# A study of so many trials is begun anew with the latest of them: what Optuna keeps of a trial and
# what TPE makes of all of them would grow for ever. Our own samplers need no study.
MOST_TRIALS = 5000
KEPT_TRIALS = 2500
# Repeats and failures, which tell a sampler nothing, are not among those.

Suggested = Mapping[str, Option]
Notes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a proposal.

    Attributes:
        values: Objectives, or None for a candidate that was not trained or that failed.
        scores: One for each rung that it finished, the lowest first.
        violations: Limits; above 0 is infeasible.
        says_nothing: It was known already, or its training failed.
    """

    values: tuple[float, ...] | None = None
    scores: tuple[float, ...] = ()
    violations: Mapping[str, float] = field(default_factory=dict)
    says_nothing: bool = False

    @property
    def state(self) -> TrialState:
        """As Optuna calls it."""
        if self.says_nothing:
            return TrialState.FAIL
        return TrialState.PRUNED if self.values is None else TrialState.COMPLETE


NOTHING = Outcome(says_nothing=True)


class Conversation(Protocol):
    """Passes questions and answers between numbered proposals and a sampler."""

    def ask(
        self, number: int, sampler: optuna.samplers.BaseSampler, wanted: Suggested | None, /
    ) -> tuple[Suggested, Notes] | None:
        """What the sampler of this proposal suggests, for every choice, and what it noted.

        Where others want something, it is that, completed. None if the sampler knows that it has
        nothing: then nothing was asked for.
        """
        ...

    def tell(self, number: int, outcome: Outcome, /) -> None:
        """Say what became of a proposal that was asked for."""
        ...

    def skip(self) -> None:
        """Leave out a number, in a rebuilt conversation."""
        ...

    def recall(self, number: int, suggested: Suggested, notes: Notes, outcome: Outcome, /) -> None:
        """Say what became of a proposal that an earlier session asked for."""
        ...


class RowTalk:
    """With a sampler of ours, which remembers by itself: nothing else is kept of a trial.

    Args:
        sampler: The one that lives as long as the search.
    """

    def __init__(self, sampler: RowSampler) -> None:
        self._sampler = sampler
        self._asked: dict[int, Suggested] = {}

    def ask(
        self, number: int, sampler: optuna.samplers.BaseSampler, wanted: Suggested | None, /
    ) -> tuple[Suggested, Notes] | None:
        assert sampler is self._sampler  # it has been given the numbers of this proposal
        suggested = self._sampler.ask(number) if wanted is None else self._sampler.filled(wanted)
        if suggested is None:
            return None
        self._asked[number] = suggested
        return suggested, {}

    def tell(self, number: int, outcome: Outcome, /) -> None:
        self._hear(number, self._asked.pop(number), outcome)

    def skip(self) -> None:
        return

    def recall(self, number: int, suggested: Suggested, notes: Notes, outcome: Outcome, /) -> None:
        self._hear(number, suggested, outcome)

    def _hear(self, number: int, suggested: Suggested, outcome: Outcome) -> None:
        is_scored = outcome.state == TrialState.COMPLETE and outcome.scores
        self._sampler.hear(number, suggested, outcome.scores if is_scored else None)


class OptunaTalk:
    """With a sampler that reads a study, which is kept in memory and within bounds.

    Args:
        choices: Every choice of the space with its options.
        sampler: Of the first proposal.
        directions: Of the objectives.
    """

    def __init__(
        self,
        choices: Mapping[str, tuple[Option, ...]],
        sampler: optuna.samplers.BaseSampler,
        directions: tuple[Direction, ...],
    ) -> None:
        self._distributions = {
            name: CategoricalDistribution(options) for name, options in choices.items()
        }
        self._directions = directions
        self._study = self._new_study(sampler)
        self._held = 0  # proposals that the study holds
        self._asked: dict[int, tuple[optuna.Study, optuna.Trial]] = {}

    def ask(
        self, number: int, sampler: optuna.samplers.BaseSampler, wanted: Suggested | None, /
    ) -> tuple[Suggested, Notes]:
        self._make_room()
        self._study.sampler = sampler
        if wanted is not None:
            self._study.enqueue_trial(dict(wanted))
        trial = self._study.ask()
        suggested = {
            name: trial.suggest_categorical(name, distribution.choices)
            for name, distribution in self._distributions.items()
        }
        self._asked[number] = self._study, trial
        notes = self._study.get_trials(deepcopy=False)[trial.number].system_attrs
        return suggested, dict(notes)

    def tell(self, number: int, outcome: Outcome, /) -> None:
        study, trial = self._asked.pop(number)
        for name, value in outcome.violations.items():
            trial.set_constraint(name, value)
        if outcome.scores:
            trial.set_user_attr(SCORES, list(outcome.scores))
        values = None if outcome.values is None else list(outcome.values)
        study.tell(trial, values, state=outcome.state)
        if study is not self._study:  # it was asked for before the study was begun anew
            self._study.add_trial(study.get_trials(deepcopy=False)[trial.number])

    def skip(self) -> None:
        self._make_room()
        self._study.add_trial(create_trial(state=TrialState.FAIL))

    def recall(self, number: int, suggested: Suggested, notes: Notes, outcome: Outcome, /) -> None:
        self._make_room()
        frozen = self._frozen(suggested, notes, outcome)
        self._study.add_trial(frozen)
        # A rebuilt sampler hears what it would have heard when the trial ended.
        frozen.number = number
        self._study.sampler.after_trial(self._study, frozen, frozen.state, frozen.values)

    def _new_study(self, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        return optuna.create_study(directions=list(self._directions), sampler=sampler)

    def _make_room(self) -> None:
        """Room for one more trial, at numbers that are the same every time."""
        if self._held >= MOST_TRIALS:
            before, self._study = self._study, self._new_study(self._study.sampler)
            telling = before.get_trials(
                deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
            )
            self._study.add_trials(telling[-KEPT_TRIALS:])
            self._held = len(telling[-KEPT_TRIALS:])
        self._held += 1

    def _frozen(self, suggested: Suggested, notes: Notes, outcome: Outcome) -> FrozenTrial:
        return create_trial(
            state=outcome.state,
            values=outcome.values,
            params=dict(suggested),
            distributions={name: self._distributions[name] for name in suggested},
            constraints=None if outcome.says_nothing else dict(outcome.violations),
            system_attrs=dict(notes),
            user_attrs={SCORES: list(outcome.scores)} if outcome.scores else None,
        )
