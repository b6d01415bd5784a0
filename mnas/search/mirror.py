"""A copy of a run in an Optuna storage, for optuna-dashboard; never in the way of the search."""

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from mnas.results import Record, RecordStore
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.space import Option, SearchSpace

logger = logging.getLogger(__name__)
_EVERY_S = 2.0
_LAST_S = 30.0  # what the end of a search waits for its mirror, at most
_SEQUENCE = "mnas:records"
_Place = tuple[int, int | None]  # number and rung, of which there is one record


class Mirror:
    """Turns the records of one run into trials of an Optuna study.

    Each record is one trial, written whole: complete at the highest rung; pruned where a candidate
    stopped at a lower one or was ruled out, with its constraints; failed. The user attributes
    hold id, rung, epochs, seed, latencies and counts. Only Optuna's own storages know the study;
    the search never reads it.

    Args:
        url: Of an Optuna storage, such as `sqlite:///mirror.db` or `postgresql://...`.
        name: Of the study.
        records: The run's `records.db`; only read.
        space: Gives the choices.
        objectives: Gives directions and values.
        limits: Gives the constraints.
        top_epochs: Epochs of the highest rung.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        records: Path,
        space: SearchSpace,
        objectives: Objectives,
        limits: Limits,
        top_epochs: int,
    ) -> None:
        self._url = url
        self._name = name
        self._records = records
        self._options: Mapping[str, tuple[Option, ...]] = space.choices
        self._objectives = objectives
        self._limits = limits
        self._top_epochs = top_epochs
        self._study: optuna.Study | None = None
        self._done = 0
        self._last: _Place | None = None
        self._is_ending = threading.Event()

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Fill the storage from a thread of its own while this is open; its faults are logged."""
        thread = threading.Thread(target=self._fill_until_the_end, name="mirror", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_ending.set()
            thread.join(_LAST_S)

    def fill(self) -> int:
        """Write what is recorded and not mirrored yet.

        Returns:
            How many trials were added.

        Raises:
            Exception: Whatever the storage raises.
        """
        study = self._opened()
        with RecordStore(self._records, read_only=True) as store:
            rows = store.since(self._done)
        for record in rows:
            if record.kind == "trial" and (record.number, record.rung) != self._last:
                study.add_trial(self._trial(record))
            self._done += 1
            study.set_user_attr(_SEQUENCE, self._done)
        return len(rows)

    def _opened(self) -> optuna.Study:
        if self._study is None:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            study = optuna.create_study(
                storage=self._url,
                study_name=self._name,
                directions=list(self._objectives.directions),
                load_if_exists=True,
            )
            self._done = int(study.user_attrs.get(_SEQUENCE, 0))
            self._last = _last_place(study)
            self._study = study
        return self._study

    def _fill_until_the_end(self) -> None:
        is_told = False
        while True:
            is_last = self._is_ending.wait(_EVERY_S)
            try:
                self.fill()
                is_told = False
            except Exception as error:  # a dashboard is never worth a search
                self._study = None
                if not is_told:
                    logger.warning("the mirror cannot be filled now: %r", error)
                is_told = True
            if is_last:
                return

    def _trial(self, record: Record) -> FrozenTrial:
        is_top = record.accuracy is not None and record.epochs == self._top_epochs
        state = TrialState.FAIL if record.state == "failed" else TrialState.PRUNED
        values = None
        if is_top:
            assert record.accuracy is not None
            state = TrialState.COMPLETE
            values = self._objectives.values(record.accuracy, record.latency_ms, record)
        return create_trial(
            state=state,
            values=values,
            params=dict(record.choices),
            distributions={
                name: CategoricalDistribution(self._options[name]) for name in record.choices
            },
            user_attrs={
                "id": record.id,
                "number": record.number,
                "rung": record.rung,
                "epochs": record.epochs,
                "seed": record.seed,
                "reason": record.reason,
                "accuracy": record.accuracy,
                **{f"latency_ms.{name}": ms for name, ms in record.latency_ms.items()},
                "params": record.params,
                "macs": record.macs,
                "peak_activation_bytes": record.peak_activation_bytes,
            },
            constraints=self._limits.violations_of(record),
        )


def _last_place(study: optuna.Study) -> _Place | None:
    """Which record the last trial is: whoever wrote it may have died before it counted it."""
    trials = study.get_trials(deepcopy=False)
    if not trials or "number" not in trials[-1].user_attrs:  # somebody else may have added one
        return None
    return trials[-1].user_attrs["number"], trials[-1].user_attrs["rung"]
