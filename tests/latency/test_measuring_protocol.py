"""What measuring does with a runtime whose costs are known exactly."""

import contextlib
import fcntl
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
    agent,
    describe_device,
    measure_table,
    measuring,
    plan_measurement,
    reachable_blocks,
    runtime_for,
)
from mnas.latency.choosing import choose_blocks
from mnas.latency.rounds import split_half_difference
from mnas.latency.timing import Clock, PassTime, combine, is_steady, time_pass

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

    floor = max(TWO_PASSES.agreement * CALL_MS, TWO_PASSES.resolution_ms)
    assert {row.status for row in table.rows} == {"noisy"}
    assert all(row.ms == row.wall_ms == pytest.approx(floor) for row in table.rows)


def test_a_block_that_cannot_be_told_from_an_empty_call_spoils_no_prediction(
    space, machine, tmp_path
):
    cost, lost = machine.cost_ms, sorted(space.reachable_blocks())[0]
    machine.cost_ms = lambda block: 0.0 if block.key == lost else cost(block)
    arch = space.architecture(40, [(3, 2, False)] * 4)

    table = measure(space, machine, tmp_path / "t.csv")

    truth = CALL_MS + sum(map(cost, plan(arch).blocks))
    assert table.predict(arch).predicted_share > 0.5
    assert table.predict(arch).ms == pytest.approx(truth, rel=0.2)


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

    assert machine.prepared.count(key) == 4
    assert (row.status, row.runs) == ("measured", 40)
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


def passes_of(*times):
    return [PassTime(ms=ms, wall_ms=2 * ms) for ms in times]


@pytest.mark.parametrize(
    ("times", "ms"),
    [
        ((3.0,), 3.0),
        ((3.0, 1.0, 2.0), 1.0),  # the expected rank of the fastest of three is a quarter
        ((9.0, 1.0, 5.0, 1.2), 1.05),  # a quarter of the way from the first to the second
        ((5.0, 4.0, 3.0, 2.0, 1.0, 6.0), 1.75),
        ((7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0), 2.0),
    ],
)
def test_of_several_passes_the_lower_quartile_counts(times, ms):
    timing = combine(passes_of(*times))

    assert timing.ms == pytest.approx(ms)
    assert timing.wall_ms == pytest.approx(2 * ms)


@pytest.mark.parametrize("count", [3, 4, 5, 6, 11])
def test_more_passes_do_not_shift_the_time(count):
    rng = random.Random(count)
    times = [combine(passes_of(*(rng.random() for _ in range(count)))).ms for _ in range(4000)]

    assert sum(times) / len(times) == pytest.approx(0.25, abs=0.012)


def test_the_spread_is_that_of_what_is_left_after_the_empty_call():
    timing = combine(passes_of(1.0, 1.1, 1.05), empty=PassTime(ms=0.8, wall_ms=1.6))

    assert (timing.ms, timing.wall_ms) == pytest.approx((0.2, 0.4))
    assert timing.spread == pytest.approx(0.1 / 0.2)


@pytest.mark.parametrize(
    ("times", "steady"),
    [
        ((1.0, 1.0, 1.04), True),
        ((1.0, 1.0, 1.06), False),  # two that agree are not enough
        ((1.0, 1.0, 1.06, 1.0), True),
        ((1.0, 1.0, 1.06, 1.06), False),
        ((1.0, 1.0, 1.0, 1.06, 1.0), True),
        ((1.0, 1.0, 1.06, 1.06, 1.0), False),
        ((0.0005, 0.0009, 0.0007), True),  # nobody can tell half a microsecond
        ((0.0005, 0.0011, 0.0007), False),
    ],
)
def test_all_passes_but_one_in_four_must_agree(times, steady):
    passes = [PassTime(ms=ms, wall_ms=ms) for ms in times]

    assert is_steady(combine(passes), Target(), Settings()) is steady


def test_the_noise_floor_is_the_difference_of_even_and_odd_rounds():
    times = {
        "a": passes_of(1.0, 1.1, 1.2, 1.3, 1.4, 1.5),  # the halves take 1.0 and 1.1
        "b": passes_of(2.0, 2.0, 2.0, 2.0, 2.0, 2.0),
    }

    assert split_half_difference(times) == pytest.approx(0.1 / 1.05 / 2)


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


def fail_in(machine, key, *visits):
    """Makes a block fail the given times that it is made ready, counted from 1."""
    prepare, seen = machine.prepare, []

    def failing(blocks, target):
        seen.extend(block.key for block in blocks)
        if [block.key for block in blocks] == [key] and seen.count(key) in visits:
            raise OSError("out of luck")
        return prepare(blocks, target)

    machine.prepare = failing


@pytest.mark.parametrize("visit", [1, 2])
def test_a_block_that_fails_once_is_tried_again(space, machine, tmp_path, visit):
    key, block = sorted(space.reachable_blocks().items())[0]
    fail_in(machine, key, visit)

    row = {row.block: row for row in measure(space, machine, tmp_path / "t.csv").rows}[key]

    assert (row.status, row.runs) == ("measured", 20)
    assert row.ms == pytest.approx(machine.cost_ms(block))


def test_a_block_that_keeps_failing_after_a_pass_keeps_its_time_and_is_noisy(
    space, machine, tmp_path
):
    key, block = sorted(space.reachable_blocks().items())[0]
    fail_in(machine, key, *range(2, 99))

    row = {row.block: row for row in measure(space, machine, tmp_path / "t.csv").rows}[key]

    assert (row.status, row.runs) == ("noisy", 10)
    assert row.ms == pytest.approx(machine.cost_ms(block))


def test_what_failed_is_tried_again_when_a_measurement_goes_on(space, machine, tmp_path):
    key = sorted(space.reachable_blocks())[0]
    machine.failing = {key: "no memory just now"}
    late = kill_after(len(space.reachable_blocks()) * 3 // 2)
    with pytest.raises(KilledError, match="killed"):
        measure(space, machine, tmp_path / "t.csv", progress=late)
    machine.failing = {}

    table = measure(space, machine, tmp_path / "t.csv")

    assert {row.status for row in table.rows} == {"measured"}


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


def test_the_machine_is_waited_for_before_the_partial_file_is_touched(
    space, machine, tmp_path, monkeypatch
):
    @contextlib.contextmanager
    def locking(**options):
        assert not (tmp_path / "t.csv.partial").exists()
        yield

    monkeypatch.setattr(measuring, "machine_lock", locking)

    measure(space, machine, tmp_path / "t.csv")

    assert (tmp_path / "t.csv").exists()


def test_two_processes_do_not_measure_one_table(space, machine, tmp_path):
    partial = tmp_path / "t.csv.partial"
    partial.write_text("what another process wrote")
    with partial.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(MeasuringError, match=r"another process is measuring .*t\.csv\.partial"):
            measure(space, machine, tmp_path / "t.csv")

    assert partial.read_text() == "what another process wrote"


def test_the_reference_of_another_set_of_blocks_is_no_drift(space, machine, tmp_path):
    with pytest.raises(KilledError, match="killed"):
        measure(space, machine, tmp_path / "t.csv", progress=kill_after(10), most=20)
    partial = (tmp_path / "t.csv.partial").read_text()

    table = measure(space, machine, tmp_path / "t.csv")

    assert "reference {" in partial
    assert table.drift == pytest.approx(0, abs=1e-9)


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
        choose_blocks(space.reachable_blocks(), 0, {})


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
        (
            Target(runtime="onnxrutime"),
            "unknown runtime 'onnxrutime' .*known: .*onnxruntime, .*torch",
        ),
        (Target(dtype="bf16"), "unknown dtype of onnxruntime 'bf16'; known: fp32, int8"),
    ],
)
def test_an_unknown_runtime_or_dtype_is_told_with_the_known_ones(target, message):
    with pytest.raises(UnknownNameError, match=message):
        runtime_for(target)


def test_a_target_refuses_an_unknown_regime():
    with pytest.raises(MnasError, match="unknown regime of a target 'icy'; known: steady, cold"):
        replace(Target(), regime="icy")


def test_a_cold_target_takes_one_thread():
    with pytest.raises(MnasError, match="the regime cold takes one thread; got 2"):
        Target(regime="cold", threads=2)


@pytest.mark.parametrize(("regime", "filled"), [("steady", 0), ("cold", 10)])
def test_caches_are_filled_before_each_timed_run_of_the_cold_regime_alone(
    monkeypatch, regime, filled
):
    now, fillings = {"s": 0.0}, []

    def fill():
        fillings.append(now["s"])
        now["s"] += 100.0  # no part of what is timed

    def run():
        now["s"] += 0.001

    monkeypatch.setattr(agent, "fill_caches", fill)
    clock = Clock(cpu=lambda: now["s"], wall=lambda: now["s"])
    time = time_pass(run, Target(regime=regime), Settings(), clock)

    assert len(fillings) == filled
    assert time.ms == pytest.approx(1.0)


def test_filling_the_caches_touches_twice_the_largest_one(monkeypatch, tmp_path):
    for index, size in enumerate(("32K", "48M", "odd")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    monkeypatch.setattr(agent, "CACHES", tmp_path)
    agent._filling.cache_clear()
    try:
        agent.fill_caches()
        there, here = agent._filling()
    finally:
        agent._filling.cache_clear()

    assert len(there) == len(here) == 96 << 20
    assert there == here
