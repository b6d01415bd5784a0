"""The agent of a job folder, in parts: its arithmetic is that of mnas, its reading is strict."""

import ast
import itertools
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.latency import Clock, Settings, Target, agent, timing
from mnas.latency.passes import EMPTY, Passes
from mnas.latency.timing import PassTime

milliseconds = st.floats(min_value=1e-4, max_value=1e3)
passes = st.lists(st.tuples(milliseconds, milliseconds), min_size=1, max_size=7)


def test_the_agent_imports_nothing_but_the_standard_library_until_it_runs_a_model():
    tree = ast.parse(Path(agent.__file__).read_text())
    imported = {
        name.partition(".")[0]
        for node in tree.body
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


@given(durations=st.lists(milliseconds, min_size=15, max_size=15), threads=st.sampled_from([1, 2]))
def test_a_pass_is_timed_as_mnas_times_it(durations, threads):
    settings = Settings(group_ms=1e-9)

    def machine():
        now, left = [0.0], itertools.cycle(durations)

        def run():
            now[0] += next(left) / 1e3

        return run, (lambda: now[0] * 0.5), (lambda: now[0])

    run, cpu, wall = machine()
    mine = agent.time_pass(run, asdict(Target(threads=threads)), asdict(settings), cpu, wall)
    run, cpu, wall = machine()
    theirs = timing.time_pass(run, Target(threads=threads), settings, Clock(cpu=cpu, wall=wall))
    assert mine == pytest.approx((theirs.ms, theirs.wall_ms))


@given(block=passes, empty=passes, threads=st.sampled_from([1, 2]))
def test_a_block_is_settled_when_mnas_says_so(block, empty, threads):
    settings = Settings()
    rows = agent.Rows()
    for key, times in (("block", block), (EMPTY, empty)):
        for ms, wall_ms in times:
            rows.take({"key": key, "ms": ms, "wall_ms": wall_ms})
    found = Passes(
        blocks={},
        target=Target(threads=threads),
        settings=settings,
        passes={
            key: [PassTime(ms=ms, wall_ms=wall_ms) for ms, wall_ms in times]
            for key, times in (("block", block), (EMPTY, empty))
        },
    )
    job = {"settings": asdict(settings), "target": {"threads": threads}}
    assert rows.is_settled("block", job) == found.is_settled("block", found.empty())


@pytest.mark.parametrize(
    ("output", "ms"),
    [
        ('{"ms": 1.5}', 1.5),
        ("warming up\nms=0.25\n", 0.25),
        ("Init: 3, First inference: 9, Warmup (avg): 8, Inference (avg): 812.5", 0.8125),
        ("[ INFO ]    Median:           1.23 ms\n[ INFO ]    Max: 9.00 ms", 1.23),
        ("Average inference time cost: 4.5 ms", 4.5),
        ("Average inference time cost total: 4.5 ms\nTotal inference requests: 10", 4.5),
        ("run 1 of 3\n0.75 ms\n", 0.75),
        ("750 us", 0.75),
        ("2e-1", 0.2),
    ],
)
def test_the_time_that_a_benchmark_tells_is_found(output, ms):
    assert agent.milliseconds_in(output) == pytest.approx(ms)


@pytest.mark.parametrize(
    "output",
    ["", "no number", "nan", "inf ms", "0 ms", "-3 ms", "took 3 ms or so", '{"ms": 1} {"ms": 2}'],
)
def test_an_output_without_one_sound_time_tells_none(output):
    assert agent.milliseconds_in(output) is None


def test_an_arm_board_is_called_by_its_name(tmp_path):
    (tmp_path / "model").write_text("Raspberry Pi 4 Model B Rev 1.4\0")
    assert agent._board(tmp_path / "model") == "Raspberry Pi 4 Model B Rev 1.4"
