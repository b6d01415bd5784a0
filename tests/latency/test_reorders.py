"""What a runtime's own layout costs a block that is run alone, and that a table does without it."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.arch import plan
from mnas.latency import LatencyTable, Settings, TableMismatchError, Target, measure_table
from mnas.latency.comparing import merge_tables
from mnas.latency.onnx_graph import pass_through_graph
from mnas.latency.reorders import PASS_THROUGHS, Reorders, reorders_of
from tests.latency.conftest import CALL_MS, VirtualMachine

FEW = Settings(passes=2, most_passes=2, group_ms=0.001)
POOLING_MS = 0.0004


class ReorderingMachine(VirtualMachine):
    """A virtual machine that reorders the maps of whatever it runs."""

    reorders = Reorders(ms=0.001, ms_per_value=1e-6)

    def prepare(self, blocks, target):
        cost = self.cost_ms
        if len(blocks) == 1:
            self.cost_ms = lambda block: cost(block) + self.reorders.of(block)
        try:
            return super().prepare(blocks, target)
        finally:
            self.cost_ms = cost

    def prepare_pass_through(self, model, target):
        reordering = self.reorders.ms + self.reorders.ms_per_value * model.values
        cost = CALL_MS + reordering + model.poolings * POOLING_MS

        def run():
            self.cpu_s += cost / 1e3
            self.wall_s += cost / 1e3

        return run


@pytest.fixture
def machine():
    return ReorderingMachine()


def measured(space, machine, out, target=None):
    return measure_table(
        space, target or Target(), out, runtime=machine, clock=machine.clock, settings=FEW
    )


@given(
    ms=st.floats(0, 1), per_value=st.floats(0, 1e-5), empty=st.floats(0, 1), pooling=st.floats(0, 1)
)
def test_reorders_are_found_whatever_a_pooling_takes(ms, per_value, empty, pooling):
    times = {
        model.key: empty + ms + per_value * model.values + model.poolings * pooling
        for model in PASS_THROUGHS
    }
    found = reorders_of(times, empty)

    assert found is not None
    assert found.ms == pytest.approx(ms, abs=1e-9)
    assert found.ms_per_value == pytest.approx(per_value, abs=1e-12)


def test_reorders_are_never_below_nothing():
    times = {model.key: 0.1 for model in PASS_THROUGHS}

    assert reorders_of(times, 5.0) == Reorders(ms=0.0, ms_per_value=0.0)


def test_reorders_of_which_a_part_was_not_timed_are_not_known():
    times = {model.key: 1.0 for model in PASS_THROUGHS[1:]}

    assert reorders_of(times, 0.1) is None


def test_a_stem_reorders_only_what_leaves_it_and_a_classifier_nothing(space):
    blocks = plan(space.architecture(16, [(3, 2, False)] * 4)).blocks
    reorders = Reorders(ms=1.0, ms_per_value=0.001)

    stem, first, classifier = blocks[0], blocks[1], blocks[-1]
    assert reorders.of(stem) == pytest.approx(0.5 + 0.0005 * 8 * 16 * 16)
    assert reorders.of(first) == pytest.approx(1.0 + 0.001 * 8 * 16 * 16)
    assert reorders.of(classifier) == 0.0


def test_a_block_has_the_time_it_takes_in_a_network(space, machine, tmp_path):
    table = measured(space, machine, tmp_path / "t.csv")

    assert table.reorders is not None
    assert table.reorders.ms == pytest.approx(0.001)
    assert table.reorders.ms_per_value == pytest.approx(1e-6)
    blocks = space.reachable_blocks()
    costs = {key: machine.cost_ms(block) for key, block in blocks.items()}
    assert {row.block: row.ms for row in table.rows} == pytest.approx(costs)
    assert LatencyTable.load(tmp_path / "t.csv") == table


def test_a_block_that_is_only_reorders_is_flagged(space, machine, tmp_path):
    machine.cost_ms = lambda block: 0.0

    table = measured(space, machine, tmp_path / "t.csv")

    assert {row.status for row in table.rows} == {"noisy"}


def test_without_a_pass_through_that_runs_only_the_empty_call_is_subtracted(
    tiny_space, machine, tmp_path
):
    def broken(model, target):
        raise RuntimeError("no pooling here")

    machine.prepare_pass_through = broken

    table = measured(tiny_space, machine, tmp_path / "t.csv")

    assert table.reorders is None
    assert all(row.status == "measured" for row in table.rows)


def test_onnx_runtime_shows_its_reorders_and_its_integers_have_none(tiny_space, tmp_path):
    fp32 = measure_table(tiny_space, Target(), tmp_path / "f.csv", settings=FEW)
    int8 = measure_table(tiny_space, Target(dtype="int8"), tmp_path / "i.csv", settings=FEW)

    assert fp32.reorders is not None
    assert int8.reorders is None


@pytest.mark.parametrize("model", PASS_THROUGHS, ids=lambda model: model.key)
def test_a_pass_through_hands_its_input_on(model):
    session = onnxruntime.InferenceSession(pass_through_graph(model).SerializeToString())
    image = np.random.default_rng(0).standard_normal(
        (2, model.channels, model.size, model.size), dtype=np.float32
    )

    (given_back,) = session.run(None, {"input": image})

    assert np.array_equal(given_back, image)


def test_tables_with_and_without_reorders_are_not_merged(space, machine, tmp_path):
    table = measured(space, machine, tmp_path / "a.csv")
    other = replace(table, reorders=None, source="b.csv")

    with pytest.raises(TableMismatchError, match=r"reorders is Reorders\(.*and None in b\.csv"):
        merge_tables([table, other], source="m.csv")
    assert merge_tables([table, table], source="m.csv").reorders == table.reorders
