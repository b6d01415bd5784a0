"""The fair comparison: best candidates and scaled published networks, same recipe, fresh seeds.

What measures over the budget is dropped first: a search selects what the table flatters. The
winner is chosen on validation; test is read once, for the winner and for the best baseline.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.arch import Architecture, write_atomically
from mnas.latency import LatencyTable, time_networks, write_onnx
from mnas.nets import build
from mnas.results import Kind, Record, RecordStore
from mnas.search.executors import Executor
from mnas.search.experiment import Experiment
from mnas.search.limits import Limits
from mnas.search.observing import Observer, Step
from mnas.search.performing import perform_all
from mnas.search.seeds import derive_seed
from mnas.search.stopping import StopRequest
from mnas.search.tables import target_of
from mnas.search.trials import evaluation_record
from mnas.search.work import Task
from mnas.training import Dataset, Score, accuracy_of, mean_accuracy, paired_gain

# Networks that are timed for each one that is confirmed: some will measure over the budget.
_TIMED_PER_PLACE = 2
_TIMED_PER_BASELINE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A network in the comparison.

    Attributes:
        kind: `confirm` for a candidate of the search, `baseline` for a published network.
        name: Id of a candidate, name of a scaled published network.
        measured_ms: Latency of its exported file, end to end, on the first target.
    """

    architecture: Architecture
    kind: Kind
    name: str
    measured_ms: float


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

    def choose(
        self, candidates: Sequence[Architecture], baselines: Sequence[Sequence[Architecture]]
    ) -> tuple[list[Contender], list[dict[str, Any]]]:
        """Time the best candidates and the baselines, interleaved, and keep what fits the budget.

        Args:
            candidates: Of the search, the best first.
            baselines: For each published network its scaled versions, the preferred one first.

        Returns:
            Contenders within the budget, and for the report those that were dropped.
        """
        top = self._experiment.confirm.top
        groups: list[tuple[Kind, Sequence[Architecture], int]] = [
            ("confirm", candidates[: top * _TIMED_PER_PLACE], top),
            *(("baseline", versions[:_TIMED_PER_BASELINE], 1) for versions in baselines),
        ]
        measured = self._measured([arch for _, group, _ in groups for arch in group])
        contenders: list[Contender] = []
        dropped: list[dict[str, Any]] = []
        for kind, group, places in groups:
            for arch in group:
                if places == 0:
                    break
                name = arch.id if kind == "confirm" else arch.name
                ms = measured[arch.id]
                if self._fits(ms):
                    places -= 1
                    contender = Contender(architecture=arch, kind=kind, name=name, measured_ms=ms)
                    contenders.append(contender)
                else:
                    dropped.append({"id": arch.id, "name": name, "measured_ms": ms})
        return contenders, dropped

    def train(self, contenders: Sequence[Contender]) -> None:
        """Train every contender with every fresh seed; what is recorded is not trained again.

        Weights that got lost are trained again, to the same score, which is not recorded twice.
        """
        confirm = self._experiment.confirm
        recorded = {(r.id, r.seed) for r in self._store.all() if self._is_confirmation(r)}
        pairs = [
            (contender, self._seed(contender, replicate))
            for replicate in range(1, confirm.seeds + 1)
            for contender in contenders
        ]
        waiting = [  # numbered among all, so that a resumed run numbers as an undisturbed one
            (number, contender, seed)
            for number, (contender, seed) in enumerate(pairs)
            if (contender.architecture.id, seed) not in recorded
            or not self._weights(contender.architecture, seed).is_file()
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

    def _keep(self, contender: Contender, score: Score, number: int, started: str) -> None:
        record = evaluation_record(
            contender.architecture,
            self._limits.assess(contender.architecture),
            number=number,
            kind=contender.kind,
            score=score,
            rung=None,
            started=started,
            measured_ms={self._experiment.target.name: contender.measured_ms},
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
        marks = {}
        for entry in filter(None, (winner, baseline)):
            contender = by_id[entry["kind"], entry["id"]]
            shares = self._test_shares(contender, data_at)
            marks[entry["kind"]] = shares
            accuracy = mean_accuracy(shares)
            entry |= {
                "test_accuracy": accuracy.value,
                "test_low": accuracy.low,
                "test_high": accuracy.high,
                "test_images": accuracy.total,
            }
        gain = None
        if len(marks) == 2:
            found = paired_gain(marks["confirm"], marks["baseline"])
            gain = {"value": found.value, "low": found.low, "high": found.high}
        return {
            "schema": "mnas.verdict/1",
            "target": self._experiment.target.name,
            "budget_ms": self._experiment.target.budget_ms,
            "noise_floor": self._noise_floor,
            "winner": winner,
            "baseline": baseline,
            "gain": gain,
            "dropped": dropped,
            "confirmed": entries,
        }

    @property
    def _noise_floor(self) -> float:
        verification = self._table.verification
        return 0.0 if verification is None else verification.noise_floor

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

    def _measured(self, networks: Sequence[Architecture]) -> dict[str, float]:
        """Latency of each network's exported file, by id; kept in `timing.json`."""
        path = self._directory / "timing.json"
        kept: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
        if any(arch.id not in kept for arch in networks):
            kept = self._time(networks)
            write_atomically(path, json.dumps(kept, indent=1) + "\n")
        return kept

    def _time(self, networks: Sequence[Architecture]) -> dict[str, float]:
        folder = self._directory / "checkpoints" / "timing"
        folder.mkdir(parents=True, exist_ok=True)
        files = {}
        for index, arch in enumerate(networks):
            step = Step(phase="timing", done=index, total=len(networks), text="writing files")
            self._observer(step)
            files[arch.id] = folder / f"{arch.id}.onnx"
            if not files[arch.id].is_file():
                write_onnx(build(arch).eval(), arch, files[arch.id])
        self._observer(Step(phase="timing", total=len(networks), text="timing end to end"))
        timings = time_networks(files, target_of(self._experiment.target))
        self._observer(Step(phase="timing", done=len(networks), total=len(networks)))
        return {each: timing.ms for each, timing in timings.items()}

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
            "within_budget": True,
            "params": assessment.counts.params,
            "macs": assessment.counts.macs,
        }

    def _test_shares(self, contender: Contender, data_at: Callable[[int], Dataset]) -> list[float]:
        """For each test image the share of the seeds whose network gets it right."""
        arch = contender.architecture
        data = data_at(arch.input.resolution)
        assert data.test is not None
        columns = []
        for replicate in range(1, self._experiment.confirm.seeds + 1):
            weights = self._weights(arch, self._seed(contender, replicate))
            if weights.is_file():
                columns.append(accuracy_of(arch, weights, data.test, data, 1).is_correct)
        return [sum(marks) / len(marks) for marks in zip(*columns, strict=True)]
