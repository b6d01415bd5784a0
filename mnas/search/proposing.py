"""Proposals: numbered, decoded, remembered; rebuilt from records after a resume."""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import optuna

from mnas.arch import Architecture
from mnas.search.conversing import NOTHING, Conversation, OptunaTalk, Outcome, RowTalk
from mnas.search.objectives import Direction
from mnas.search.row_sampler import RowSampler
from mnas.search.samplers import SamplerFactory
from mnas.search.seeds import derive_seed
from mnas.space import Option, SearchSpace

# Proposals in a row that start no training (over a limit, or known) before feasible networks are
# drawn directly.
REJECTIONS_BEFORE_DIRECT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A candidate that a sampler came up with.

    Attributes:
        number: Of the proposal, from 0, repeats included.
        choices: The active choices.
        memory: JSON of all that was suggested (`choices`), and of what the sampler noted of the
            trial (`notes`), to tell a rebuilt sampler the same.
    """

    number: int
    architecture: Architecture
    choices: Mapping[str, Option]
    memory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a sampler was told of one proposal; see `Proposer.replay`."""

    number: int
    memory: str
    outcome: Outcome


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
        sampler = self._seeded_sampler(0)
        self._talk: Conversation = (
            RowTalk(sampler)
            if isinstance(sampler, RowSampler)
            else OptunaTalk(space.choices, sampler, directions)
        )
        self._wanted: dict[str, Option] | None = None  # what is proposed next by others
        self._last_started = -1
        self._next_number = 0

    def replay(self, told: Iterable[Told]) -> None:
        """Tell a new sampler what was recorded.

        Args:
            told: By number; numbers that are missing were repeats or never ended.
        """
        for each in told:
            while self._next_number < each.number:
                self._talk.skip()
                self._next_number += 1
            memory = json.loads(each.memory)
            self._talk.recall(each.number, memory["choices"], memory["notes"], each.outcome)
            self._next_number += 1
            if each.outcome.values is not None or each.outcome.says_nothing:
                self._last_started = each.number

    def propose(self) -> Proposal | None:
        """Ask for the next candidate; it may be over a limit or known already.

        Returns:
            None if the sampler found no network within the limits that is new.
        """
        number = self._next_number
        answer = self._talk.ask(number, self._seeded_sampler(number), self._wanted)
        if answer is None:
            return None
        suggested, notes = answer
        self._next_number, self._wanted = number + 1, None
        architecture = self._space.decode(suggested)
        return Proposal(
            number=number,
            architecture=architecture,
            choices=self._space.encode(architecture),
            memory=json.dumps({"choices": suggested, "notes": notes}),
        )

    def _seeded_sampler(self, number: int) -> optuna.samplers.BaseSampler:
        return self._make_sampler(derive_seed(self._seed, "proposal", number))

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
        self._talk.tell(number, Outcome(violations=violations))

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
        self._talk.tell(number, Outcome(values=values, violations=violations, scores=scores))

    def tell_nothing(self, number: int) -> None:
        """Known already (its score was told under its first number), or its training failed."""
        self._talk.tell(number, NOTHING)
