"""The fair comparison: best candidates and scaled published networks, same recipe, fresh seeds.

What measures over the budget is dropped first: a search selects what the table flatters. The
winner is chosen on validation; test is read once, for the winner and for the best baseline.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.arch import Architecture
from mnas.latency import LatencyTable
from mnas.results import EndToEnd, Kind, Record, RecordStore, read_end_to_end
from mnas.search.end_to_end import NetworkTimer
from mnas.search.executors import Executor
from mnas.search.experiment import Experiment
from mnas.search.limits import Limits
from mnas.search.observing import Observer, Step
from mnas.search.performing import perform_all
from mnas.search.recording import evaluation_record
from mnas.search.seeds import derive_seed
from mnas.search.stopping import StopRequest
from mnas.search.verdicts import why_no_winner
from mnas.search.work import Task
from mnas.training import Dataset, Score, accuracy_of, mean_accuracy, paired_gain

# Networks that are timed for each one that is confirmed: some will measure over the budget.
_TIMED_PER_PLACE = 2
_TIMED_PER_BASELINE = 3


def most_timed_at_once(experiment: Experiment) -> int:
    """How many networks the first round of the comparison times."""
    baselines = len(experiment.baselines)
    return experiment.confirm.top * _TIMED_PER_PLACE + baselines * _TIMED_PER_BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A network in the comparison.

    Attributes:
        kind: `confirm` for a candidate of the search, `baseline` for a published network.
        name: Id of a candidate, name of a scaled published network.
        measured_ms: Latency of its exported file, end to end, on the first target; None when that
            is another device than this machine, and has no address.
    """

    architecture: Architecture
    kind: Kind
    name: str
    measured_ms: float | None


class Comparison:
    """Times, trains and judges the contenders of a run; each step is kept and not done twice."""

    def __init__(
        self,
        experiment: Experiment,
        *,
        limits: Limits,
        table: LatencyTable,
        store: RecordStore,
        executor: Executor,
        directory: Path,
        observer: Observer,
        stop: StopRequest,
    ) -> None:
        self._experiment = experiment
        self._limits = limits
        self._table = table
        self._store = store
        self._executor = executor
        self._directory = directory
        self._observer = observer
        self._stop = stop
        self._timer = NetworkTimer(
            experiment.target, table=table, directory=directory, observer=observer
        )

    def choose(
        self, candidates: Sequence[Architecture], baselines: Sequence[Sequence[Architecture]]
    ) -> tuple[list[Contender], list[dict[str, Any]]]:
        """Time the best candidates and the baselines, interleaved, and keep what fits the budget.

        Args:
            candidates: Of the search, the best first.
            baselines: For each published network its scaled versions, the preferred one first.

        Returns:
            Contenders within the budget, and for the report those that were dropped.

        Raises:
            DeviceError: The target's device is away; what it timed is kept.
        """
        confirmed: list[Contender] = []
        dropped: list[dict[str, Any]] = []
        ladders = [versions[:_TIMED_PER_BASELINE] for versions in baselines]
        waiting = list(candidates)
        alongside = [arch for ladder in ladders for arch in ladder]
        places = self._experiment.confirm.top
        while waiting and len(confirmed) < places:
            batch, waiting = (
                waiting[: places * _TIMED_PER_PLACE],
                waiting[places * _TIMED_PER_PLACE :],
            )
            measured = self._measured([*batch, *alongside])
            chosen, slow = self._sorted_out("confirm", batch, measured, places - len(confirmed))
            confirmed += chosen
            dropped += slow
            alongside = []
        if not confirmed:
            return [], dropped
        for ladder in ladders:
            chosen, slow = self._sorted_out("baseline", ladder, self._measured(ladder), 1)
            confirmed += chosen
            dropped += slow
        return confirmed, dropped

    def _sorted_out(
        self, kind: Kind, group: Sequence[Architecture], measured: EndToEnd, places: int
    ) -> tuple[list[Contender], list[dict[str, Any]]]:
        """The first of a group that fit, and those before them that do not."""
        contenders: list[Contender] = []
        dropped: list[dict[str, Any]] = []
        for arch in group:
            if len(contenders) == places:
                break
            name = arch.id if kind == "confirm" else arch.name
            ms, reason = measured.ms.get(arch.id), measured.failed.get(arch.id)
            if reason is None and (ms is None or self._fits(ms)):
                contender = Contender(architecture=arch, kind=kind, name=name, measured_ms=ms)
                contenders.append(contender)
            else:
                entry = {"id": arch.id, "name": name, "measured_ms": ms, "reason": reason}
                dropped.append(entry)
        return contenders, dropped

    def train(self, contenders: Sequence[Contender]) -> None:
        """Train every contender with every fresh seed; what is recorded is not trained again.

        Weights that got lost are trained again, to the same score, which is not recorded twice.
        """
        confirm = self._experiment.confirm
        recorded = {
            (record.id, record.seed): record.state
            for record in self._store.all()
            if self._is_confirmation(record)
        }
        pairs = [
            (contender, self._seed(contender, replicate))
            for replicate in range(1, confirm.seeds + 1)
            for contender in contenders
        ]
        waiting = [  # numbered among all, so that a resumed run numbers as an undisturbed one
            (number, contender, seed)
            for number, (contender, seed) in enumerate(pairs)
            if self._is_wanted(contender.architecture, seed, recorded)
        ]
        finished = itertools.count(1)

        def keep(index: int, score: Score, started: str) -> None:
            number, contender, seed = waiting[index]
            if (contender.architecture.id, seed) not in recorded:
                self._keep(contender, score, number, started)
            text = f"{contender.name}: " + (
                f"failed, {score.reason}"
                if score.accuracy is None
                else f"{100 * score.accuracy:.1f} % on validation"
            )
            done = next(finished)
            self._observer(Step(phase="confirm", done=done, total=len(waiting), text=text))

        tasks = [self._task(contender, seed) for _, contender, seed in waiting]
        perform_all(tasks, self._executor, self._stop, keep)

    def _is_wanted(
        self, arch: Architecture, seed: int, recorded: Mapping[tuple[str, int], str]
    ) -> bool:
        """Whether a training is to be done: not yet, or its weights got lost."""
        state = recorded.get((arch.id, seed))
        return state is None or (state == "complete" and not self._weights(arch, seed).is_file())

    def _keep(self, contender: Contender, score: Score, number: int, started: str) -> None:
        record = evaluation_record(
            contender.architecture,
            self._limits.assess(contender.architecture),
            number=number,
            kind=contender.kind,
            score=score,
            rung=None,
            started=started,
            measured_ms={}
            if contender.measured_ms is None
            else {self._experiment.target.name: contender.measured_ms},
        )
        self._store.add(record, contender.architecture)

    def judge(
        self,
        contenders: Sequence[Contender],
        dropped: list[dict[str, Any]],
        data_at: Callable[[int], Dataset],
    ) -> dict[str, Any]:
        """Choose the winner on validation, then read test once, for it and the best baseline.

        Args:
            contenders: All of which were trained.
            dropped: What measured over the budget.
            data_at: Gives the data, test images included, at a resolution.

        Returns:
            The content of `verdict.json`; the winner is None if no candidate was trained.
        """
        entries = [entry for each in contenders if (entry := self._entry(each)) is not None]
        entries.sort(key=lambda each: (-each["val_accuracy"], each["predicted_ms"], each["id"]))
        winner = next((each for each in entries if each["kind"] == "confirm"), None)
        baseline = next((each for each in entries if each["kind"] == "baseline"), None)
        by_id = {(each.kind, each.architecture.id): each for each in contenders}
        gain = self._read_before(winner, baseline)
        if gain is None:
            gain = self._read_test(winner, baseline, by_id, data_at)
        return {
            "schema": "mnas.verdict/1",
            "target": self._experiment.target.name,
            "budget_ms": self._experiment.target.budget_ms,
            "noise_floor": self._noise_floor,
            "timed_on": self._timed_on,
            "winner": winner,
            "baseline": baseline,
            "gain": gain or None,
            "reason": None if winner else why_no_winner(dropped, has_contenders=bool(contenders)),
            "dropped": dropped,
            "confirmed": entries,
        }

    def _read_before(
        self, winner: dict[str, Any] | None, baseline: dict[str, Any] | None
    ) -> dict[str, float] | None:
        """The gain of an earlier verdict on the same trainings, so that test is read once."""
        path = self._directory / "verdict.json"
        if winner is None or not path.is_file():
            return None
        earlier = json.loads(path.read_text())
        for now, before in ((winner, earlier["winner"]), (baseline, earlier["baseline"])):
            same = ("id", "val_accuracies")
            if [(now or {}).get(key) for key in same] != [(before or {}).get(key) for key in same]:
                return None
        for now, before in ((winner, earlier["winner"]), (baseline, earlier["baseline"])):
            if now is not None:
                now |= {key: before[key] for key in before if key.startswith("test_")}
        return dict(earlier["gain"] or {})

    def _read_test(
        self,
        winner: dict[str, Any] | None,
        baseline: dict[str, Any] | None,
        contenders: Mapping[tuple[Kind, str], Contender],
        data_at: Callable[[int], Dataset],
    ) -> dict[str, float]:
        """Read test for these two; the gain is empty unless both are there."""
        if winner is None:
            return {}
        marks = {}
        for entry in filter(None, (winner, baseline)):
            shares = self._test_shares(contenders[entry["kind"], entry["id"]], data_at)
            marks[entry["kind"]] = shares
            accuracy = mean_accuracy(shares)
            entry |= {
                "test_accuracy": accuracy.value,
                "test_low": accuracy.low,
                "test_high": accuracy.high,
                "test_images": accuracy.total,
            }
        if baseline is None:
            return {}
        found = paired_gain(marks["confirm"], marks["baseline"])
        return {"value": found.value, "low": found.low, "high": found.high}

    @property
    def _noise_floor(self) -> float:
        """The table's; of a device that timed for an unverified table that of its own rounds."""
        verification = self._table.verification
        if verification is not None:
            return verification.noise_floor
        return read_end_to_end(self._directory).noise_floor or 0.0

    @property
    def _timed_on(self) -> dict[str, Any] | None:
        found = read_end_to_end(self._directory)
        if not found.ms:
            return None
        known = ("address", "device", "runtime_version", "waits")
        return {name: getattr(found, name) for name in known}

    def _fits(self, measured_ms: float) -> bool:
        budget = self._experiment.target.budget_ms
        return budget is None or measured_ms <= budget * (1 + self._noise_floor)

    def _is_confirmation(self, record: Record) -> bool:
        return record.kind in ("confirm", "baseline") and record.rung is None

    def _seed(self, contender: Contender, replicate: int) -> int:
        return derive_seed(self._experiment.search.seed, contender.architecture.id, replicate)

    def _weights(self, arch: Architecture, seed: int) -> Path:
        return self._directory / "checkpoints" / f"confirm-{arch.id}-{seed}.safetensors"

    def _task(self, contender: Contender, seed: int) -> Task:
        arch = contender.architecture
        return Task(
            architecture=arch,
            stage="confirm",
            epochs=self._experiment.confirm.epochs,
            seed=seed,
            weights_to=self._weights(arch, seed),
        )

    def _measured(self, networks: Sequence[Architecture]) -> EndToEnd:
        """Latency of each network end to end; those are lacking that cannot be timed here."""
        return self._timer.times(networks)

    def _entry(self, contender: Contender) -> dict[str, Any] | None:
        arch = contender.architecture
        accuracies = [
            record.accuracy
            for record in self._store.all()
            if self._is_confirmation(record)
            and record.kind == contender.kind
            and record.id == arch.id
            and record.accuracy is not None
        ]
        if not accuracies:
            return None
        assessment = self._limits.assess(arch)
        latency = assessment.latency[self._experiment.target.name]
        budget = self._experiment.target.budget_ms
        return {
            "id": arch.id,
            "name": contender.name,
            "kind": contender.kind,
            "val_accuracy": sum(accuracies) / len(accuracies),
            "val_accuracies": accuracies,
            "test_accuracy": None,
            "test_low": None,
            "test_high": None,
            "test_images": None,
            "predicted_ms": latency.ms,
            "low_ms": latency.low_ms,
            "high_ms": latency.high_ms,
            "measured_ms": contender.measured_ms,
            "within_budget": budget is None or (contender.measured_ms or latency.ms) <= budget,
            "params": assessment.counts.params,
            "macs": assessment.counts.macs,
        }

    def _test_shares(self, contender: Contender, data_at: Callable[[int], Dataset]) -> list[float]:
        """For each test image the share of the seeds whose network gets it right."""
        arch = contender.architecture
        data = data_at(arch.input.resolution)
        assert data.test is not None
        complete = {
            record.seed
            for record in self._store.all()
            if self._is_confirmation(record)
            and record.id == arch.id
            and record.accuracy is not None
        }
        columns = [
            accuracy_of(arch, self._weights(arch, seed), data.test, data, 1).is_correct
            for seed in sorted(complete)
        ]
        return [sum(marks) / len(marks) for marks in zip(*columns, strict=True)]
