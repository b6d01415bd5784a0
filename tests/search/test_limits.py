import pytest
from formulas import FormulaPredictor

from mnas.arch import count
from mnas.latency import (
    Calibration,
    Interval,
    Latency,
    LatencyTable,
    LatencyTableError,
    TableRow,
    Target,
    Verification,
    VerifiedNetwork,
    margin_at,
    reachable_blocks,
)
from mnas.search.limits import Limits


@pytest.fixture
def verified_table(space):
    """A table that was wrong by 1 %, 2 %, ... 19 % on the networks that verified it."""
    rows = tuple(
        TableRow(block=key, ms=0.1, wall_ms=0.1, spread=0.0, runs=10, status="measured")
        for key in reachable_blocks(space)
    )
    networks = tuple(
        VerifiedNetwork(
            id=f"{error:012x}",
            resolution=16,
            macs=1,
            predicted_ms=1.0,
            measured_ms=1 + error / 100,
            fitted=error == 0,
        )
        for error in range(20)
    )
    some = Interval(value=0.1, low=0.0, high=0.2)
    verification = Verification(
        mape=some,
        mape_raw=some,
        within_5_percent=some,
        within_10_percent=some,
        spearman=some,
        spearman_by_resolution={},
        macs_mape=some,
        macs_spearman=some,
        noise_floor=0.01,
        verdict="good",
        reason="",
        networks=networks,
    )
    return LatencyTable(
        target=Target(),
        device="made for tests",
        runtime_version="0",
        rows=rows,
        calibration=Calibration(scale=1.0, offset_ms=0.0),
        verification=verification,
    )


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


def test_budget_with_a_confidence_leaves_out_what_the_table_may_get_wrong(verified_table):
    margin, around = margin_at(verified_table, 0.9)

    # 19 held-out errors of 1 % to 19 %: with 90 % a new one is at most the 18th.
    assert margin == pytest.approx(0.18)
    assert around == pytest.approx(0.18)


def test_confidence_that_the_verification_cannot_promise_is_refused_with_the_most_it_can(
    verified_table,
):
    with pytest.raises(LatencyTableError, match=r"19 networks.* at most 0\.95; got confidence 0\."):
        margin_at(verified_table, 0.99)


def test_unverified_table_promises_no_confidence(verified_table):
    with pytest.raises(LatencyTableError, match="is not verified"):
        margin_at(verified_table.without_verification(), 0.9)


def test_network_with_unmeasured_blocks_needs_more_room_under_a_confidence(space):
    class Unsure:
        def predict(self, arch):
            return Latency(ms=10.0, low_ms=7.0, high_ms=13.0, predicted_share=0.5)

    arch = next(iter(space.enumerate()))
    sure = Limits(predictors={"cpu": Unsure()}, budgets_ms={"cpu": 11.0})
    careful = Limits(predictors={"cpu": Unsure()}, budgets_ms={"cpu": 11.0}, margins={"cpu": 0.1})

    assert sure.assess(arch).is_feasible
    assert careful.assess(arch).violations["latency.cpu"] == pytest.approx(12.0 / 11 - 1)
