"""Many encodings at once: rows of small numbers in, counts, costs, mutants and children out."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnas.arch import Architecture, PlannedBlock, block_counts
from mnas.space.automaton import Automaton
from mnas.space.choices import Choice, Option, index_of
from mnas.space.errors import InvalidChoicesError, TooManyStepsError
from mnas.space.levels import Chain, Tables, tables_of

if TYPE_CHECKING:
    from mnas.space.space import SearchSpace

Rows = NDArray[np.uint8]
Entries = tuple[int | None, NDArray[np.intp]]  # of one level: its column, what each row reads
Costs = list[NDArray[Any]]  # for each chain, of each entry
_CHUNK = 4096  # rows walked together, so that what they read stays in a core's cache
_MOST_REMEMBERED = 1024  # rows; of more, what they read would not stay in it
_MOST_OPTIONS = 255


@dataclass(frozen=True, slots=True, eq=False)
class CompiledSpace:
    """A search space over encodings as arrays; made by `SearchSpace.compile`.

    A row has one column for each choice of the space and holds the index of its option. In a
    canonical row the inactive choices are 0, so each encoding has one canonical row. Every method
    takes any rows and ignores what inactive choices say.

    Attributes:
        names: Every choice, in file order: the columns.
        options: Options of each choice.
        radices: (d,) how many options each has.
        blocks: Every planned block that some network of the space has.
    """

    names: tuple[str, ...]
    options: tuple[tuple[Option, ...], ...] = field(repr=False)
    radices: Rows = field(repr=False)
    blocks: tuple[PlannedBlock, ...] = field(repr=False)
    _space: "SearchSpace" = field(repr=False)
    _tables: Tables = field(repr=False)
    _siblings: tuple[tuple[int, Rows] | None, ...] = field(repr=False)
    _counts: dict[int, Costs] = field(repr=False, default_factory=dict)  # filled on first use
    # The latest rows of each network and what they read, since much is asked of the same rows.
    _latest: dict[int, tuple[Any, list[Entries]]] = field(repr=False, default_factory=dict)

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Random canonical rows: every active choice uniform, as `SearchSpace.sample` draws."""
        rows = np.empty((n, len(self.names)), np.uint8)
        for column, radix in enumerate(self.radices):
            rows[:, column] = rng.integers(0, radix, n, np.uint8)
        return rows * self.active(rows)

    def active(self, rows: Rows) -> NDArray[np.bool_]:
        """(n, d) which choices of each row decide something."""
        rows = self._checked(rows)
        active = np.zeros(rows.shape, np.bool_)
        for network, where, columns in self._parts(rows):
            own = np.zeros(columns.shape, np.bool_)
            asks = self._tables.chains[network].asks
            for column, entries in self._entries(network, columns):
                if column is not None:
                    own[column] |= asks.take(entries)
            if self._leads:
                own[0] = True
            active[where] = own.T
        return active

    def canonical(self, rows: Rows) -> Rows:
        """The same encodings, with 0 for every inactive choice."""
        return np.where(self.active(rows), rows, np.uint8(0))

    def encode(self, arch: Architecture) -> Rows:
        """(d,) the canonical row of an architecture; the first encoding that fits.

        Raises:
            OutsideSpaceError: The space does not hold it; names the first field outside.
        """
        return self.row_of(self._space.encode(arch))

    def decode(self, row: Rows) -> Architecture:
        """The architecture of one row; equal to `SearchSpace.decode` of its choices."""
        (digits,) = self._checked(np.asarray(row)[None, :])
        return self._space.decode(
            {name: own[i] for name, own, i in zip(self.names, self.options, digits, strict=True)}
        )

    def row_of(self, choices: Mapping[str, Option]) -> Rows:
        """(d,) the canonical row of active choices, as `SearchSpace.encode` gives them."""
        self._space.decode(choices)  # refuses unknown, missing and impossible ones
        row = np.zeros(len(self.names), np.uint8)
        for column, name in enumerate(self.names):
            with contextlib.suppress(KeyError, ValueError):  # of choices that are not active
                row[column] = index_of(self.options[column], choices[name])
        canonical: Rows = self.canonical(row[None, :])[0]
        return canonical

    def choices_of(self, row: Rows) -> dict[str, Option]:
        """The active choices of one row, as `SearchSpace.decode` takes them."""
        (active,) = self.active(np.asarray(row)[None, :])
        return {
            self.names[column]: self.options[column][row[column]]
            for column in np.flatnonzero(active)
        }

    def mutate(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Each row with one active choice changed, as a neighbour: canonical rows.

        The choice is uniform among those that are active and have another option, its new option
        uniform among the others. What becomes active is completed as `SearchSpace.neighbours`
        does. A row that has no such choice stays as it is.
        """
        active = self.active(rows)
        digits = np.asarray(rows) * active
        changeable = np.cumsum(active & (self.radices > 1), axis=1)
        total = changeable[:, -1] if changeable.shape[1] else np.zeros(len(digits), np.intp)
        (able,) = np.nonzero(total)
        pick = rng.integers(0, total[able])
        column = (changeable[able] > pick[:, None]).argmax(axis=1)
        radix = self.radices[column].astype(np.intp)
        step = 1 + rng.integers(0, radix - 1)
        digits[able, column] = (digits[able, column] + step) % radix
        return self._completed(digits, active)

    def cross(self, first: Rows, second: Rows, rng: np.random.Generator) -> Rows:
        """Uniform crossover: each active choice from one of the parents; canonical rows.

        A choice that is active in one parent only comes from that one; one that is active in
        neither is completed as `SearchSpace.neighbours` does.

        Args:
            first: (n, d) rows.
            second: (n, d) rows, their mates.
            rng: Tosses the coins.
        """
        first, second = self._checked(first), self._checked(second)
        if len(first) != len(second):
            raise InvalidChoicesError(
                f"every row needs one mate; got {len(first)} and {len(second)} rows"
            )
        active_first, active_second = np.split(self.active(np.concatenate([first, second])), 2)
        coins = rng.integers(0, 2, active_first.shape, np.uint8).astype(np.bool_)
        from_first = np.where(active_first & active_second, coins, active_first)
        return self._completed(np.where(from_first, first, second), active_first | active_second)

    def block_sum(
        self, cost: Callable[[PlannedBlock], float]
    ) -> Callable[[Rows], NDArray[np.float64]]:
        """A function that adds up a cost over the planned blocks of each row's network.

        Args:
            cost: Of one planned block, such as its milliseconds; asked once for each of `blocks`.

        Returns:
            From (n, d) rows to (n,) sums; millions of rows a second.
        """
        costs = self._costs(np.array([float(cost(block)) for block in self.blocks]), np.sum)

        def summed(rows: Rows) -> NDArray[np.float64]:
            return self._reduced(rows, costs, np.add)

        return summed

    def extremes(self, cost: Callable[[PlannedBlock], float]) -> tuple[Rows, Rows]:
        """The canonical rows of the networks with the least and the greatest sum of costs.

        Exact over the whole space: a shortest and a longest path through its tables.

        Args:
            cost: Of one planned block, as in `block_sum`.

        Returns:
            Two rows (d,): least, greatest.
        """
        costs = np.array([float(cost(block)) for block in self.blocks])
        least, greatest = (
            min(
                (self._path(network, levels) for network, levels in enumerate(signed)),
                key=lambda found: found[0],
            )[1]
            for signed in (self._costs(costs, np.sum), self._costs(-costs, np.sum))
        )
        return least, greatest

    def params(self, rows: Rows) -> NDArray[np.int64]:
        """(n,) learnable parameters, as `mnas.count` of the architectures."""
        return self._counted(rows, 0, np.sum, np.add)

    def macs(self, rows: Rows) -> NDArray[np.int64]:
        """(n,) multiply-accumulates, as `mnas.count` of the architectures."""
        return self._counted(rows, 1, np.sum, np.add)

    def peak_activation_bytes(self, rows: Rows) -> NDArray[np.int64]:
        """(n,) peak activation memory, as `mnas.count` of the architectures."""
        return self._counted(rows, 2, np.max, np.maximum)

    @property
    def _leads(self) -> bool:
        """Whether the first column says which network."""
        return self.names[:1] == ("network",)

    def _checked(self, rows: Rows) -> Rows:
        rows = np.asarray(rows)
        wanted = len(self.names)
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != wanted:
            raise InvalidChoicesError(
                f"rows must be a uint8 array of shape (n, {wanted}); got {rows.dtype} of shape "
                f"{rows.shape}"
            )
        wrong = rows >= self.radices
        if wrong.any():
            row, column = (int(index) for index in np.argwhere(wrong)[0])
            raise InvalidChoicesError(
                f"row {row}: {self.names[column]}: got option {rows[row, column]}; it has "
                f"{self.radices[column]}, counted from 0"
            )
        return rows

    def _parts(self, rows: Rows) -> Iterator[tuple[int, Any, Rows]]:
        """Chunks of rows with one network: which, the rows' indices, their columns (d, m)."""
        for begin in range(0, len(rows), _CHUNK):
            chunk = rows[begin : begin + _CHUNK]
            if not self._leads:
                where: Any = slice(begin, begin + _CHUNK)
                yield 0, where, np.ascontiguousarray(chunk.T)
                continue
            for network in range(len(self._tables.chains)):
                (own,) = np.nonzero(chunk[:, 0] == network)
                if len(own):
                    yield network, begin + own, np.ascontiguousarray(chunk[own].T)

    def _costs(self, of_blocks: NDArray[Any], reduce: Callable[..., Any]) -> Costs:
        """For each chain what each entry costs."""
        kind = of_blocks.dtype
        of_emissions = np.array(
            [reduce(of_blocks[list(blocks)]) if blocks else 0 for blocks in self._tables.emissions],
            kind,
        )
        return [of_emissions.take(chain.emits) for chain in self._tables.chains]

    def _reduced(self, rows: Rows, costs: Costs, merge: np.ufunc) -> NDArray[Any]:
        rows = self._checked(rows)
        total = np.zeros(len(rows), costs[0].dtype)
        for network, where, columns in self._parts(rows):
            own = np.zeros(columns.shape[1], total.dtype)
            emits = self._tables.chains[network].is_emitting
            for does, (_, entries) in zip(emits, self._entries(network, columns), strict=True):
                if does:
                    merge(own, costs[network].take(entries), out=own)
            total[where] = own
        return total

    def _entries(self, network: int, columns: Rows) -> Iterable[Entries]:
        """Of `_walk`; of few rows remembered."""
        chain = self._tables.chains[network]
        if columns.shape[1] > _MOST_REMEMBERED:
            return _walk(chain, columns)
        key, latest = (columns.shape, columns.tobytes()), self._latest.get(network)
        if latest is None or latest[0] != key:
            latest = self._latest[network] = key, list(_walk(chain, columns))
        return latest[1]

    def _path(self, network: int, costs: NDArray[Any]) -> tuple[float, Rows]:
        """The least sum within one network, and its row: back from the end, then forward."""
        chain = self._tables.chains[network]
        radices = [1 if column is None else int(self.radices[column]) for column in chain.columns]
        # From the first entry of each state on: the least sum, and its option.
        ahead, best = np.zeros(len(costs) + 1), np.zeros(len(costs), np.intp)
        levels = list(zip(pairwise(chain.starts), radices, strict=True))
        for (begin, end), radix in levels[::-1]:
            own = slice(begin, end)
            sums = (ahead.take(chain.after[own]) + costs[own]).reshape(-1, radix)
            ahead[own][::radix] = sums.min(axis=1)
            best[own][::radix] = sums.argmin(axis=1)
        row = np.zeros(len(self.names), np.uint8)
        if self._leads:
            row[0] = network
        at = 0
        for column in chain.columns:
            entry = at + int(best[at])
            if column is not None and chain.asks[entry]:
                row[column] = best[at]
            at = int(chain.after[entry])
        return float(ahead[0]), row

    def _counted(
        self, rows: Rows, which: int, reduce: Callable[..., Any], merge: np.ufunc
    ) -> NDArray[np.int64]:
        if which not in self._counts:
            of_blocks = np.array([block_counts(block)[which] for block in self.blocks], np.int64)
            self._counts[which] = self._costs(of_blocks, reduce)
        return self._reduced(rows, self._counts[which], merge)

    def _completed(self, digits: Rows, known: NDArray[np.bool_]) -> Rows:
        """Canonical rows of digits of which some are known: the others repeat their sibling."""
        result = np.zeros_like(digits)
        for network, where, columns in self._parts(digits):
            given = np.ascontiguousarray(known[where].T)
            active = np.zeros(columns.shape, np.bool_)
            if self._leads:
                active[0] = True
            chain = self._tables.chains[network]
            for column, at in _walk(chain, columns, ahead=True):
                if column is None:
                    continue
                asked = chain.asks.take(at)
                missing = asked & ~given[column]
                if missing.any():
                    columns[column, missing] = self._guess(column, columns, given)[missing]
                given[column] |= asked
                active[column] |= asked
            result[where] = (columns * active).T
        return result

    def _guess(self, column: int, columns: Rows, given: NDArray[np.bool_]) -> Rows:
        """What a newly active choice takes: its sibling's option, or else the first."""
        found = self._siblings[column]
        if found is None:
            return np.zeros(columns.shape[1], np.uint8)
        sibling, options = found
        return np.where(given[sibling], options.take(columns[sibling]), 0).astype(np.uint8)


def _walk(chain: Chain, columns: Rows, *, ahead: bool = False) -> Iterator[Entries]:
    """For each level its column and the entry that each row reads.

    Args:
        chain: Of the network that all these rows have.
        columns: (d, m) options.
        ahead: Give where the entries of each row's state begin, before the column is read, so
            that it may still be changed.
    """
    at = np.zeros(columns.shape[1], np.intp)
    for column in chain.columns:
        if ahead:
            yield column, at
        entries = at if column is None else at + columns[column]
        if not ahead:
            yield column, entries
        at = chain.after.take(entries)


def compile_space(
    space: "SearchSpace", automaton: Automaton, choices: Mapping[str, Choice]
) -> CompiledSpace:
    """The compiled form of a space; see `SearchSpace.compile`.

    Args:
        space: Any.
        automaton: Its automaton.
        choices: Its choices, by name, in file order.

    Raises:
        TooManyStepsError: Its tables would be too large, or a choice has more than 255 options.
    """
    for choice in choices.values():
        if len(choice.options) > _MOST_OPTIONS:
            raise TooManyStepsError(
                f"{choice.name} has {len(choice.options)} options; a choice of a compiled space "
                f"can have {_MOST_OPTIONS}"
            )
    ordered = list(choices.values())
    tables = tables_of(automaton, ordered)
    return CompiledSpace(
        names=tuple(choices),
        options=tuple(choice.options for choice in ordered),
        radices=np.array([len(choice.options) for choice in ordered], np.uint8),
        blocks=tables.blocks,
        _space=space,
        _tables=tables,
        _siblings=tuple(_sibling(choice, choices) for choice in ordered),
    )


def _sibling(choice: Choice, choices: Mapping[str, Choice]) -> tuple[int, Rows] | None:
    """The column of a choice's sibling, and which own option each of its options is."""
    if choice.sibling is None or choice.sibling not in choices:
        return None
    sibling = choices[choice.sibling]
    return list(choices).index(sibling.name), np.array(
        [_same_option(choice, option) for option in sibling.options], np.uint8
    )


def _same_option(choice: Choice, option: Option) -> int:
    try:
        return index_of(choice.options, option)
    except ValueError:
        return 0
