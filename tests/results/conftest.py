"""A run directory as a search leaves it, made in a moment: no training, the same every time."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mnas.arch import Architecture, count
from mnas.results import Record, RecordStore

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
TARGET = "this-cpu"
BUDGET_MS = 0.42
KERNELS, EXPANSIONS, WIDTHS = (3, 5), (3, 4, 6), (16, 24)


def network(choices: dict[str, Any], name: str = "small_28") -> Architecture:
    """A network of three stages for 28 px grey images, with as many layers as chosen."""
    blocks: list[dict[str, Any]] = []
    channels = 16
    for stage, (out, stride) in enumerate(((choices["width"], 2), (40, 2), (64, 1))):
        for layer in range(choices[f"stages.{stage}.depth"]):
            expansion = choices[f"stages.{stage}.layers.{layer}.expansion"]
            squeezed = choices[f"stages.{stage}.se"]
            se = {"channels": 8, "activation": "relu", "gate": "hard_sigmoid"}
            blocks.append(
                {
                    "op": "inverted_residual",
                    "kernel": choices[f"stages.{stage}.layers.{layer}.kernel"],
                    "stride": stride if layer == 0 else 1,
                    "expanded_channels": channels * expansion,
                    "out_channels": out,
                    "activation": "hard_swish" if stage else "relu",
                    "expand": True,
                    "se": se if squeezed == "quarter" else None,
                    "residual": layer > 0,
                }
            )
            channels = out
    document = {
        "schema": "mnas.architecture/1",
        "name": name,
        "input": {"channels": 1, "resolution": 28},
        "num_classes": 10,
        "padding": "symmetric",
        "norm": {"eps": 1e-5, "momentum": 0.1},
        "dropout": 0.1,
        "stem": {"kernel": 3, "stride": 1, "out_channels": 16, "activation": "hard_swish"},
        "blocks": blocks,
        "head": [
            {
                "op": "conv",
                "out_channels": 192,
                "norm": True,
                "bias": False,
                "activation": "hard_swish",
            },
            {"op": "pool"},
        ],
    }
    return Architecture.from_json(json.dumps(document))


def choose(rng: random.Random) -> dict[str, Any]:
    """Active choices in the order of the space file."""
    choices: dict[str, Any] = {"width": rng.choice(WIDTHS)}
    for stage in range(3):
        choices[f"stages.{stage}.depth"] = rng.choice((1, 2, 3))
        choices[f"stages.{stage}.se"] = rng.choice((None, "quarter"))
        for layer in range(choices[f"stages.{stage}.depth"]):
            choices[f"stages.{stage}.layers.{layer}.kernel"] = rng.choice(KERNELS)
            choices[f"stages.{stage}.layers.{layer}.expansion"] = rng.choice(EXPANSIONS)
    return choices


def latency_of(arch: Architecture) -> float:
    return 0.05 + count(arch).macs / 2.2e7


def accuracy_of(arch: Architecture, choices: dict[str, Any], epochs: int) -> float:
    """Depth of the last stage, SE and size help; more epochs help; never above one."""
    score = 0.845 + 0.008 * choices["stages.2.depth"] + 0.0006 * len(choices)
    score += 0.006 * (choices["stages.2.se"] is not None) + 0.01 * min(1, latency_of(arch))
    return score + 0.012 * epochs**0.5


def make_record(arch: Architecture, **changes: Any) -> Record:
    """A complete record of an architecture; any field can be given."""
    counts = count(arch)
    values: dict[str, Any] = {
        "number": 0,
        "id": arch.id,
        "kind": "trial",
        "rung": 0,
        "epochs": 1,
        "seed": 1,
        "state": "complete",
        "reason": None,
        "accuracy": 0.9,
        "latency_ms": {TARGET: latency_of(arch)},
        "measured_ms": {},
        "params": counts.params,
        "macs": counts.macs,
        "peak_activation_bytes": counts.peak_activation_bytes,
        "seconds": 12.5,
        "started": START.isoformat(timespec="milliseconds"),
        "choices": {},
        "memory": None,
    }
    return Record(**{**values, **changes})


@pytest.fixture(name="make_record")
def _make_record() -> Callable[..., Record]:
    return make_record


@pytest.fixture(scope="session")
def networks() -> list[Architecture]:
    """Twenty different networks."""
    rng = random.Random(3)
    found = {arch.id: arch for arch in (network(choose(rng)) for _ in range(40))}
    return list(found.values())[:20]


class Script:
    """Adds records to a store on a clock of its own."""

    def __init__(self, store: RecordStore, target: str, rng: random.Random) -> None:
        self.store, self.target, self.rng, self.clock = store, target, rng, 0.0

    def add(self, arch: Architecture, seconds: float, **fields: Any) -> None:
        ms = latency_of(arch)
        record = make_record(
            arch,
            latency_ms={self.target: ms},
            margin_ms={self.target: (0.96 * ms, 1.04 * ms)},
            seconds=seconds,
            started=(START + timedelta(seconds=self.clock)).isoformat(timespec="milliseconds"),
            **fields,
        )
        self.clock += seconds / 2  # two workers
        self.store.add(record, arch)

    def trial(self, number: int) -> tuple[Architecture, dict[str, Any], float] | None:
        choices = choose(self.rng)
        arch = network(choices)
        common: dict[str, Any] = {"number": number, "choices": choices, "seed": 1000 + number}
        if latency_of(arch) > BUDGET_MS:
            reason = f"{latency_of(arch):.3f} ms on {self.target} is over {BUDGET_MS} ms"
            self.add(
                arch,
                0,
                **common | {"epochs": 0, "seed": 0, "rung": None},
                state="infeasible",
                reason=reason,
                accuracy=None,
            )
            return None
        if number % 17 == 5:
            self.add(arch, 3, **common, state="failed", reason="loss became NaN", accuracy=None)
            return None
        accuracy = 0.0
        for rung, epochs in enumerate((1, 3, 9)):
            noise = self.rng.gauss(0, 0.004 / (rung + 1))
            accuracy = accuracy_of(arch, choices, epochs) + noise
            fields = common | {"rung": rung, "epochs": epochs}
            self.add(arch, 14.0 * epochs, **fields, accuracy=accuracy)
            if rung < 2 and accuracy < accuracy_of(arch, choices, epochs) - 0.001:
                break
        return arch, choices, accuracy


def write_run(
    folder: Path,
    *,
    name: str = "fashion_mnist",
    target: str = TARGET,
    baseline_name: str = "mobilenet_v3_small x0.35 @28",
    space: str = "small_28",
    trials: int = 60,
    distinguishable: bool = True,
) -> Path:
    """A finished run: trials on three rungs, confirmation, two baselines, a verdict."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(11)
    with RecordStore(folder / "records.db") as store:
        script = Script(store, target, rng)
        found = [one for number in range(trials) if (one := script.trial(number))]
        found.sort(key=lambda one: -one[2])
        confirmed = [_confirm(script, *one[:2], index) for index, one in enumerate(found[:5])]
        baselines = [
            _baseline(script, baseline_name, 3, 0.912),
            _baseline(script, "mobilenet_v2 x0.35 @28", 5, 0.905),
        ]
    entries = sorted([*confirmed, *baselines], key=lambda entry: -entry["val_accuracy"])
    winner = next(entry for entry in entries if entry["kind"] == "confirm")
    baseline = max(baselines, key=lambda entry: entry["val_accuracy"])
    value = 0.0123 if distinguishable else 0.0021
    for entry, accuracy in ((winner, 0.9187), (baseline, 0.9187 - value)):
        entry |= {
            "test_accuracy": accuracy,
            "test_low": accuracy - 0.0054,
            "test_high": accuracy + 0.0053,
            "test_images": 10000,
        }
    dropped = [{"id": found[7][0].id, "name": found[7][0].id, "measured_ms": 1.09 * BUDGET_MS}]
    verdict = {
        "schema": "mnas.verdict/1",
        "winner": winner,
        "baseline": baseline,
        "target": target,
        "budget_ms": BUDGET_MS,
        "noise_floor": 0.011,
        "gain": {"value": value, "low": value - 0.0052, "high": value + 0.0052},
        "dropped": dropped,
        "confirmed": entries,
    }
    (folder / "verdict.json").write_text(json.dumps(verdict))
    write_experiment(folder, name=name, target=target, space=space, baselines=[baseline_name])
    return folder


def _confirm(
    script: Script, arch: Architecture, choices: dict[str, Any], index: int
) -> dict[str, Any]:
    accuracies = [accuracy_of(arch, choices, 16) + script.rng.gauss(0, 0.0016) for _ in range(3)]
    return _entry(script, arch, "confirm", arch.id, accuracies, choices, number=3 * index)


def _baseline(script: Script, name: str, kernel: int, accuracy: float) -> dict[str, Any]:
    choices: dict[str, Any] = {"width": 24}
    for stage in range(3):
        choices |= {f"stages.{stage}.depth": 2, f"stages.{stage}.se": None}
        for layer in range(2):
            choices[f"stages.{stage}.layers.{layer}.kernel"] = kernel
            choices[f"stages.{stage}.layers.{layer}.expansion"] = 3
    arch = network(choices, name)
    accuracies = [accuracy + script.rng.gauss(0, 0.0016) for _ in range(3)]
    return _entry(script, arch, "baseline", name, accuracies, {}, number=kernel)


def _entry(
    script: Script,
    arch: Architecture,
    kind: str,
    name: str,
    accuracies: list[float],
    choices: dict[str, Any],
    *,
    number: int,
) -> dict[str, Any]:
    measured = latency_of(arch) * (1 + script.rng.gauss(0.01, 0.018))
    for seed, accuracy in enumerate(accuracies):
        fields = {"number": number + seed, "kind": kind, "rung": None, "epochs": 20, "seed": seed}
        script.add(
            arch,
            300,
            **fields,
            accuracy=accuracy,
            measured_ms={script.target: measured},
            choices=choices,
        )
    ms = latency_of(arch)
    return {
        "id": arch.id,
        "name": name,
        "kind": kind,
        "val_accuracy": sum(accuracies) / len(accuracies),
        "val_accuracies": accuracies,
        "test_accuracy": None,
        "test_low": None,
        "test_high": None,
        "test_images": None,
        "predicted_ms": ms,
        "low_ms": 0.96 * ms,
        "high_ms": 1.04 * ms,
        "measured_ms": measured,
        "within_budget": True,
        "params": count(arch).params,
        "macs": count(arch).macs,
    }


def write_experiment(
    folder: Path,
    *,
    name: str = "fashion_mnist",
    target: str = TARGET,
    space: str = "small_28",
    baselines: list[str] | None = None,
    more_targets: tuple[str, ...] = (),
) -> None:
    """`experiment.yaml` (JSON is YAML) and `environment.json`."""
    devices = [{"name": target, "runtime": "onnxruntime", "threads": 1, "dtype": "fp32"}]
    devices += [{**devices[0], "name": more} for more in more_targets]
    experiment = {
        "schema": "mnas.experiment/1",
        "name": name,
        "space": space,
        "data": {"source": "idx", "path": "/data/fashion-mnist", "val": 5000, "seed": 0},
        "proxy": {"epochs": [1, 3, 9], "samples": 12000, "batch_size": 128},
        "targets": [device | {"table": "auto", "budget_ms": BUDGET_MS} for device in devices],
        "constraints": {},
        "objectives": ["accuracy", "latency"],
        "search": {"sampler": "tpe", "trials": 60, "hours": None, "seed": 0},
        "baselines": baselines or [],
        "confirm": {"top": 5, "seeds": 3, "epochs": 20},
    }
    (folder / "experiment.yaml").write_text(json.dumps(experiment, indent=1))
    environment = {
        "schema": "mnas.environment/1",
        "versions": {"python": "3.11.7", "mnas": "0.1.0", "torch": "2.13.0"},
        "commit": "1f49f0f-dirty",
        "host": {"name": "workshop", "system": "Linux", "cores": 2},
        "hashes": {"data": "0f3a", "space": "77ab", "tables": {target: "c0de"}},
        "tables": {target: table_facts()},
        "seconds": {"measuring the table": 312.0, "search": 2100.0, "confirm": 3150.0},
        "command": "mnas search experiments/fashion_mnist.yaml",
    }
    (folder / "environment.json").write_text(json.dumps(environment))


def table_facts() -> dict[str, Any]:
    """What `environment.json` says of a verified table."""
    return {
        "device": "a processor, 2 cores",
        "runtime": "onnxruntime",
        "runtime_version": "1.31.1",
        "threads": 1,
        "dtype": "fp32",
        "verification": {
            "mape": {"value": 0.021, "low": 0.017, "high": 0.026},
            "mape_raw": {"value": 0.043, "low": 0.036, "high": 0.051},
            "within_5_percent": {"value": 0.93, "low": 0.87, "high": 0.98},
            "within_10_percent": {"value": 1.0, "low": 1.0, "high": 1.0},
            "spearman": {"value": 0.991, "low": 0.985, "high": 0.995},
            "macs_mape": {"value": 0.061, "low": 0.051, "high": 0.072},
            "macs_spearman": {"value": 0.96, "low": 0.93, "high": 0.98},
            "noise_floor": 0.011,
            "verdict": "trusted",
            "reason": "error 2.1% (1.7% to 2.6%) on 60 networks; MACs reach 6.1%.",
            "networks": [{"fitted": index < 10} for index in range(70)],
        },
    }


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests only read it."""
    return write_run(tmp_path_factory.mktemp("runs") / "fashion_mnist")


@pytest.fixture
def runs() -> SimpleNamespace:
    """The makers of runs, for tests that need another one."""
    return SimpleNamespace(write=write_run, write_experiment=write_experiment, replace=replace)
