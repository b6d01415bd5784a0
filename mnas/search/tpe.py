"""Optuna's TPE, which knows its space and takes nothing for new that it was told of."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from mnas.search.ground import Ground
from mnas.search.row_sampler import Seen, row_of_options


class Tpe(TPESampler):
    """One proposal of TPE: of its candidates the most promising that no trial has had yet.

    Optuna's takes the most promising, which in a small space is nearly always a repeat, and goes
    through all trials each time to find the choices that they share: here they share all.

    Args:
        seed: Of this proposal.
        ground: The space.
        seen: Networks of trials; the samplers of one search hand it on to each other.
    """

    def __init__(self, seed: int, ground: Ground, seen: Seen) -> None:
        # Defaults are named: they changed in Optuna 5 and may change again.
        super().__init__(
            seed=seed,
            multivariate=True,
            constant_liar=True,
            n_startup_trials=10,
            n_ei_candidates=24,
        )
        self._ground = ground
        self._seen = seen

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every choice with more than one option, active or not."""
        choices = sorted(self._ground.space.choices.items())
        return {name: CategoricalDistribution(each) for name, each in choices if len(each) > 1}

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Remember the network of a trial, also of one that is replayed from records."""
        super().after_trial(study, trial, state, values)
        if trial.params:
            self._seen.add(row_of_options(self._ground, trial.params))

    def _compute_acquisition_func(
        self, samples: dict[str, NDArray[Any]], mpe_below: Any, mpe_above: Any
    ) -> NDArray[Any]:
        values: NDArray[Any] = super()._compute_acquisition_func(samples, mpe_below, mpe_above)
        compiled = self._ground.compiled
        rows = np.zeros((len(values), len(compiled.names)), np.uint8)
        for column, name in enumerate(compiled.names):
            if name in samples:  # as index of the option
                rows[:, column] = samples[name]
        rows = compiled.canonical(rows)
        for at in np.argsort(-values, kind="stable"):
            if self._seen.is_new(rows[at]):
                values[at] = np.inf
                break
        return values
