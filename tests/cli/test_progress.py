import io
import itertools

from mnas.cli.progress import BarReporter, LineReporter


def reported(seconds, steps):
    """What a reporter writes when the clock stands at the given seconds at each step."""
    file, times = io.StringIO(), iter(seconds)
    with LineReporter(file, clock=lambda: next(times)) as shown:
        for step in steps:
            shown.step(*step)
    return file.getvalue().splitlines()


def test_a_new_phase_is_told_at_once():
    steps = [("table", 0, 5, "measuring"), ("search", 0, 0, "starting")]

    assert reported([0.0, 0.1], steps) == ["table 0/5: measuring", "search: starting"]


def test_within_a_phase_there_is_at_most_one_line_in_ten_seconds():
    steps = [("search", done, 100, "trial") for done in range(100)]

    lines = reported(itertools.count(0, 0.5), steps)

    assert lines == [f"search {done}/100: trial" for done in range(0, 100, 20)]


def test_lines_have_no_control_characters():
    lines = reported([0.0], [("search", 1, 2, "trial")])

    assert all(line.isprintable() for line in lines)


def test_on_a_terminal_a_phase_that_ended_early_is_not_shown_as_done():
    file = io.StringIO()
    with BarReporter(file) as shown:
        shown.step("search", 3, 5, "trial")
        shown.step("report", 0, 0, "writing")

    assert "3/5" in file.getvalue()
    assert "5/5" not in file.getvalue()


def test_on_a_terminal_names_from_files_are_no_markup():
    file = io.StringIO()
    with BarReporter(file) as shown:
        shown.step("search", 1, 4, "[bold]x[/bold]")
        shown.say("Ctrl-C again stops at once")

    assert "[bold]x[/bold]" in file.getvalue()
    assert "Ctrl-C again stops at once" in file.getvalue()
