import pytest
from formulas import FormulaPredictor

from mnas.arch import count
from mnas.search.limits import Limits


def test_violation_says_by_which_share_a_limit_is_exceeded(space):
    arch = next(iter(space.enumerate()))
    counts = count(arch)
    limits = Limits(
        predictors={"cpu": FormulaPredictor()},
        budgets_ms={"cpu": counts.macs / 2e6},
        ceilings={"params": counts.params * 2},
    )

    found = limits.assess(arch)

    assert found.violations["latency.cpu"] == pytest.approx(1.0)
    assert found.violations["params"] == pytest.approx(-0.5)
    assert not found.is_feasible
    assert found.reason == "over the limit: latency.cpu +100.0 %"


def test_network_exactly_at_its_limits_is_feasible(space):
    arch = next(iter(space.enumerate()))
    limits = Limits(
        predictors={"cpu": FormulaPredictor()},
        budgets_ms={"cpu": count(arch).macs / 1e6},
        ceilings={"macs": count(arch).macs},
    )

    assert limits.assess(arch).is_feasible
