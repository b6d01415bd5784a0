"""Where a search stands: what is known, who climbs, whether the front still moves. No I/O."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping

import numpy as np

from mnas.results import Record
from mnas.search.ids import Ids
from mnas.search.ladder import WINDOW, is_promoted

Costs = tuple[float, ...]
# How the reason of a score from an earlier run begins; such a score cost this run nothing.
ADOPTED = "from an earlier run: "
# Candidates filtered with no training begun in between, after which the trials end. At the smallest
# share that a filter may keep, candidates in random order come to that once in 40 000 times.
FILTERED_IN_A_ROW = 100


class Standing:
    """The bookkeeping of a loop over trials; a resumed one notes the same things in one order.

    Memory grows by 16 bytes for each architecture, two ids, and nothing else.

    Args:
        rungs: How many the ladder has.
    """

    def __init__(self, rungs: int) -> None:
        self.started = Ids()  # scoring began in this run: these are its trials
        self.known = Ids()  # also what was ruled out, or scored by an earlier run
        self.infeasible = 0
        self.filtered = 0
        self.filtered_in_a_row = 0  # since a training last began
        self.best: float | None = None
        self.nearest: tuple[float, str, Mapping[str, float]] | None = None  # excess, id, all
        self.idle_trials = 0  # that ended since the front moved
        self._rungs = rungs
        self._costs: defaultdict[int, deque[Costs]] = defaultdict(lambda: deque(maxlen=WINDOW))
        self._front = np.zeros((0, 1))

    def note_started(self, architecture_id: str) -> None:
        """Its scoring begins."""
        self.started.add(architecture_id)
        self.known.add(architecture_id)
        self.filtered_in_a_row = 0

    def note_filtered(self, architecture_id: str) -> None:
        """A proposal within every limit was not worth training, by its training-free score."""
        self.known.add(architecture_id)
        self.filtered += 1
        self.filtered_in_a_row += 1

    @property
    def is_filtered_out(self) -> bool:
        """Whether what is proposed is not worth training any more."""
        return self.filtered_in_a_row >= FILTERED_IN_A_ROW

    def note_infeasible(self, architecture_id: str, over: Mapping[str, float]) -> None:
        """A proposal was over a limit."""
        self.known.add(architecture_id)
        self.infeasible += 1
        self.note_over(lambda: architecture_id, over)

    def note_over(self, architecture_id: Callable[[], str], over: Mapping[str, float]) -> None:
        """A network that was looked at is over a limit; its id is asked for if none was nearer."""
        excess = max(over.values())
        if self.nearest is None or excess < self.nearest[0]:
            self.nearest = excess, architecture_id(), over

    def note_score(self, rung: int, accuracy: float, costs: Costs) -> bool:
        """A rung was finished.

        Returns:
            Whether this candidate climbs to the next one.
        """
        self.best = accuracy if self.best is None else max(self.best, accuracy)
        if rung + 1 == self._rungs:
            self._note_end(costs)
            return False
        self._costs[rung].append(costs)
        climbs = is_promoted(self._costs[rung])
        if not climbs:
            self.idle_trials += 1
        return climbs

    def note_failure(self) -> None:
        """A trial ended without a score."""
        self.idle_trials += 1

    def _note_end(self, costs: Costs) -> None:
        row = np.asarray(costs)
        if len(self._front) and (self._front <= row).all(axis=1).any():
            self.idle_trials += 1
            return
        kept = self._front[~(row <= self._front).all(axis=1)] if len(self._front) else ()
        self._front = np.vstack([*kept, row])
        self.idle_trials = 0


def is_adopted(record: Record) -> bool:
    """Whether a record holds a score of an earlier run."""
    return record.state == "complete" and (record.reason or "").startswith(ADOPTED)
