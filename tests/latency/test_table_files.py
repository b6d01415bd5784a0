"""A table's file says what was measured, and is refused with the line that is wrong."""

import logging
import re
import stat
from dataclasses import replace

import pandas as pd
import pytest

from mnas.arch import plan
from mnas.latency import LatencyTable, LatencyTableError, TableMismatchError, TableRow, Target
from mnas.latency.accuracy import judge
from mnas.latency.reorders import Reorders
from mnas.latency.target import Calibration, VerifiedNetwork


@pytest.fixture
def table(space):
    blocks = plan(space.architecture(16, [(3, 2, False)] * 4)).blocks
    rows = [
        TableRow(
            block=block.key,
            ms=0.01 * (index + 1) / 3,
            wall_ms=0.011 * (index + 1),
            spread=0.01,
            runs=30,
            status="noisy" if index == 2 else "measured",
        )
        for index, block in enumerate({block.key: block for block in blocks}.values())
    ]
    failed = replace(
        rows[1], ms=None, wall_ms=None, spread=None, runs=0, status='failed: "odd", it said'
    )
    return LatencyTable(
        target=Target(name="desk", threads=1),
        device="A processor, 2 cores",
        runtime_version="1.31.1",
        rows=(rows[0], failed, *rows[2:]),
        empty_ms=0.004,
        empty_wall_ms=0.0041,
        space={"name": "small", "digest": "ab"},
        also=("0123456789ab",),
        protocol={"runs": 10},
        drift=0.02,
        measured_at="2026-11-22T10:00:00+00:00",
    )


@pytest.fixture
def saved(table, tmp_path):
    path = tmp_path / "table.csv"
    table.save(path)
    return path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_table_is_read_back_as_it_was_written(table, saved):
    read = LatencyTable.load(saved)

    assert read == table
    assert read.digest == table.digest
    assert read.source == str(saved)
    assert not read.edited


@pytest.fixture
def verified(table):
    networks = [
        VerifiedNetwork(
            id=f"{n:012}",
            resolution=16,
            macs=1000 * n + n % 3,
            predicted_ms=float(n),
            measured_ms=1.1 * n + 0.01 * (n % 2),
            fitted=n % 3 == 0,
        )
        for n in range(1, 40)
    ]
    return replace(
        table,
        calibration=Calibration(scale=1.1, offset_ms=0.0),
        verification=judge(networks, noise_floor=0.01),
    )


def test_a_verified_table_is_read_back_with_its_verification(verified, tmp_path):
    verified.save(tmp_path / "verified.csv")

    assert LatencyTable.load(tmp_path / "verified.csv") == verified


def test_the_first_line_names_the_schema_and_pandas_reads_the_rest(saved, table):
    assert saved.read_text().startswith('# schema: "mnas.latency_table/1"\n# target: {"name"')
    frame = pd.read_csv(saved, comment="#")
    assert list(frame.columns) == ["block", "ms", "wall_ms", "spread", "runs", "status"]
    assert list(frame.block) == [row.block for row in table.rows]


def test_a_table_needs_no_more_header_than_schema_and_target(saved, table):
    lines = saved.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("#") or "schema" in line[:9]]
    target = '{"runtime": "other", "threads": 2, "dtype": "fp32", "batch": 1, "regime": "steady"}'
    saved.write_text("".join([kept[0], f"# target: {target}\n", *kept[1:]]))

    read = LatencyTable.load(saved)

    assert read.target == Target(runtime="other", threads=2)  # of a runtime that mnas has not
    assert read.rows == table.rows


def test_a_mark_at_the_beginning_and_blank_lines_at_the_end_are_accepted(saved, table):
    saved.write_bytes(b"\xef\xbb\xbf" + saved.read_bytes() + b"\n  \n\n")

    read = LatencyTable.load(saved)

    assert read == table
    assert not read.edited


def test_a_missing_file_is_named_with_the_way_to_measure_one(tmp_path):
    with pytest.raises(LatencyTableError, match=r"cannot read .*no\.csv: No such file.*measure"):
        LatencyTable.load(tmp_path / "no.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is empty; measure one"),
        (b"a,b\n1,2\n", "line 1 must be # schema: \"mnas.latency_table/1\"; got 'a,b'"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'# schema: "mnas.latency_table/2"\n', "written by a newer mnas: update mnas"),
        (b'# schema: "mnas.space/1"\n', "schema must be mnas.latency_table/1; got 'mnas.space/1'"),
        (b'# schema: "mnas.latency_table/1"\n', "target: this header line is required"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, content, message):
    path = tmp_path / "foreign.csv"
    path.write_bytes(content)

    with pytest.raises(LatencyTableError, match=re.escape(message)) as caught:
        LatencyTable.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.0033333333333333335,", "fast,", "ms: must be a number above 0; got 'fast'"),
        ("0.0033333333333333335,", "nan,", "ms: must be a number above 0; got 'nan'"),
        ("0.0033333333333333335,", "inf,", "ms: must be a number above 0; got 'inf'"),
        ("0.0033333333333333335,", "-1,", "ms: must be a number above 0; got '-1'"),
        ("0.0033333333333333335,", "0,", "ms: must be a number above 0; got '0'"),
        ("0.0033333333333333335,", ",", "ms: must be a number above 0; got ''"),
        ("0.0033333333333333335,", "1_0,", "ms: must be a number above 0; got '1_0'"),
        ("0.0033333333333333335,", "\u0661,", "ms: must be a number above 0; got '\u0661'"),
        ("0.0033333333333333335,", "1e300,", "ms: must be at most 1e+09; got '1e300'"),
        (",30,measured", ",\u0663,measured", "runs: must be a whole number; got '\u0663'"),
        (",30,measured", f",{'9' * 5000},measured", "runs: must be a whole number; got '999"),
        (",30,measured", ",many,measured", "runs: must be a whole number; got 'many'"),
        (",30,measured", ",30,guessed", "status: must be measured, noisy or 'failed: reason'"),
        (",30,measured", ",30", "row: needs 6 columns; got 5"),
        ('""in_channels"":3', '""in_channels"": 3', "block: not the key of a block"),
        ('""op"":""stem""', '""op"":""stam""', "block: not the key of a block"),
    ],
)
def test_a_row_that_no_table_can_have_is_named_by_its_line(saved, old, new, message):
    line = 1 + saved.read_text()[: saved.read_text().index(old)].count("\n")
    edit(saved, old, new)

    with pytest.raises(LatencyTableError, match=rf"\n  {line}:1: {re.escape(message)}"):
        LatencyTable.load(saved)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# empty_ms: 0.004\n", "# empty_ms: slow\n", "10:1: empty_ms: not JSON"),
        (
            "# empty_ms: 0.004\n",
            "# empty_ms: NaN\n",
            "10:1: empty_ms: not JSON, or impossible: NaN",
        ),
        (
            "# empty_ms: 0.004\n",
            "# empty_ms: -1\n",
            "10:1: empty_ms: must be greater than or equal to 0; got -1",
        ),
        ("# empty_ms:", "# empty_mss:", "10:1: header: unknown key 'empty_mss'"),
        ('"threads": 1', '"threads": 0', "threads must be at least 1; got 0"),
        ('"threads": 1', '"thread": 1', "unknown fields ['thread'] of a target"),
        ('"threads": 1', '"threads": "1"', "target.threads: must be a valid integer"),
        ('"threads": 1', '"threads": true', "target.threads: must be a valid integer"),
        ('"threads": 1, ', "", "2:1: target: not JSON, or impossible: a target needs threads too"),
        ("# empty_ms: 0.004\n", "# empty_ms: 1e999\n", "1e999 is not a number a table can hold"),
        ("# empty_ms: 0.004\n", '# empty_ms: "0.004"\n', "10:1: empty_ms: must be a valid number"),
        ("# drift: 0.02\n", "# drift: false\n", "drift"),
        ("# drift: 0.02\n", "# drift: -3\n", "12:1: drift: must be greater than or equal to 0"),
        (
            "# empty_ms: 0.004\n",
            "# empty_ms: 1e300\n",
            "10:1: empty_ms: must be less than or equal",
        ),
        ("# rows: ", "# rows: -", ":1: rows: must be greater than or equal to 0; got -"),
        ("# rows: ", "# rows: 1", "rows: must be the number of rows, "),
        ("# drift: 0.02\n", "# empty_ms: 0.004\n", "12:1: empty_ms: is there twice"),
    ],
)
def test_a_header_that_no_table_can_have_is_named_by_its_line(saved, old, new, message):
    edit(saved, old, new)

    with pytest.raises(LatencyTableError, match=re.escape(message)):
        LatencyTable.load(saved)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"scale": 1.1', '"scale": -1', "15:1: calibration.scale: must be above 0, at most 1e+09"),
        ('"offset_ms": 0.0', '"offset_ms": 1e99', "calibration.offset_ms: must be within 1e+09"),
        ('# calibration: {"scale": 1.1, "offset_ms": 0.0}\n', "", "verification: comes of one"),
        (
            '"noise_floor": 0.01',
            '"noise_floor": -1',
            "verification.noise_floor: must be 0 or above",
        ),
        ('"macs": 1001', '"macs": 0', "verification.networks.0.macs: must be above 0"),
        (
            '"predicted_ms": 1.0',
            '"predicted_ms": 1e300',
            "networks.0.predicted_ms: must be above 0",
        ),
        (
            "# empty_ms: 0.004",
            "# empty_ms: 99",
            "10:1: empty_ms: an empty call takes less than any",
        ),
    ],
)
def test_what_no_verification_gives_is_named_by_its_line(verified, saved, old, new, message):
    verified.save(saved)
    edit(saved, old, new)

    with pytest.raises(LatencyTableError, match=re.escape(message)):
        LatencyTable.load(saved)


def test_a_correction_without_the_verification_behind_it_is_refused(verified, saved):
    verified.save(saved)
    text = re.sub(r"# verification: .*\n", "# verification: null\n", saved.read_text())
    saved.write_text(text)

    with pytest.raises(LatencyTableError, match="calibration: comes of one measurement with the v"):
        LatencyTable.load(saved)


def test_a_header_that_was_edited_is_told_as_rows_are(verified, saved, caplog):
    verified.save(saved)
    edit(saved, f'"verdict": "{verified.verification.verdict}"', '"verdict": "inconclusive"')

    with caplog.at_level(logging.WARNING):
        assert LatencyTable.load(saved).edited
    assert "edited after it was measured" in caplog.text


def test_a_table_from_before_headers_had_a_checksum_is_read(saved, table):
    text = re.sub(r"# header_sha256: .*\n", "", saved.read_text())
    saved.write_text(text)

    read = LatencyTable.load(saved)

    assert (read, read.edited) == (table, False)


def test_other_line_ends_are_no_edit(saved, table):
    saved.write_bytes(saved.read_bytes().replace(b"\n", b"\r\n"))

    read = LatencyTable.load(saved)

    assert (read, read.edited) == (table, False)


def test_all_faults_are_told_at_once(saved):
    edit(saved, ",30,measured", ",30,guessed")
    edit(saved, ",30,measured", ",x,measured")

    with pytest.raises(LatencyTableError, match=r"(?s)status: must be.*runs: must be") as caught:
        LatencyTable.load(saved)
    assert len(caught.value.faults) == 2


def test_the_same_block_twice_is_an_error(saved):
    last = saved.read_text().splitlines(keepends=True)[-1]
    saved.write_text(saved.read_text() + last)

    with pytest.raises(LatencyTableError, match="block: is there twice"):
        LatencyTable.load(saved)


def test_a_file_cut_within_a_line_is_an_error(saved):
    saved.write_text(saved.read_text()[:-9])

    with pytest.raises(LatencyTableError, match="end: the file was cut short within this line"):
        LatencyTable.load(saved)


def test_a_file_cut_between_two_lines_is_an_error(saved, table):
    saved.write_text("".join(saved.read_text().splitlines(keepends=True)[:-1]))

    count = len(table.rows)
    message = rf"cut short: {count} rows were written and it ends after {count - 1}"
    with pytest.raises(LatencyTableError, match=message):
        LatencyTable.load(saved)


def test_edited_rows_are_told_and_remembered(saved, caplog):
    edit(saved, "0.0033333333333333335,", "0.5,")

    with caplog.at_level(logging.WARNING):
        table = LatencyTable.load(saved)

    assert table.edited
    assert "edited after it was measured" in caplog.text


def test_an_edited_table_stays_so_when_it_is_written_again(saved):
    edit(saved, "0.0033333333333333335,", "0.5,")

    LatencyTable.load(saved).save(saved)

    assert LatencyTable.load(saved).edited


def test_a_table_without_a_measured_block_is_an_error(table):
    failed = tuple(replace(row, ms=None, status="failed: no") for row in table.rows)

    with pytest.raises(LatencyTableError, match="holds no measured block"):
        replace(table, rows=failed)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Target(runtime="torch"), "measured with runtime onnxruntime, but runtime torch is asked"),
        (Target(threads=4), "measured with threads 1, but threads 4 is asked"),
        (Target(dtype="int8"), "measured with dtype fp32, but dtype int8 is asked"),
        (Target(batch=8), "measured with batch 1, but batch 8 is asked"),
    ],
)
def test_another_target_is_refused_with_both_sides_named(table, wanted, message):
    with pytest.raises(TableMismatchError, match=message):
        table.require(wanted)


def test_the_name_of_a_target_does_not_matter(table):
    assert table.require(Target(name="another")) is None


def test_a_written_table_can_be_read_by_others(saved):
    assert stat.S_IMODE(saved.stat().st_mode) & stat.S_IRUSR
    assert [path.name for path in saved.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("ms", "said"),
    [("-1.0", "reorders.ms: must be 0 to"), ("1e300", "reorders.ms: must be 0 to")],
)
def test_reorders_that_cannot_be_are_named(table, tmp_path, ms, said):
    path = tmp_path / "t.csv"
    replace(table, reorders=Reorders(ms=0.5, ms_per_value=0.0)).save(path)
    edit(path, '"ms": 0.5', f'"ms": {ms}')

    with pytest.raises(LatencyTableError, match=re.escape(said)):
        LatencyTable.load(path)
