"""A table is held against whole networks; what it then says of itself is what is so."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnas.arch import plan
from mnas.latency import (
    LatencyTable,
    MeasuringError,
    Settings,
    TableMismatchError,
    Target,
    measure_table,
    time_architectures,
    verify_table,
)
from mnas.latency.accuracy import fit_calibration, judge
from mnas.latency.target import VerifiedNetwork
from mnas.latency.verifying import spread_over_latency
from mnas.space import load_space

QUICK = Settings(passes=2, group_ms=0.001)  # a virtual clock can tell any run


@pytest.fixture
def table(space, machine, tmp_path):
    out = tmp_path / "t.csv"
    return measure_table(space, Target(), out, runtime=machine, clock=machine.clock, settings=QUICK)


def verify(table, space, machine, networks=60, **options):
    return verify_table(
        table, space, networks, runtime=machine, clock=machine.clock, settings=QUICK, **options
    )


def shaky(machine, deviation):
    """Makes every isolated or whole network a bit slower or faster in a way of its own."""

    def bias(blocks):
        rng = random.Random("+".join(block.key for block in blocks))
        return 1 + (deviation * rng.gauss(0, 1) if len(blocks) > 1 else 0)

    machine.bias = bias


def networks(errors, fitted=10):
    """Networks whose corrected prediction is off by the given fractions."""
    count = len(errors) + fitted
    predicted = [1 + 9 * index / count for index in range(count)]
    chosen = set(range(0, count, count // fitted))
    off = iter(errors)
    return [
        VerifiedNetwork(
            id=f"{index:012}",
            resolution=16,
            macs=int(1e6 * predicted[index]),
            predicted_ms=predicted[index],
            measured_ms=predicted[index] * (1 if index in chosen else 1 + next(off, 0.0)),
            fitted=index in chosen,
        )
        for index in range(count)
    ]


def test_an_exact_table_is_trusted_without_error(table, space, machine):
    verified = verify(table, space, machine)

    verification = verified.verification
    assert verification.verdict == "trusted"
    assert verification.mape.value == pytest.approx(0, abs=1e-9)
    assert verification.spearman.value == pytest.approx(1)
    assert verification.within_5_percent.value == 1
    assert verification.noise_floor == pytest.approx(0, abs=1e-9)
    assert verified.calibration.scale == pytest.approx(1)


def test_a_known_bias_of_isolated_blocks_is_found_and_corrected(table, space, machine):
    machine.bias = lambda blocks: 0.8 if len(blocks) > 1 else 1.0

    verified = verify(table, space, machine)

    assert verified.calibration.scale == pytest.approx(0.8, rel=0.01)
    assert verified.verification.mape_raw.value == pytest.approx(0.25, rel=0.1)
    assert verified.verification.mape.value < 1e-3
    arch = space.sample(random.Random(5))
    real = 0.005 + 0.8 * sum(map(machine.cost_ms, plan(arch).blocks))
    assert verified.predict(arch).ms == pytest.approx(real, rel=1e-3)


def test_the_reported_error_is_the_known_one(table, space, machine):
    shaky(machine, 0.05)

    mape = verify(table, space, machine, networks=70).verification.mape

    # The mean absolute value of a normal deviate is sqrt(2 / pi) deviations.
    assert mape.low < 0.05 * np.sqrt(2 / np.pi) < mape.high


def test_the_interval_covers_new_networks_as_often_as_it_says(table, space, machine):
    shaky(machine, 0.04)
    verified = verify(table, space, machine, networks=100)
    rng = random.Random(99)
    seen = {network.id for network in verified.verification.networks}
    new = {arch.id: arch for arch in (space.sample(rng) for _ in range(400))}
    new = [arch for arch_id, arch in new.items() if arch_id not in seen]

    hits = []
    for arch in new:
        blocks = plan(arch).blocks
        real = 0.005 + machine.bias(blocks) * sum(map(machine.cost_ms, blocks))
        latency = verified.predict(arch)
        hits.append(latency.low_ms <= real <= latency.high_ms)

    assert len(new) > 200
    assert 0.8 < np.mean(hits) < 0.99


def test_predicted_blocks_widen_the_margin(table, space, machine, tmp_path):
    shaky(machine, 0.03)
    verified = verify(table, space, machine)
    inside = space.sample(random.Random(2))
    outside = space.architecture(44, [(3, 2, False)] * 4)

    measured, predicted = verified.predict(inside), verified.predict(outside)

    assert predicted.predicted_share > 0.5
    assert (predicted.high_ms / predicted.ms) > (measured.high_ms / measured.ms)


def test_a_noisy_machine_leaves_the_verdict_open(table, space, machine):
    noise = random.Random(0)
    machine.disturb = lambda key: (0.2 * noise.random() * (machine.runs // 40 % 3), 0.0)

    verification = verify(table, space, machine).verification

    assert verification.noise_floor > 0.03
    assert verification.verdict == "inconclusive"
    assert "too noisy to tell" in verification.reason


def test_a_wrong_table_is_not_trusted(table, space, machine):
    shaky(machine, 0.3)

    verification = verify(table, space, machine).verification

    assert verification.verdict == "not trusted"
    assert "is above 10.0 %" in verification.reason


def test_the_networks_reach_from_the_fastest_to_the_slowest(table, space):
    chosen = spread_over_latency(table, space, 30, random.Random(0))

    times = [table.predict(arch).ms for arch in chosen]
    sampled = [table.predict(space.sample(random.Random(n))).ms for n in range(500)]
    assert len({arch.id for arch in chosen}) == 30
    assert times == sorted(times)
    assert times[2] < np.quantile(sampled, 0.1)
    assert times[-3] > np.quantile(sampled, 0.9)


def test_ten_networks_are_fitted_on_and_none_of_them_is_reported_on(table, space, machine):
    networks = verify(table, space, machine).verification.networks

    assert sum(network.fitted for network in networks) == 10
    assert len(networks) == 60


def test_the_ranks_are_told_for_each_resolution(table, space, machine):
    by_resolution = verify(table, space, machine).verification.spearman_by_resolution

    assert set(by_resolution) == set(space.resolutions)


def test_the_verification_goes_into_the_tables_file(table, space, machine):
    verified = verify(table, space, machine)

    read = LatencyTable.load(table.source)
    assert read == verified
    assert read.noise_floor == verified.verification.noise_floor


def test_a_small_space_is_verified_with_what_it_has(tiny_space, machine, tmp_path):
    table = measure_table(
        tiny_space, Target(), tmp_path / "t.csv", runtime=machine, clock=machine.clock
    )

    verification = verify(table, tiny_space, machine).verification

    assert len(verification.networks) == 16
    assert verification.verdict == "inconclusive"
    assert "too few to judge" in verification.reason


def test_fewer_than_three_networks_verify_nothing(table, space, machine):
    with pytest.raises(MeasuringError, match="needs at least 3 networks; got 2"):
        verify(table, space, machine, networks=2)


def test_a_table_of_another_device_is_refused(table, space, machine):
    other = LatencyTable.load(table.source)
    object.__setattr__(other, "device", "A phone")

    with pytest.raises(TableMismatchError, match="with device 'A phone', but here it is"):
        verify(other, space, machine)


def test_a_table_of_a_runtime_that_mnas_does_not_know_predicts_and_is_not_verified(table, space):
    foreign = replace(table, target=Target(runtime="phone"), source="phone.csv")

    assert foreign.predict(space.sample(random.Random(0))).ms > 0
    with pytest.raises(
        TableMismatchError, match=r"phone\.csv was .* with 'phone', which mnas cannot"
    ):
        verify_table(foreign, space)


def test_verifying_an_edited_table_does_not_hide_that_it_was_edited(table, space, machine):
    path = Path(table.source)
    first = repr(table.rows[0].ms)
    path.write_text(path.read_text().replace(first, "0.123", 1))

    verified = verify(LatencyTable.load(path), space, machine)

    assert verified.edited
    assert LatencyTable.load(path).edited
    assert LatencyTable.load(path).verification is not None


def test_what_is_reported_is_the_error_of_what_is_predicted():
    # An offset far below zero: the fastest networks come to the least a correction gives.
    found = [
        replace(one, predicted_ms=one.predicted_ms, measured_ms=max(0.02, one.predicted_ms - 1.5))
        for one in networks([0.0] * 40)
    ]
    on = [one for one in found if one.fitted]

    calibration = fit_calibration(
        np.array([one.predicted_ms for one in on]), np.array([one.measured_ms for one in on])
    )
    errors = [
        abs(calibration.apply(one.predicted_ms) - one.measured_ms) / one.measured_ms
        for one in found
        if not one.fitted
    ]

    assert judge(found, noise_floor=0.01).mape.value == pytest.approx(np.mean(errors))


def test_whole_networks_are_timed_end_to_end(space, machine):
    archs = [space.sample(random.Random(n)) for n in range(3)]

    times = time_architectures(archs, Target(), runtime=machine, clock=machine.clock)

    for arch in archs:
        real = 0.005 + sum(map(machine.cost_ms, plan(arch).blocks))
        assert times[arch.id].ms == pytest.approx(real)


def test_a_correction_recovers_scale_and_offset():
    raw = np.linspace(1, 10, 10)

    calibration = fit_calibration(raw, 0.7 * raw + 0.3)

    assert (calibration.scale, calibration.offset_ms) == pytest.approx((0.7, 0.3))


def test_below_five_networks_only_a_scale_is_fitted():
    raw = np.array([1.0, 2.0, 4.0])

    calibration = fit_calibration(raw, 0.7 * raw + 0.3)

    assert calibration.offset_ms == 0


def test_shares_within_5_and_10_percent_are_those_of_the_errors():
    verification = judge(networks([0.03, -0.07, 0.2, 0.0] * 10), noise_floor=0.01)

    assert verification.within_5_percent.value == pytest.approx(0.5)
    assert verification.within_10_percent.value == pytest.approx(0.75)
    assert verification.within_5_percent.low < 0.5 < verification.within_5_percent.high


def test_a_table_worse_than_counting_macs_is_not_trusted():
    found = networks([0.06, -0.06] * 20)
    exact = [
        VerifiedNetwork(
            id=one.id,
            resolution=16,
            macs=round(1e6 * one.measured_ms),
            predicted_ms=one.predicted_ms,
            measured_ms=one.measured_ms,
            fitted=one.fitted,
        )
        for one in found
    ]

    verification = judge(exact, noise_floor=0.01)

    assert verification.verdict == "not trusted"
    assert "worse than counting, MACs reach 0.0 %" in verification.reason


def test_networks_of_a_space_that_was_not_measured_are_refused_unless_forced(table, machine):
    other = load_space("small_28")
    with pytest.raises(
        TableMismatchError, match=r"measured for the space .*did not measure .*--force"
    ):
        verify(table, other, machine, networks=5)

    found = verify(table, other, machine, networks=5, force=True).verification

    assert found.space == {"name": "small_28", "digest": other.digest}
    assert found.predicted_share > 0


def test_a_verification_says_which_space_it_speaks_of(table, space, machine):
    verify(table, space, machine)

    found = LatencyTable.load(table.source).verification
    assert found.space == {"name": space.name, "digest": space.digest}
    assert found.predicted_share == 0
