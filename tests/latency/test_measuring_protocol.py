"""What measuring does with a runtime whose costs are known exactly."""

import json
import random
from dataclasses import asdict, replace

import pytest

from mnas.arch import MnasError, UnknownNameError, plan
from mnas.latency import (
    LatencyTable,
    MeasuringError,
    Settings,
    TableMismatchError,
    Target,
    describe_device,
    measure_table,
    plan_measurement,
    reachable_blocks,
    runtime_for,
)
from mnas.latency.reachable import choose_blocks
from mnas.latency.timing import Clock, PassTime, combine, time_pass

CALL_MS = 0.005
TWO_PASSES = Settings(passes=2, most_passes=5, group_ms=0.001)


class KilledError(BaseException):
    """Stands for a process that ends in the middle."""


def kill_after(timings):
    def progress(done, total, what):
        progress.seen += 1
        if progress.seen == timings:
            raise KilledError("killed")

    progress.seen = 0
    return progress


def measure(space, machine, out, **options):
    options.setdefault("settings", TWO_PASSES)
    return measure_table(space, Target(), out, runtime=machine, clock=machine.clock, **options)


def ms_of(table):
    return {row.block: row.ms for row in table.rows}


def test_the_empty_call_is_measured_and_subtracted_from_every_block(space, machine, tmp_path):
    table = measure(space, machine, tmp_path / "t.csv")

    assert table.empty_ms == pytest.approx(CALL_MS)
    blocks = space.reachable_blocks()
    assert ms_of(table) == pytest.approx({key: machine.cost_ms(b) for key, b in blocks.items()})
    assert {row.status for row in table.rows} == {"measured"}


def test_a_predicted_network_pays_the_call_once(space, machine, tmp_path):
    table = measure(space, machine, tmp_path / "t.csv")
    arch = space.sample(random.Random(0))

    wanted = CALL_MS + sum(map(machine.cost_ms, plan(arch).blocks))
    assert table.predict(arch).ms == pytest.approx(wanted)


def test_a_block_no_slower_than_an_empty_call_is_above_zero(space, machine, tmp_path):
    machine.cost_ms = lambda block: 0.0

    table = measure(space, machine, tmp_path / "t.csv")

    assert all(row.ms > 0 for row in table.rows)


def test_passes_come_in_different_random_order(space, machine, tmp_path):
    blocks = space.reachable_blocks()

    measure(space, machine, tmp_path / "t.csv")

    counted = {key: machine.prepared.count(key) for key in blocks}
    order = [key for key in machine.prepared if counted.get(key) == 2]  # not the reference
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_block_disturbed_in_one_pass_is_timed_again_and_gets_its_real_time(
    space, machine, tmp_path
):
    key, block = sorted(space.reachable_blocks().items())[0]
    machine.disturb = lambda ran: (
        (0.05, 0.0) if ran == key and machine.prepared.count(key) == 1 else (0.0, 0.0)
    )

    row = {row.block: row for row in measure(space, machine, tmp_path / "t.csv").rows}[key]

    assert machine.prepared.count(key) == 3
    assert (row.status, row.runs) == ("measured", 30)
    assert row.ms == pytest.approx(machine.cost_ms(block))


def test_a_block_that_never_agrees_is_flagged_after_a_bounded_number_of_passes(
    space, machine, tmp_path
):
    key = sorted(space.reachable_blocks())[0]
    machine.disturb = lambda ran: (
        (0.02 * 2 ** machine.prepared.count(key), 0.0) if ran == key else (0.0, 0.0)
    )

    row = {row.block: row for row in measure(space, machine, tmp_path / "t.csv").rows}[key]

    assert machine.prepared.count(key) == TWO_PASSES.most_passes
    assert row.status == "noisy"
    assert row.spread > 0.05


def test_a_block_that_waits_for_the_processor_is_flagged(space, machine, tmp_path):
    key = sorted(space.reachable_blocks())[0]
    machine.disturb = lambda ran: (0.0, 0.03) if ran == key else (0.0, 0.0)

    row = {row.block: row for row in measure(space, machine, tmp_path / "t.csv").rows}[key]

    assert row.status == "noisy"
    assert row.wall_ms == pytest.approx(row.ms + 0.03)


def test_with_several_threads_the_wall_time_counts(space, machine, tmp_path):
    machine.disturb = lambda ran: (0.0, 0.03 if ran else 0.0)

    table = measure_table(
        space, Target(threads=2), tmp_path / "t.csv", runtime=machine, clock=machine.clock
    )

    row = table.rows[0]
    assert row.status == "measured"
    assert row.ms == pytest.approx(row.wall_ms)


def test_runs_shorter_than_the_clock_can_tell_are_timed_together():
    ticks = {"true": 0.0}
    coarse = Clock(cpu=lambda: round(ticks["true"], 5), wall=lambda: round(ticks["true"], 5))

    def run():
        ticks["true"] += 3e-6

    time = time_pass(run, Target(), Settings(), coarse)

    assert time.ms == pytest.approx(0.003, rel=0.1)


def test_of_a_pass_the_lower_quartile_counts():
    ticks = {"s": 0.0, "runs": 0}

    def run():
        ticks["runs"] += 1
        ticks["s"] += 1.0 if ticks["runs"] % 2 else 0.001

    time = time_pass(
        run, Target(), Settings(), Clock(cpu=lambda: ticks["s"], wall=lambda: ticks["s"])
    )

    assert time.ms == pytest.approx(1.0)


def test_of_several_passes_the_two_fastest_count():
    passes = [PassTime(ms=ms, wall_ms=ms) for ms in (9.0, 1.0, 5.0, 1.2)]

    assert combine(passes).ms == pytest.approx(1.1)
    assert combine(passes).spread == pytest.approx(0.2 / 1.1)


def test_the_reference_block_shows_drift(space, machine, tmp_path):
    steady = measure(space, machine, tmp_path / "steady.csv")
    machine.cost_ms = lambda block: 0.02 + 1e-4 * machine.runs

    drifting = measure(space, machine, tmp_path / "drifting.csv")

    assert steady.drift == pytest.approx(0, abs=1e-9)
    assert drifting.drift > 0.5


def test_a_block_that_fails_is_a_row_with_its_reason(space, machine, tmp_path):
    key = sorted(space.reachable_blocks())[0]
    machine.failing = {key: "no kernel\nfor this"}

    measure(space, machine, tmp_path / "t.csv")

    rows = {row.block: row for row in LatencyTable.load(tmp_path / "t.csv").rows}
    assert rows[key].status == "failed: RuntimeError: no kernel for this"
    assert rows[key].ms is None
    assert sum(row.ms is None for row in rows.values()) == 1


def test_a_runtime_that_runs_no_block_is_an_error_and_no_table(space, machine, tmp_path):
    machine.failing = dict.fromkeys(space.reachable_blocks(), "broken")

    with pytest.raises(MeasuringError, match=r"all \d+ blocks failed .*RuntimeError: broken"):
        measure(space, machine, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_an_ended_measurement_goes_on_where_it_was(space, machine, tmp_path):
    with pytest.raises(KilledError, match="killed"):
        measure(space, machine, tmp_path / "t.csv", progress=kill_after(10))
    assert not (tmp_path / "t.csv").exists()

    table = measure(space, machine, tmp_path / "t.csv")

    blocks = space.reachable_blocks()
    visits = sorted(machine.prepared.count(key) for key in blocks)
    assert visits[:-1] == [2] * (len(blocks) - 1)  # the last is the reference block
    assert ms_of(table) == pytest.approx({key: machine.cost_ms(b) for key, b in blocks.items()})
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("torn", ['"{""act', '"{}",0.1,0.', '"{}",0.1,0.2,tim'])
def test_a_torn_last_line_is_dropped(space, machine, tmp_path, torn):
    with pytest.raises(KilledError, match="killed"):
        measure(space, machine, tmp_path / "t.csv", progress=kill_after(10))
    partial = tmp_path / "t.csv.partial"
    partial.write_text(partial.read_text() + torn)

    table = measure(space, machine, tmp_path / "t.csv")

    assert set(ms_of(table)) == set(space.reachable_blocks())


def test_a_partial_of_another_target_is_refused_with_both_named(space, machine, tmp_path):
    with pytest.raises(KilledError, match="killed"):
        measure(space, machine, tmp_path / "t.csv", progress=kill_after(10))

    with pytest.raises(TableMismatchError, match=r'(?s)begun with.*"batch": 1.*"batch": 4.*Delete'):
        measure_table(
            space, Target(batch=4), tmp_path / "t.csv", runtime=machine, clock=machine.clock
        )


def test_blocks_of_other_networks_are_measured_too(space, machine, tmp_path):
    other = space.architecture(40, [(3, 2, False)] * 4)

    table = measure(space, machine, tmp_path / "t.csv", also=[other])

    assert table.also == (other.id,)
    assert table.predict(other).predicted_share == 0
    assert set(ms_of(table)) == set(reachable_blocks(space, [other]))


def test_a_limited_measurement_predicts_the_rest(space, machine, tmp_path):
    table = measure(space, machine, tmp_path / "t.csv", most=30)

    arch = space.sample(random.Random(0))
    truth = CALL_MS + sum(map(machine.cost_ms, plan(arch).blocks))
    assert len(table.rows) == 30
    assert table.predict(arch).predicted_share > 0
    assert table.predict(arch).ms == pytest.approx(truth, rel=0.1)


def test_a_limit_below_one_is_an_error(space):
    with pytest.raises(MnasError, match="at least one block must be measured; got a limit of 0"):
        choose_blocks(space.reachable_blocks(), 0)


def test_the_table_tells_what_it_was_measured_with(space, machine, tmp_path):
    table = measure(space, machine, tmp_path / "t.csv")

    read = LatencyTable.load(tmp_path / "t.csv")
    assert read == table
    assert read.device == describe_device()
    assert read.runtime_version == "1.0"
    assert read.space == {"name": "small", "digest": space.digest}
    assert read.protocol == asdict(TWO_PASSES)


def test_two_measurements_with_one_seed_give_the_same_rows(space, machine, tmp_path):
    first = measure(space, machine, tmp_path / "a.csv")
    second = measure(space, machine, tmp_path / "b.csv")

    assert ms_of(first) == pytest.approx(ms_of(second))


def test_the_partial_file_holds_one_line_for_each_timing(space, machine, tmp_path):
    with pytest.raises(KilledError, match="killed"):
        measure(space, machine, tmp_path / "t.csv", progress=kill_after(3))

    header, *rows = (tmp_path / "t.csv.partial").read_text().splitlines()
    assert json.loads(header.removeprefix("# "))["target"] == asdict(Target())
    assert len(rows) == 5  # the empty call, the reference, three blocks


def test_the_plan_counts_blocks_and_grows_with_them(space):
    whole, part = plan_measurement(space, Target()), plan_measurement(space, Target(), most=10)

    assert whole.blocks == len(space.reachable_blocks())
    assert part.blocks == 10
    assert 0 < part.seconds < whole.seconds


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(runtime="onnxrutime"), "unknown runtime 'onnxrutime' .*known: onnxruntime, torch"),
        (Target(dtype="int8"), "unknown dtype of onnxruntime 'int8'; known: fp32"),
    ],
)
def test_an_unknown_runtime_or_dtype_is_told_with_the_known_ones(target, message):
    with pytest.raises(UnknownNameError, match=message):
        runtime_for(target)


def test_a_target_refuses_an_unknown_regime():
    with pytest.raises(MnasError, match="unknown regime 'cold' of a target; known: steady"):
        replace(Target(), regime="cold")
