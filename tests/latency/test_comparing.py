"""Several tables side by side, and one made of several."""

from dataclasses import replace

import pytest

from mnas.arch import MnasError, layer_macs
from mnas.latency import (
    LatencyTable,
    TableMismatchError,
    TableRow,
    Target,
    compare_tables,
    merge_tables,
)


@pytest.fixture
def table(space):
    rows = [
        TableRow(
            block=key,
            ms=0.01 + sum(map(layer_macs, block.layers)) * 1e-7,
            wall_ms=1.0,
            spread=0.02,
            runs=30,
            status="measured",
        )
        for key, block in sorted(space.reachable_blocks().items())
    ]
    return LatencyTable(
        target=Target(), device="A", runtime_version="1", rows=tuple(rows), source="a.csv"
    )


def changed(table, change, **fields):
    return replace(table, rows=tuple(map(change, table.rows)), **fields)


def test_the_block_on_which_devices_disagree_is_named(table):
    odd = table.rows[7].block

    def slower(row):
        return replace(row, ms=row.ms * (3.0 if row.block != odd else 12.0))

    (pair,) = compare_tables([table, changed(table, slower, device="B", source="b.csv")]).pairs

    assert pair.shared == len(table.rows)
    assert pair.ratio == pytest.approx(3.0)
    assert [(each.block, each.factor) for each in pair.dearer[:1]] == [(odd, pytest.approx(4.0))]
    assert not [each for each in pair.cheaper if each.factor < 0.999]


def test_devices_that_rank_alike_correlate_fully_whatever_their_speed(table):
    (pair,) = compare_tables([table, changed(table, lambda row: replace(row, ms=row.ms * 9))]).pairs
    assert pair.spearman.value == pytest.approx(1.0)


def test_tables_without_a_shared_block_are_listed_and_not_compared(table):
    halves = [replace(table, rows=table.rows[::2]), replace(table, rows=table.rows[1::2])]
    (pair,) = compare_tables(halves).pairs
    assert (pair.shared, pair.spearman, pair.ratio) == (0, None, None)


def test_one_table_cannot_be_compared(table):
    with pytest.raises(MnasError, match="at least two tables; got 1"):
        compare_tables([table])


def test_a_merged_table_holds_the_best_row_of_each_block(table, tmp_path):
    first = replace(table, rows=(*table.rows[:10], replace(table.rows[10], status="noisy")))
    second = replace(table, rows=(replace(table.rows[10], ms=5.0), *table.rows[11:]))

    merged = merge_tables([first, second], source="m.csv")
    merged.save(tmp_path / "m.csv")

    assert [row.block for row in merged.rows] == [row.block for row in table.rows]
    assert merged.rows[10].ms == 5.0
    assert merged.verification is None
    assert LatencyTable.load(tmp_path / "m.csv") == merged


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device": "B"}, r"device is 'A' in a\.csv and 'B' in b\.csv"),
        ({"runtime_version": "2"}, r"runtime version is '1' in a\.csv and '2' in b\.csv"),
        ({"target": Target(threads=4)}, r"threads is 1 in a\.csv and 4 in b\.csv"),
        ({"target": Target(dtype="int8")}, r"dtype is 'fp32' in a\.csv and 'int8' in b\.csv"),
    ],
)
def test_what_does_not_belong_together_is_refused_unless_forced(table, tmp_path, fields, message):
    other = replace(table, source="b.csv", **fields)
    with pytest.raises(TableMismatchError, match=f"{message}.*--force"):
        merge_tables([table, other], source="m.csv")

    merge_tables([table, other], source="m.csv", force=True).save(tmp_path / "m.csv")

    (said,) = LatencyTable.load(tmp_path / "m.csv").forced
    assert said == message.replace("\\", "")


def test_blocks_that_one_table_left_out_and_another_measured_are_not_left_out(table):
    halves = [
        replace(table, rows=table.rows[::2], left_out=len(table.rows[1::2])),
        replace(table, rows=table.rows[1::2], left_out=len(table.rows[::2])),
    ]

    assert merge_tables(halves, source="m.csv").left_out == 0
    assert merge_tables([halves[0], halves[0]], source="m.csv").left_out == halves[0].left_out
    other = replace(halves[1], also=("0123456789ab",))
    assert merge_tables([halves[0], other], source="m.csv").left_out is None


def test_a_merge_that_cannot_tell_what_was_left_out_says_so_in_its_file(table, tmp_path):
    parts = [
        replace(table, rows=table.rows[:5], left_out=7),
        replace(table, rows=table.rows[4:9], left_out=3),
    ]
    merge_tables(parts, source="m.csv").save(tmp_path / "m.csv")

    assert LatencyTable.load(tmp_path / "m.csv").left_out is None


def test_rows_over_different_empty_calls_are_not_mixed(table):
    near = replace(table, empty_ms=0.0101, source="b.csv")
    far = replace(table, empty_ms=0.02, source="b.csv")
    table = replace(table, empty_ms=0.01)

    assert merge_tables([table, near], source="m.csv").empty_ms == 0.01
    message = r"empty call in ms is 0\.01 in a\.csv and 0\.02 in b\.csv"
    with pytest.raises(TableMismatchError, match=f"{message}.*--force"):
        merge_tables([table, far], source="m.csv")
    (said,) = merge_tables([table, far], source="m.csv", force=True).forced
    assert said == message.replace("\\", "")
