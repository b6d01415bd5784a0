"""What the latency commands add to the functions they call: words, and the next thing to type."""

import json

import pytest

from mnas.latency import LatencyTable, measuring


def test_a_limited_plan_says_what_is_left_to_be_predicted_and_carries_the_limit_on(mnas):
    shown = mnas("latency", "plan", "small_28", "--most", 40).out

    assert "40 blocks to measure" in shown
    assert "238 blocks will be predicted from these: about" in shown
    assert "mnas latency measure small_28 -o TABLE.csv --most 40" in shown


def test_a_limit_reaches_the_measurement(mnas, space_file, tmp_path, monkeypatch):
    asked = {}

    def measure(space, target, out, **options):
        asked.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure_table", measure)
    mnas("latency", "measure", space_file, "-o", tmp_path / "t.csv", "--most", 7)

    assert asked["most"] == 7


def test_blocks_that_were_predicted_are_named_with_their_places(mnas, table_file):
    said = mnas("latency", "predict", table_file, "mobilenet_v3_small")

    assert said.code == 0, said.err
    assert "of it is of 16 blocks that the table did not measure" in said.out
    assert "Outside the range of what was measured errors grow" in " ".join(said.out.split())
    assert "blocks.3" in said.out
    assert "takes 24 x 28 x 28" in said.out
    document = json.loads(
        mnas("latency", "predict", table_file, "mobilenet_v3_small", "--json").out
    )
    assert len(document["predicted_blocks"]) == 16
    assert document["verdict"] is None


def test_a_network_of_the_tables_own_blocks_has_nothing_predicted(mnas, table_file, network_file):
    said = mnas("latency", "predict", table_file, network_file).out

    assert "did not measure" not in said


@pytest.mark.parametrize("option", ["--html", "-o"])
def test_a_table_is_shown_as_a_page(mnas, table_file, tmp_path, option):
    said = mnas("latency", "show", table_file, option, tmp_path / "t.html")

    assert f"page: {tmp_path / 't.html'}" in said.out
    assert "mnas latency table" in (tmp_path / "t.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_one_error(mnas, table_file, tmp_path):
    said = mnas("latency", "show", table_file, "--html", table_file / "t.html")

    assert said.code == 2
    assert f"error: cannot write {table_file / 't.html'}" in said.err


def test_a_limited_table_tells_what_predicting_costs(mnas, table_file, tmp_path):
    table = LatencyTable.load(table_file)
    object.__setattr__(table, "left_out", 12)
    table.save(tmp_path / "limited.csv")

    said = mnas("latency", "show", tmp_path / "limited.csv").out

    assert "12 blocks more, from these; left-out blocks are off by" in said


@pytest.mark.parametrize("command", ["show --html", "compare --merge"])
def test_what_is_read_is_not_written_over(mnas, table_file, command):
    before = table_file.read_bytes()
    name, option = command.split()
    tables = [table_file] if name == "show" else [table_file, table_file]

    said = mnas("latency", name, *tables, option, table_file)

    assert said.code == 2
    assert "is what is read: name another file to write" in said.err
    assert table_file.read_bytes() == before


def test_a_folder_for_a_table_is_refused_before_anything_is_measured(mnas, space_file, tmp_path):
    said = mnas("latency", "measure", space_file, "-o", tmp_path)

    assert said.code == 2
    assert "it is a folder; name a file" in said.err
    assert not tmp_path.with_name(f"{tmp_path.name}.partial").exists()
