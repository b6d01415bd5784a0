"""A small space, and trial loops over it that take no time."""

import pytest
from formulas import FormulaExecutor, FormulaPredictor

from mnas.latency import LatencyTable, TableRow, Target, describe_device, reachable_blocks
from mnas.search.ground import Ground
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import ignore
from mnas.search.proposing import Proposer
from mnas.search.samplers import sampler_factory
from mnas.search.stopping import StopRequest
from mnas.search.trials import Plan, TrialLoop
from mnas.space import load_space

SPACE = """\
schema: mnas.space/1
name: tiny
source: "made for tests"
input: {channels: 1, resolution: [16, 24]}
width: [0.5, 1.0]
rounding: {divisor: 8, keep: 0.9}
norm: {eps: 1e-5, momentum: 0.1}
stem: {kernel: 3, stride: 2, out_channels: 8, activation: relu}
stages:
  - op: inverted_residual
    depth: [1, 2, 3]
    kernel: {each: [3, 5]}
    expansion: {each: [2, 3]}
    out_channels: 16
    stride: 2
    activation: [relu, hard_swish]
    se: [null, {ratio: 0.25, activation: relu, gate: hard_sigmoid}]
  - op: inverted_residual
    depth: 1
    kernel: 3
    expansion: [2, 4]
    out_channels: 24
    stride: 2
    activation: relu
head:
  - {op: pool}
"""

EXPERIMENT = """\
schema: mnas.experiment/1
name: formula
space: tiny.yaml
data: {source: digits}
proxy: {epochs: [1, 3]}
targets: [{name: this-cpu, table: table.csv, budget_ms: 50}]
objectives: [accuracy, latency]
search: {trials: 6}
baselines: [mobilenet_v3_small]
confirm: {top: 2, seeds: 2, epochs: 3}
"""


@pytest.fixture(autouse=True)
def own_machine_lock(tmp_path_factory, monkeypatch):
    """A measurement elsewhere on this machine does not hold up a test: timings do not matter."""
    monkeypatch.setenv("MNAS_LOCK_FOLDER", str(tmp_path_factory.mktemp("lock")))


@pytest.fixture
def tiny():
    """The text of the tiny space."""
    return SPACE


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE)
    return load_space(path).for_data(num_classes=10, channels=1)


@pytest.fixture
def make_loop(space):
    """A trial loop over the tiny space; every part can be replaced."""

    def make(store, *, trials=12, epochs=(1, 3), budget_ms=None, sampler="tpe", **parts):
        where = parts.pop("space", space)
        objectives = Objectives(targets=("cpu",), with_latency=True)
        limits = Limits(
            predictors={"cpu": parts.pop("predictor", None) or FormulaPredictor()},
            budgets_ms={} if budget_ms is None else {"cpu": budget_ms},
        )
        return TrialLoop(
            Plan(
                trials=trials,
                epochs=epochs,
                seed=parts.pop("seed", 0),
                patience=parts.pop("patience", None),
            ),
            space=where,
            limits=limits,
            objectives=objectives,
            proposer=Proposer(
                where,
                sampler_factory(sampler, Ground(where, limits, objectives)),
                seed=0,
                directions=objectives.directions,
            ),
            store=store,
            executor=parts.pop("executor", None) or FormulaExecutor(),
            observer=parts.pop("observer", ignore),
            stop=parts.pop("stop", None) or StopRequest(),
            **parts,
        )

    return make


@pytest.fixture
def experiment(space, tmp_path):
    """An experiment over the tiny space, with a table in which every block takes 0.1 ms."""
    blocks = reachable_blocks(space)
    rows = tuple(
        TableRow(block=key, ms=0.1, wall_ms=0.1, spread=0.0, runs=10, status="measured")
        for key in blocks
    )
    table = LatencyTable(target=Target(), device=describe_device(), runtime_version="0", rows=rows)
    table.save(tmp_path / "table.csv")
    path = tmp_path / "formula.yaml"
    path.write_text(EXPERIMENT)
    return path
