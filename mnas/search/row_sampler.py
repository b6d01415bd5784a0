"""An Optuna sampler around a strategy over encodings, and the plainest strategy: random."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from mnas.search.ground import Ground, Rows
from mnas.search.ids import Ids
from mnas.space import Option

# Of a trial: its scores, one for each rung that it finished, the lowest first.
SCORES = "scores"
# Rows whose ids are remembered, the latest ones: to decode one takes some 0.2 ms.
_MOST_DECODED = 10_000


class Seen:
    """The architectures that need not be proposed again, by id."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._ids = Ids()
        self._decoded: dict[bytes, str] = {}  # the id of rows that were looked at lately

    def add(self, row: Rows) -> None:
        self._ids.add(self._id(row))

    def is_new(self, row: Rows) -> bool:
        """Whether its architecture was not seen; two encodings may be one architecture."""
        return self._id(row) not in self._ids

    def first_new(self, rows: Iterable[Rows]) -> Rows | None:
        """The first row whose architecture was not seen."""
        return next((row for row in rows if self.is_new(row)), None)

    def _id(self, row: Rows) -> str:
        key = row.tobytes()
        if key not in self._decoded:
            if len(self._decoded) >= _MOST_DECODED:
                self._decoded.clear()
            self._decoded[key] = self._ground.compiled.decode(row).id
        return self._decoded[key]


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
        if "fixed_params" in trial.system_attrs:  # decided by others
            return self.filled({})
        # A study must get something: it is known already, or over a limit.
        return self.ask(trial.number) or self.filled({})

    def ask(self, number: int) -> dict[str, Option] | None:
        """The options of the row that the strategy proposes, for every choice.

        Args:
            number: Names the proposal until `hear`.

        Returns:
            None if it found no network within the limits that is new.
        """
        self._ground.begin_proposal()
        row = self._strategy.propose(number, self._rng, self._seen)
        if row is None:
            return None
        self._seen.add(row)
        return _options(self._ground, row)

    def filled(self, wanted: Mapping[str, Option]) -> dict[str, Option]:
        """What others want, and the first option of every other choice, which does not count."""
        choices = self._ground.space.choices.items()
        return {name: wanted.get(name, options[0]) for name, options in choices}

    def hear(
        self, number: int, suggested: Mapping[str, Option], scores: Sequence[float] | None
    ) -> None:
        """Hear what became of a proposal, also of one that is replayed from records."""
        row = row_of_options(self._ground, suggested)
        self._seen.add(row)
        self._strategy.learn(number, row, scores)

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
        """Hear what became of a trial."""
        if trial.params:
            is_scored = state == TrialState.COMPLETE
            self.hear(
                trial.number, trial.params, trial.user_attrs.get(SCORES) if is_scored else None
            )


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
