"""`greybox`: latency and counts are exact and free, so only the accuracy is modelled.

A Gaussian process says how accurate each network will be, and how sure that is. Of many networks
within the limits, random ones and descendants of the best, the one with the highest expected gain
is proposed: the expected improvement over the best within a budget (Jones et al. 1998, section
4.1), on average over budgets. Without other objectives there is one budget, the search's own; with
them the budgets are drawn over their range, and the average is the expected gain of hypervolume.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from mnas.search.evidence import Evidence, Scale
from mnas.search.ground import Facts, Ground, Numbers, Rows, first_of_each
from mnas.search.row_sampler import Seen
from mnas.search.surrogate import Beliefs, Encoder, Inputs, Outlook, Surrogate, believe, fit

# Scored networks before the model is asked; until then large ones within the limits are proposed.
STARTUP = 6
_BUDGETS = 32  # drawn for one proposal where there is more than one objective
_ROUNDS = 3  # of evolution around the best candidates
_ELITE = 32  # candidates that have descendants
# Networks in training that the model is told of, the latest ones: with a thousand workers a
# proposal would cost that of a model of them all.
_MOST_PENDING = 64
# Networks in training for each proposal beyond the first that is made of one model: what those
# would teach is missing anyway, so a sixteenth more is little, and a thousand workers are served.
_PENDING_PER_PROPOSAL = 16
_MOST_CHOSEN = 256  # candidates with the highest gains, of which such a batch is made


class Greybox:
    """Proposes networks by their expected gain, and learns from what became of them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._evidence = Evidence()
        self._pending: dict[int, Rows] = {}  # by number: in training
        self._batch: list[Rows] = []  # what is proposed next, the next one last
        self._beliefs: Beliefs | None = None
        self._next_belief = STARTUP
        self._encoder: Encoder | None = None
        self._on_one_core = _on_one_core()

    def propose(self, number: int, rng: np.random.Generator, seen: Seen) -> Rows | None:
        """The row to score next, or None if no network within the limits was found."""
        row = seen.first_new(self._batch.pop() for _ in range(len(self._batch)))
        if row is None:
            with self._on_one_core():
                if self._beliefs is None:
                    row = self._begin(rng, seen)
                else:
                    row = self._continue(self._beliefs, rng, seen)
        if row is not None:
            self._pending[number] = row
        return row

    def learn(self, number: int, row: Rows, scores: Sequence[float] | None) -> None:
        """Hear what became of a network.

        Args:
            number: Of the proposal.
            row: Its encoding.
            scores: One for each rung it finished; None if it has no score.
        """
        self._pending.pop(number, None)
        if scores is None:
            return
        facts = self._ground.recall(row[None, :])
        self._evidence.add(facts, self._inputs(facts), scores)
        if self._evidence.count >= self._next_belief:
            # At counts that hang on nothing else, so that a rebuilt sampler believes the same.
            self._next_belief = max(self._next_belief + 2, int(1.4 * self._next_belief))
            z, extra, _ = self._evidence.standardised()
            with self._on_one_core():
                self._beliefs = believe(self._evidence.inputs, z, extra, choices=self._choices)

    def _begin(self, rng: np.random.Generator, seen: Seen) -> Rows | None:
        """One of the larger networks within the limits, and within a random budget."""
        found = self._ground.feasible(256, rng)
        if not len(found):
            return None
        budget = found.costs[rng.integers(len(found))]
        within = found[np.all(found.costs <= budget, axis=1)]
        size = self._inputs(within).sizes.sum(axis=1)
        order = np.argsort(-size, kind="stable")
        larger = rng.permutation(order[: max(1, len(order) // 4)])
        return seen.first_new((*within.rows[larger], *within.rows[order], *found.rows))

    def _continue(self, beliefs: Beliefs, rng: np.random.Generator, seen: Seen) -> Rows | None:
        """The candidate with the highest gain; with many networks in training a batch of them."""
        evidence = self._evidence
        z, extra, scale = evidence.standardised()
        model = fit(evidence.inputs, z, extra, beliefs, choices=self._choices)
        pool = self._ground.feasible(self._litter, rng, near=evidence.facts.rows[-_ELITE:])
        gain = _Gain(evidence.facts, model.fitted, scale, pool.costs, rng)
        if self._pending:
            latest = np.stack(list(self._pending.values())[-_MOST_PENDING:])
            model = model.believing(self._inputs(self._ground.recall(latest)))
        pool, gains = self._evolved(pool, model, gain, rng)
        order = np.argsort(-gains, kind="stable")
        ranks = (rank for rank, at in enumerate(order) if seen.is_new(pool.rows[at]))
        if (rank := next(ranks, None)) is None:
            return None
        pool = pool[order[rank : rank + _MOST_CHOSEN]]
        more = len(self._pending) // _PENDING_PER_PROPOSAL
        self._batch = self._following(pool, min(more, len(pool) - 1), model, gain)
        best: Rows = pool.rows[0]
        return best

    def _following(self, pool: Facts, wanted: int, model: Surrogate, gain: "_Gain") -> list[Rows]:
        """Each with the highest gain if the first of the pool and those before come as expected."""
        if not wanted:
            return []
        outlook, taken = model.predict(self._inputs(pool)), [0]
        for _ in range(wanted):
            outlook.believe(taken[-1])
            gains = gain(pool, outlook)
            gains[taken] = -1.0
            taken.append(int(gains.argmax()))
        return [pool.rows[at] for at in taken[:0:-1]]

    def _evolved(
        self, pool: Facts, model: Surrogate, gain: "_Gain", rng: np.random.Generator
    ) -> tuple[Facts, Numbers]:
        """Candidates, with descendants of the best in rounds, and the gain of each."""
        gains = gain(pool, model.predict(self._inputs(pool)))
        elite = self._evidence.facts.rows[gain.best]
        for _ in range(_ROUNDS):
            born = self._ground.look(self._children(elite, rng))
            born = born[born.is_feasible]
            pool = pool.stacked(born)
            gains = np.concatenate([gains, gain(born, model.predict(self._inputs(born)))])
            if len(pool):
                elite = pool.rows[np.argsort(-gains, kind="stable")[:_ELITE]]
        return pool, gains

    @property
    def _litter(self) -> int:
        """Networks that are looked at together: fewer where each is a question to a function."""
        return 256 if self._ground.is_free else 192

    def _children(self, parents: Rows, rng: np.random.Generator) -> Rows:
        """Mutants, and mutants of crossed pairs, each once."""
        compiled, wanted = self._ground.compiled, self._litter
        mothers = parents[rng.integers(len(parents), size=wanted)]
        fathers = parents[rng.integers(len(parents), size=wanted // 2)]
        crossed = compiled.cross(mothers[: len(fathers)], fathers, rng)
        born = compiled.mutate(np.concatenate([crossed, mothers[len(fathers) :]]), rng)
        return born[first_of_each(born)]

    @property
    def _choices(self) -> int:
        return max(1, len(self._ground.compiled.names))

    def _inputs(self, facts: Facts) -> Inputs:
        compiled = self._ground.compiled
        if self._encoder is None:
            rows = compiled.sample(1024, np.random.default_rng(0))
            sizes = np.log(np.stack([compiled.params(rows), compiled.macs(rows)], axis=1))
            spread = sizes.std(axis=0)
            self._encoder = Encoder(
                radices=compiled.radices,
                middle=sizes.mean(axis=0),
                spread=np.where(spread > 0, spread, 1.0),
            )
        return self._encoder(facts.rows, compiled.active(facts.rows), facts.sizes)


def _on_one_core() -> Callable[[], AbstractContextManager[object]]:
    """A way to do linear algebra on one core: the workers have the others.

    Threads that wait for a core which a training holds make a proposal ten times slower; and what
    is proposed is then the same whatever number of cores a machine has.
    """
    import scipy.linalg  # noqa: F401  brings a library of its own, which is to be found below
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    return lambda: controller.limit(limits=1, user_api="blas")


class _Gain:
    """Expected gain of candidates over what was scored.

    Args:
        scored: What is known of the scored networks.
        means: (n,) what the model believes they score, standardised.
        scale: The way back to scores.
        reachable: (k, m) costs of networks within the limits: budgets are drawn over their range.
        rng: Draws the budgets.

    Attributes:
        best: Indices of the scored networks that are the best within some budget.
    """

    def __init__(
        self,
        scored: Facts,
        means: Numbers,
        scale: Scale,
        reachable: Numbers,
        rng: np.random.Generator,
    ) -> None:
        self._scale = scale
        values = self._values(scored, means)
        costs = scored.costs
        both = np.concatenate([costs, reachable])
        low, high = both.min(axis=0), both.max(axis=0)
        draws = _BUDGETS if costs.shape[1] else 1
        self._budgets = low + (high - low) * rng.random((draws, costs.shape[1]))
        within = np.all(costs[None, :, :] <= self._budgets[:, None, :], axis=2)
        floor = values.min()
        held = np.where(within, values[None, :], floor)
        self._thresholds = held.max(axis=1)
        best = np.unique(np.concatenate([held.argmax(axis=1), _leaders(values, costs)]))
        self.best: NDArray[np.intp] = best

    def __call__(self, pool: Facts, outlook: Outlook) -> Numbers:
        """(n,) expected improvement within a budget, on average over the budgets."""
        from scipy.special import ndtr

        values = self._values(pool, outlook.means)[:, None]
        spread = (pool.factors * self._scale.spread * outlook.deviations)[:, None]
        u = (values - self._thresholds[None, :]) / spread
        improvement = spread * (u * ndtr(u) + np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi))
        within = np.all(pool.costs[:, None, :] <= self._budgets[None, :, :], axis=2)
        gains: Numbers = np.mean(improvement * within, axis=1)
        return gains

    def _values(self, facts: Facts, means: Numbers) -> Numbers:
        return facts.factors * (self._scale.middle + self._scale.spread * means)


def _leaders(values: Numbers, costs: Numbers) -> NDArray[np.intp]:
    """The best few where there is one objective; several budgets give leaders by themselves."""
    count = 2 if costs.shape[1] else 8
    return np.argsort(-values, kind="stable")[:count]
