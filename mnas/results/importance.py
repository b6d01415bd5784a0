"""Which choices moved the accuracy, as far as the trials can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnas.results.candidates import Candidate, at_rung, rungs
from mnas.results.record import Record

if TYPE_CHECKING:
    from mnas.space import Option

Numbers = NDArray[np.float64]

FEWEST = 10
ROUGH_BELOW = 60
_FOLDS = 5
_REPEATS = 10
_MOST_ROWS = 3000  # many trials need few repeats
_TREES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceImportance:
    """What shuffling one choice costs the forest.

    Attributes:
        choice: Its name.
        drop: Mean fall of R2 on trials that the forest had not seen; higher is more important.
        error: Standard error of that mean over the folds.
    """

    choice: str
    drop: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """Permutation importance of a random forest (Breiman 2001, section 10), cross-validated.

    Attributes:
        n: Trials it learnt from.
        epochs: The rung whose accuracies it explains.
        explained: R2 on trials it had not seen; below 0 it explains nothing.
        choices: From the most important.
    """

    n: int
    epochs: int
    explained: float
    choices: tuple[ChoiceImportance, ...]


def rung_to_explain(records: Sequence[Record]) -> tuple[int, list[Candidate]] | None:
    """The highest rung that enough trials reached, else the one that most reached."""
    found = [(epochs, at_rung(records, epochs)) for epochs in rungs(records)]
    if not found:
        return None
    enough = [pair for pair in found if len(pair[1]) >= ROUGH_BELOW]
    return enough[-1] if enough else max(found, key=lambda pair: (len(pair[1]), pair[0]))


def choice_importance(records: Sequence[Record]) -> Importance | None:
    """How much each choice matters for the accuracy of the trials.

    Args:
        records: Of one run.

    Returns:
        The importance on the highest rung with enough trials; None below `FEWEST` trials, or
        where no choice or no accuracy varies.
    """
    found = rung_to_explain(records)
    if found is None or len(found[1]) < FEWEST:
        return None
    epochs, trials = found
    names, features = _features([trial.record for trial in trials])
    accuracies = np.array([trial.accuracy for trial in trials])
    if not names or np.ptp(accuracies) == 0:
        return None
    explained, drops = _permuted(features, accuracies)
    choices = [
        ChoiceImportance(
            choice=name,
            drop=float(values.mean()),
            error=float(values.std(ddof=1) / len(values) ** 0.5),
        )
        for name, values in zip(names, drops, strict=True)
    ]
    choices.sort(key=lambda one: (-one.drop, one.choice))
    return Importance(n=len(trials), epochs=epochs, explained=explained, choices=tuple(choices))


def _permuted(features: Numbers, accuracies: Numbers) -> tuple[float, Numbers]:
    """R2 on unseen trials, and (choices, folds) what shuffling a choice costs of it."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    rng = np.random.default_rng(0)
    repeats = max(1, min(_REPEATS, _MOST_ROWS // len(features)))
    drops, squares = [], np.empty_like(accuracies)
    for train, test in KFold(_FOLDS, shuffle=True, random_state=0).split(features):
        forest = RandomForestRegressor(
            _TREES, min_samples_leaf=2, max_features=0.5, random_state=0
        ).fit(features[train], accuracies[train])
        squares[test] = (forest.predict(features[test]) - accuracies[test]) ** 2
        shuffled = (
            forest.predict(_shuffled(features[test], repeats, rng))
            - np.tile(accuracies[test], features.shape[1] * repeats)
        ) ** 2
        errors = shuffled.reshape(features.shape[1], repeats * len(test)).mean(axis=1)
        drops.append(errors - squares[test].mean())
    variance = float(accuracies.var())
    return 1 - float(squares.mean()) / variance, np.stack(drops, axis=1) / variance


def _shuffled(features: Numbers, repeats: int, rng: np.random.Generator) -> Numbers:
    """Every shuffle of every column under each other, so that the forest is asked once."""
    copies = np.tile(features, (features.shape[1], repeats, 1, 1))
    for column in range(features.shape[1]):
        for repeat in range(repeats):
            copies[column, repeat, :, column] = rng.permutation(features[:, column])
    return copies.reshape(-1, features.shape[1])


def _features(records: Sequence[Record]) -> tuple[list[str], Numbers]:
    """A column for each choice that varies; an inactive choice is an option of its own."""
    names = sorted({name for record in records for name in record.choices})
    columns = {
        name: _codes([record.choices.get(name, "(inactive)") for record in records])
        for name in names
    }
    varying = {name: codes for name, codes in columns.items() if np.ptp(codes) > 0}
    return list(varying), np.array(list(varying.values()), dtype=np.float64).T


def _codes(options: Sequence["Option"]) -> Numbers:
    """Numbers in their order, after everything else by its text."""
    distinct = {repr(option): option for option in options}
    ordered = sorted(distinct, key=lambda text: (_size(distinct[text]), text))
    order = {text: float(place) for place, text in enumerate(ordered)}
    return np.array([order[repr(option)] for option in options])


def _size(option: "Option") -> float:
    is_number = isinstance(option, int | float) and not isinstance(option, bool)
    return float(option) if is_number and option is not None else float("-inf")
