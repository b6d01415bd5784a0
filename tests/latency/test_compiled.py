"""A compiled space has the latencies of its networks to the last bit, without building them."""

import random
from dataclasses import replace

import numpy as np
import pytest

from mnas.latency import Calibration, LatencyTable, TableRow, Target
from mnas.latency.accuracy import judge
from mnas.latency.target import VerifiedNetwork
from mnas.space import load_space


def table_of(space, *, every=1, seed=0):
    """A table of a space with a margin, which lacks all blocks but each so many'th."""
    rng = random.Random(seed)
    rows = tuple(
        TableRow(
            block=key, ms=rng.lognormvariate(-3, 1), wall_ms=1.0, spread=0.0, runs=3,
            status="measured",
        )
        for key in sorted(space.reachable_blocks())[::every]
    )  # fmt: skip
    networks = tuple(
        VerifiedNetwork(
            id=f"{n:012}", resolution=16, macs=n * 1000, predicted_ms=n / 7,
            measured_ms=n / 7 * (1 + 0.01 * (n % 3)), fitted=n % 4 == 0,
        )
        for n in range(1, 60)
    )  # fmt: skip
    table = LatencyTable(
        target=Target(), device="d", runtime_version="1", rows=rows, empty_ms=0.0047
    )
    return replace(
        table,
        calibration=Calibration(scale=0.93, offset_ms=-0.01),
        verification=judge(networks, noise_floor=0.01),
    )


@pytest.fixture(params=["small_28", "mobilenet_v2"])
def space(request):
    return load_space(request.param)


@pytest.mark.parametrize("every", [1, 3])
def test_a_row_has_the_latency_of_its_architecture(space, every):
    table, compiled = table_of(space, every=every), space.compile()
    rows = compiled.sample(200, np.random.default_rng(0))

    latency = table.compile(space)

    wanted = [table.predict(compiled.decode(row)) for row in rows]
    assert latency(rows).tolist() == [one.ms for one in wanted]
    assert latency.low_ms(rows).tolist() == [one.low_ms for one in wanted]
    assert latency.high_ms(rows).tolist() == [one.high_ms for one in wanted]
    assert latency.predicted_share(rows).tolist() == [one.predicted_share for one in wanted]
    assert (latency.predicted_share(rows) > 0).any() == (every > 1)


def test_both_agree_on_what_is_within_a_budget_that_is_some_networks_latency(space):
    table, compiled = table_of(space), space.compile()
    rows = compiled.sample(300, np.random.default_rng(1))
    times = table.compile(space)(rows)
    predicted = np.array([table.predict(compiled.decode(row)).ms for row in rows])

    for budget_ms in predicted:
        assert ((times <= budget_ms) == (predicted <= budget_ms)).all()


def test_an_unverified_table_has_no_margins(space):
    table = table_of(space).without_verification()
    rows = space.compile().sample(5, np.random.default_rng(0))

    assert np.isnan(table.compile(space).high_ms(rows)).all()
    assert np.isfinite(table.compile(space)(rows)).all()


def test_no_rows_have_no_latencies(space):
    rows = space.compile().sample(0, np.random.default_rng(0))

    assert table_of(space).compile(space)(rows).shape == (0,)
