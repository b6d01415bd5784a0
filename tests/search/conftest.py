"""A small space, and trial loops over it that take no time."""

import pytest
from formulas import FormulaExecutor, FormulaPredictor

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
            predictors={"cpu": FormulaPredictor()},
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
