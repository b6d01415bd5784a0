"""Where not every block is measured, those are that say most about the networks."""

import random

import numpy as np
import pytest

from mnas.arch import plan
from mnas.latency import Target, measure_table, plan_measurement
from mnas.latency.choosing import choose_blocks, time_shares


def test_shares_are_those_of_a_networks_time(space):
    blocks = space.reachable_blocks()

    shares = time_shares(space, blocks)

    assert set(shares) == set(blocks)
    assert min(shares.values()) > 0
    assert sum(shares.values()) == pytest.approx(1)


def test_what_most_networks_hold_is_measured_first(space):
    blocks = space.reachable_blocks()
    shares = dict.fromkeys(blocks, 1e-6) | {sorted(blocks)[7]: 0.9}

    assert list(choose_blocks(blocks, 1, shares)) == [sorted(blocks)[7]]


def test_every_kind_of_block_is_measured(space):
    blocks = space.reachable_blocks()

    chosen = choose_blocks(blocks, 25, time_shares(space, blocks))

    assert len(chosen) == 25
    assert {block.kind for block in chosen.values()} == {block.kind for block in blocks.values()}


def test_the_chosen_blocks_predict_networks_better_than_random_ones(space, machine, tmp_path):
    def error(name, **options):
        table = measure_table(
            space, Target(), tmp_path / name, runtime=machine, clock=machine.clock, **options
        )
        errors = []
        for seed in range(60):
            arch = space.sample(random.Random(seed))
            truth = 0.005 + sum(map(machine.cost_ms, plan(arch).blocks))
            errors.append(abs(table.predict(arch).ms / truth - 1))
        return np.mean(errors)

    keys = sorted(space.reachable_blocks())
    lost = dict.fromkeys(random.Random(1).sample(keys, len(keys) - 20), "not chosen")

    chosen = error("chosen.csv", most=20)
    machine.failing = lost
    drawn = error("drawn.csv")

    assert chosen < drawn


def test_the_plan_says_what_is_left_to_be_predicted(space):
    whole, part = plan_measurement(space, Target()), plan_measurement(space, Target(), most=10)

    assert (whole.left_out, whole.predicted_share) == (0, 0)
    assert part.left_out == whole.blocks - 10
    assert 0 < part.predicted_share < 1


def test_a_limited_table_says_how_much_was_left_out(space, machine, tmp_path):
    table = measure_table(
        space, Target(), tmp_path / "t.csv", runtime=machine, clock=machine.clock, most=30
    )

    assert table.left_out == len(space.reachable_blocks()) - 30
    assert 0 < table.missing_error().mean < 0.5
