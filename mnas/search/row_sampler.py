"""An Optuna sampler around a strategy over encodings, and the plainest strategy: random."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from mnas.search.ground import Ground, Rows
from mnas.space import Option

# Of a trial: its scores, one for each rung that it finished, the lowest first.
SCORES = "scores"


class Seen:
    """The architectures that need not be proposed again, by id."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._ids: set[str] = set()
        self._rows: set[bytes] = set()  # the same and other encodings of them, told by a look

    def add(self, row: Rows) -> None:
        self._rows.add(row.tobytes())
        self._ids.add(self._ground.compiled.decode(row).id)

    def is_new(self, row: Rows) -> bool:
        """Whether its architecture was not seen; two encodings may be one architecture."""
        if row.tobytes() in self._rows:
            return False
        if self._ground.compiled.decode(row).id not in self._ids:
            return True
        self._rows.add(row.tobytes())
        return False

    def first_new(self, rows: Iterable[Rows]) -> Rows | None:
        """The first row whose architecture was not seen."""
        return next((row for row in rows if self.is_new(row)), None)


class Strategy(Protocol):
    """Decides which network is scored next."""

    def propose(self, number: int, rng: np.random.Generator, seen: Seen, /) -> Rows | None:
        """A row within the limits that was not seen, or None if none was found."""
        ...

    def learn(self, number: int, row: Rows, scores: Sequence[float] | None, /) -> None:
        """Hear what became of a network: its score at each rung it finished, or None."""
        ...


class RandomStrategy:
    """Uniform among the encodings within the limits: the honest baseline."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def propose(self, number: int, rng: np.random.Generator, seen: Seen, /) -> Rows | None:
        ground = self._ground
        for size in (64, 1024, 16384, 131072) if ground.is_free else (16, 16, 32, 64, 128, 256):
            found = ground.look(ground.compiled.sample(size, rng))
            row = seen.first_new(found.rows[found.is_feasible])
            if row is not None:
                return row
        return seen.first_new(ground.feasible(256, rng).rows)

    def learn(self, number: int, row: Rows, scores: Sequence[float] | None, /) -> None:
        return


class RowSampler(optuna.samplers.BaseSampler):
    """Suggests what a strategy proposes, all choices together.

    It lives as long as the search; `seeded` gives each proposal its own random numbers.

    Args:
        ground: The space with its limits and objectives.
        strategy: Decides.
    """

    def __init__(self, ground: Ground, strategy: Strategy) -> None:
        self._ground = ground
        self._strategy = strategy
        self._seen = Seen(ground)
        self._rng = np.random.default_rng(0)
        self._distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(options) for name, options in ground.space.choices.items()
        }
        self._found_nothing = False

    def seeded(self, seed: int) -> "RowSampler":
        """This sampler, with the random numbers of one proposal."""
        self._rng = np.random.default_rng(seed)
        return self

    def reseed_rng(self) -> None:
        """Nothing: `seeded` decides."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every choice, active or not."""
        return self._distributions

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The options of the row that the strategy proposes."""
        if "fixed_params" in trial.system_attrs:  # decided by others; inactive choices do not count
            return _options(self._ground, np.zeros(len(self._distributions), np.uint8))
        self._ground.begin_proposal()
        row = None
        if not self._found_nothing:
            row = self._strategy.propose(trial.number, self._rng, self._seen)
        if row is None:
            # Whoever asked will find that it is known or over a limit, and draw directly at last.
            self._found_nothing = True
            row = self._ground.compiled.sample(1, self._rng)[0]
        else:
            self._seen.add(row)
        return _options(self._ground, row)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Never asked: all choices are suggested together."""
        raise AssertionError(f"{param_name} is no choice of {self._ground.space.name}")

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Hear what became of a trial, also of one that is replayed from records."""
        if not trial.params:
            return
        row = row_of_options(self._ground, trial.params)
        self._seen.add(row)
        scores = trial.user_attrs.get(SCORES) if state == TrialState.COMPLETE else None
        self._strategy.learn(trial.number, row, scores)


def _options(ground: Ground, row: Rows) -> dict[str, Option]:
    compiled = ground.compiled
    named = zip(compiled.names, compiled.options, row, strict=True)
    return {name: options[index] for name, options, index in named}


def row_of_options(ground: Ground, params: Mapping[str, Option]) -> Rows:
    """(choices,) the canonical row of all choices of a trial."""
    compiled = ground.compiled
    index = [
        next(at for at, option in enumerate(options) if _same(option, params[name]))
        for name, options in zip(compiled.names, compiled.options, strict=True)
    ]
    canonical: Rows = compiled.canonical(np.array([index], np.uint8))[0]
    return canonical


def _same(option: Option, other: Option) -> bool:
    return type(option) is type(other) and option == other
