"""A network is the sum of its blocks, corrected, with a margin; never a KeyError, never zero."""

import copy
import pickle
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mnas.arch import Architecture, layer_macs, plan
from mnas.latency import LatencyTable, TableRow, Target
from mnas.latency.accuracy import judge
from mnas.latency.features import FEATURES, features_of
from mnas.latency.missing import MissingError, fit_missing_model, missing_error_of
from mnas.latency.prediction import conformal_margin
from mnas.latency.target import Calibration, VerifiedNetwork

EMPTY_MS = 0.005


def cost_of(block):
    """A device whose time is physical: operations, memory traffic and calls."""
    named = dict(zip(FEATURES, features_of(block), strict=True))
    return (
        2e-7 * named["pointwise_macs"]
        + 9e-7 * named["depthwise_macs"]
        + 3e-8 * (named["elements_read"] + named["elements_written"])
        + 0.002 * named["layers"]
    )


def table_of(blocks, cost=cost_of, **fields):
    rows = tuple(
        TableRow(
            block=key, ms=cost(block), wall_ms=cost(block), spread=0.0, runs=30, status="measured"
        )
        for key, block in blocks.items()
    )
    return LatencyTable(
        target=Target(), device="d", runtime_version="1", rows=rows, empty_ms=EMPTY_MS, **fields
    )


@pytest.fixture
def blocks(space):
    return space.reachable_blocks()


def test_a_network_is_one_empty_call_and_the_sum_of_its_blocks(space, blocks):
    arch = space.sample(random.Random(1))

    latency = table_of(blocks).predict(arch)

    assert latency.ms == pytest.approx(EMPTY_MS + sum(map(cost_of, plan(arch).blocks)))
    assert latency.predicted_share == 0
    assert (latency.low_ms, latency.high_ms) == (None, None)


def test_the_correction_is_applied_to_the_sum(space, blocks):
    arch = space.sample(random.Random(1))
    table = table_of(blocks)

    corrected = replace(table, calibration=Calibration(scale=0.9, offset_ms=0.01))

    assert corrected.predict(arch).ms == pytest.approx(0.9 * table.predict(arch).ms + 0.01)
    assert corrected.predict_raw_ms(arch) == table.predict(arch).ms


def test_no_correction_makes_a_latency_vanish(space, blocks):
    far_off = Calibration(scale=1.0, offset_ms=-1e6)
    table = table_of(blocks, calibration=far_off)

    assert table.predict(space.sample(random.Random(1))).ms > 0


def test_an_unmeasured_block_is_predicted_near_its_real_time_and_counted(space, blocks):
    arch = space.sample(random.Random(3))
    missing = plan(arch).blocks[3]
    known = {key: block for key, block in blocks.items() if key != missing.key}

    latency = table_of(known).predict(arch)

    truth = table_of(blocks).predict(arch).ms
    assert latency.ms == pytest.approx(truth, rel=0.03)
    assert latency.predicted_share == pytest.approx(cost_of(missing) / truth, rel=0.3)


def test_a_failed_block_is_predicted_from_the_others(space, blocks):
    table = table_of(blocks)
    rows = tuple(
        replace(row, ms=None, status="failed: no kernel") if '"op":"stem"' in row.block else row
        for row in table.rows
    )

    latency = replace(table, rows=rows).predict(space.sample(random.Random(3)))

    assert 0 < latency.predicted_share < 1


def test_one_measured_block_is_enough_to_predict_something(space, blocks):
    key, block = next(iter(blocks.items()))

    latency = table_of({key: block}).predict(space.sample(random.Random(3)))

    assert latency.ms > EMPTY_MS
    assert latency.predicted_share > 0.5


def test_blocks_left_out_are_predicted_better_than_from_macs_alone(blocks):
    def cost(block):  # not linear in any feature: the residual has to be learnt
        return cost_of(block) * (1.3 if block.size and block.size % 16 else 1.0)

    keys = sorted(blocks)
    random.Random(0).shuffle(keys)
    inside, outside = keys[: len(keys) * 2 // 3], keys[len(keys) * 2 // 3 :]
    truth = np.array([cost(blocks[key]) for key in outside])
    macs = np.array([[sum(map(layer_macs, blocks[key].layers)), 1.0] for key in keys])
    line, *_ = np.linalg.lstsq(macs[: len(inside)], [cost(blocks[k]) for k in inside], rcond=None)

    measured = [blocks[k] for k in inside], [cost(blocks[k]) for k in inside]
    model, found = fit_missing_model(*measured), missing_error_of(*measured)

    error = np.mean(np.abs(model.predict_ms([blocks[k] for k in outside]) - truth) / truth)
    baseline = np.mean(np.abs(macs[len(inside) :] @ line - truth) / truth)
    assert error < 0.1
    assert error < baseline / 2
    assert found.low < found.mean < found.high
    assert found.mean < found.margin < 0.3


def bent(block):
    """Times that grow faster than any feature: what extrapolating from small blocks gets wrong."""
    return cost_of(block) ** 1.15


def test_the_margin_of_blocks_beyond_the_measured_ones_covers_them(blocks):
    ordered = sorted(blocks.values(), key=bent)
    inside, slowest = ordered[: len(ordered) * 4 // 5], ordered[len(ordered) * 4 // 5 :]
    measured = inside, [bent(block) for block in inside]
    model, error = fit_missing_model(*measured), missing_error_of(*measured)

    predicted = model.predict_ms(slowest)
    off = np.abs(np.array([bent(block) for block in slowest]) - predicted) / predicted
    widened = np.array([error.margin_at(distance) for distance in model.distances(slowest)])

    assert (off <= error.margin).mean() < 0.8  # what blocks like the measured ones err by
    assert (off <= widened).mean() >= 0.9
    assert not model.distances(inside).any()


def test_what_few_blocks_promise_is_wide(blocks):
    few = dict(list(blocks.items())[:12]).values()

    error = missing_error_of(list(few), [bent(block) for block in few])

    assert error.margin >= error.high
    assert missing_error_of([next(iter(few))], [1.0]) == MissingError(
        mean=1.0, low=0.0, high=1.0, margin=1.0, growth=1.0
    )


def test_what_the_verification_shows_of_predicted_blocks_is_not_added_again(space, blocks):
    known = dict(list(blocks.items())[::2])
    networks = tuple(
        VerifiedNetwork(
            id=str(n), resolution=16, macs=n, predicted_ms=1.0, measured_ms=1.0 + 0.001 * n,
            fitted=n < 5,
        )
        for n in range(40)
    )  # fmt: skip
    verified = table_of(
        known,
        cost=bent,
        calibration=Calibration(scale=1.0, offset_ms=0.0),
        verification=judge(networks, noise_floor=0.01, predicted_share=0.6),
    )
    arch = space.sample(random.Random(3))
    latency = verified.predict(arch)
    assert 0 < latency.predicted_share < 0.6
    assert latency.high_ms / latency.ms - 1 == pytest.approx(verified._predictor().margin)


def test_predictions_of_missing_blocks_are_above_zero_however_small_the_block(blocks):
    model = fit_missing_model(list(blocks.values()), [cost_of(b) for b in blocks.values()])

    assert (model.predict_ms(list(blocks.values())) > 0).all()


@pytest.mark.parametrize("absurd_ms", [1e-9, 1e-6])
def test_a_few_absurdly_short_times_do_not_spoil_the_others(blocks, absurd_ms):
    times = {key: cost_of(block) for key, block in blocks.items()}
    absurd = dict.fromkeys(random.Random(0).sample(sorted(times), 2), absurd_ms)
    truth = np.array([times[key] for key in times if key not in absurd])

    model = fit_missing_model(list(blocks.values()), list((times | absurd).values()))

    found = model.predict_ms([blocks[key] for key in times if key not in absurd])
    assert np.median(np.abs(found / truth - 1)) < 0.1
    assert np.abs(np.log(found / truth)).max() < np.log(3)


def test_the_features_of_a_block_are_finite_and_never_negative(blocks):
    found = np.array([features_of(block) for block in blocks.values()])

    assert found.shape == (len(blocks), len(FEATURES))
    assert np.isfinite(found).all()
    assert (found >= 0).all()


def test_the_margin_is_the_conformal_quantile_of_the_residuals():
    assert conformal_margin([0.01 * n for n in range(1, 20)]) == 0.18
    assert conformal_margin([0.01] * 8) is None


def test_a_table_can_be_pickled_after_predicting(space, blocks):
    table = table_of(blocks)
    arch = space.sample(random.Random(3))
    before = table.predict(arch)

    assert pickle.loads(pickle.dumps(table)).predict(arch) == before


def test_predicting_from_a_table_loads_no_torch_and_predicting_blocks_neither(
    space, blocks, tmp_path
):
    arch = space.sample(random.Random(3))
    other = space.architecture(40, [(3, 2, True)] * 4)
    table_of(blocks).save(tmp_path / "t.csv")
    (tmp_path / "a.json").write_text(arch.to_json())
    (tmp_path / "b.json").write_text(other.to_json())
    code = """
import pathlib, sys
from mnas.arch import Architecture
from mnas.latency import LatencyTable, Target
table = LatencyTable.load(sys.argv[1])
table.require(Target())
arch, other = (Architecture.from_json(pathlib.Path(name).read_text()) for name in sys.argv[2:])
assert table.predict(arch).predicted_share == 0
print({"torch", "pandas", "sklearn", "onnx", "onnxruntime"} & set(sys.modules))
assert table.predict(other).predicted_share > 0
print({"torch", "onnx", "onnxruntime"} & set(sys.modules))
"""
    said = subprocess.run(
        [sys.executable, "-c", code, *(tmp_path / name for name in ("t.csv", "a.json", "b.json"))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["set()", "set()"]


def test_a_network_met_before_has_the_same_latency_to_the_last_bit(space, blocks):
    table = table_of(blocks)
    arch = space.sample(random.Random(4))
    twin = Architecture.from_json(arch.to_json())  # equal, of other objects

    first = table.predict(arch)

    assert table.predict(arch) == table.predict(twin) == table_of(blocks).predict(twin) == first
    assert first.ms == pytest.approx(
        EMPTY_MS + sum(map(cost_of, plan(arch).blocks)), rel=1e-9, abs=0
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda table: pickle.loads(pickle.dumps(table))])
def test_a_copied_table_takes_no_block_for_another(space, blocks, copied):
    table = table_of(blocks)
    archs = [space.sample(random.Random(n)) for n in range(60)]
    known = [table.predict(arch) for arch in archs]

    again = copied(table)
    # Fresh blocks take the places in memory that others may have had.
    twins = [Architecture.from_json(arch.to_json()) for arch in archs]

    assert [again.predict(twin) for twin in twins] == known


def test_what_is_remembered_of_blocks_is_bounded(space, blocks, monkeypatch):
    table, unbounded = table_of(blocks), table_of(blocks)
    archs = [space.sample(random.Random(n)) for n in range(20)]

    monkeypatch.setattr("mnas.latency.chains._MOST_REMEMBERED", 3)
    bounded = [table.predict(arch) for arch in archs]
    monkeypatch.undo()

    assert bounded == [unbounded.predict(arch) for arch in archs]


def test_the_order_of_blocks_does_not_change_a_sum(blocks):
    predictor = table_of(blocks, cost=lambda block: cost_of(block) / 3)._predictor()
    many = list(blocks.values()) * 20

    forwards, backwards = predictor.raw_ms(many), predictor.raw_ms(reversed(many))

    assert forwards == backwards


def test_the_blocks_that_were_predicted_are_named_with_their_places(space, blocks):
    arch = space.sample(random.Random(1))
    lacking = plan(arch).blocks[3]
    table = table_of({key: block for key, block in blocks.items() if key != lacking.key})

    found = table.unmeasured(arch)

    assert list(found) == ["blocks.2"]
    assert found["blocks.2"] == pytest.approx(
        table.predict(arch).predicted_share * table.predict_raw_ms(arch)
    )
    assert table_of(blocks).unmeasured(arch) == {}


def test_a_block_is_predicted_alike_alone_and_among_others(blocks):
    some = dict(list(blocks.items())[::2])
    rest = [block for key, block in blocks.items() if key not in some]

    alone, together = table_of(some), table_of(some)
    together._predictor().foresee(rest)

    assert [alone.block_ms(block) for block in rest] == [together.block_ms(block) for block in rest]
