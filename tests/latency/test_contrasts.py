"""What one field of a block costs is read off blocks that differ in nothing else."""

from dataclasses import replace

import pytest

from mnas.latency import LatencyTable, TableRow, Target
from mnas.latency.contrasts import contrasts_of


def table_of(blocks, cost):
    rows = tuple(
        TableRow(block=key, ms=cost(block), wall_ms=1.0, spread=0.0, runs=3, status="measured")
        for key, block in blocks.items()
    )
    return LatencyTable(target=Target(), device="d", runtime_version="1", rows=rows)


def test_a_field_is_compared_where_all_else_is_equal(space):
    def cost(block):
        squeezed = any(type(layer).__name__ == "SqueezeExcite" for layer in block.layers)
        kernel = max(getattr(layer, "kernel", 1) for layer in block.layers)
        return 0.01 * (block.size or 1) * (1.5 if squeezed else 1) * (1.2 if kernel == 5 else 1)

    found = {
        (one.field, one.before, one.after): one
        for one in contrasts_of(table_of(space.reachable_blocks(), cost))
    }

    assert set(found) == {("kernel", "3", "5"), ("se", "no SE", "SE with hard sigmoid")}
    kernel, squeeze = found.values()
    assert (kernel.ratio, kernel.low, kernel.high) == pytest.approx((1.2, 1.2, 1.2))
    assert squeeze.ratio == pytest.approx(1.5)
    assert 1 < squeeze.macs_ratio < kernel.macs_ratio
    assert kernel.added_ms > 0
    assert kernel.pairs == 3 * 4 * 2 * 2  # resolutions, blocks, expansions, with and without SE


def test_blocks_that_failed_or_cannot_be_told_from_an_empty_call_are_not_compared(space):
    table = table_of(space.reachable_blocks(), lambda block: 0.1)
    lost = tuple(
        replace(row, ms=None, status="failed: no kernel") if index else row
        for index, row in enumerate(table.rows)
    )

    assert contrasts_of(replace(table, rows=lost)) == ()
    assert contrasts_of(replace(table, empty_ms=2.0)) == ()
    assert contrasts_of(table) != ()


def test_two_pairs_are_too_few_to_say_anything(space):
    blocks = {
        k: b for k, b in space.reachable_blocks().items() if b.size == 4 and b.kind == "block"
    }
    few = dict(list(blocks.items())[:2])

    assert contrasts_of(table_of(few, lambda block: 0.1)) == ()
