"""The rows measured so far are safe: what is damaged is told, and nothing is thrown away."""

import pytest

from mnas.latency.errors import MeasuringError, TableMismatchError
from mnas.latency.partial import PartialTable
from mnas.latency.timing import PassTime

HEADER = {"device": "A"}


@pytest.fixture
def partial(tmp_path):
    path = tmp_path / "t.csv.partial"
    with PartialTable(path, HEADER) as table:
        for number in range(4):
            table.add(f"block {number}", PassTime(ms=1.0, wall_ms=1.0))
    return path


def test_a_torn_last_line_is_dropped(partial):
    partial.write_bytes(partial.read_bytes()[:-3])

    with PartialTable(partial, HEADER) as table:
        assert len(table.passes) == 3


@pytest.mark.parametrize(
    "line", ["garbage", "b,nan,nan,timed", "b,-5,1,timed", "b,1,inf,timed", "b,x,1,timed"]
)
def test_a_damaged_line_is_named_and_the_file_stays(partial, line):
    lines = partial.read_text().splitlines()
    lines[2] = line
    partial.write_text("\n".join(lines) + "\n")
    before = partial.read_bytes()

    with pytest.raises(MeasuringError, match=r"t\.csv\.partial:3: this line is damaged; got"):
        PartialTable(partial, HEADER)

    assert partial.read_bytes() == before


@pytest.mark.parametrize("text", ["my precious notes", "my precious notes\nof many lines\n"])
def test_a_file_of_somebody_else_is_left_alone(tmp_path, text):
    path = tmp_path / "t.csv.partial"
    path.write_text(text)

    with pytest.raises(TableMismatchError, match="not what a measurement left there"):
        PartialTable(path, HEADER)

    assert path.read_text() == text


def test_a_header_that_was_torn_begins_anew(partial):
    partial.write_bytes(partial.read_bytes()[:9])

    with PartialTable(partial, HEADER) as table:
        assert table.passes == {}
