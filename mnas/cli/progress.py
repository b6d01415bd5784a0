"""Progress on stderr: bars on a terminal, elsewhere one quiet line now and then."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SECONDS_BETWEEN_LINES = 10.0


class Reporter(Protocol):
    """Shows how a long command goes; a context manager, because a terminal must be tidied up."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def step(self, phase: str, done: int, total: int, text: str) -> None:
        """Show where a phase stands; `total` is 0 where it is not known."""
        ...

    def say(self, text: str) -> None:
        """Show one line that stays."""
        ...


def reporter() -> Reporter:
    """The reporter that suits stderr."""
    return BarReporter(sys.stderr) if sys.stderr.isatty() else LineReporter(sys.stderr)


def progress_of(shown: Reporter, phase: str) -> Callable[[int, int, str], None]:
    """The callback that rooms take, for one phase."""
    return lambda done, total, text: shown.step(phase, done, total, text)


class LineReporter:
    """One line at each new phase and at most one in ten seconds within a phase."""

    def __init__(self, file: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._phase: str | None = None
        self._told_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.flush()

    def step(self, phase: str, done: int, total: int, text: str) -> None:
        now = self._clock()
        if phase == self._phase and now - self._told_at < _SECONDS_BETWEEN_LINES:
            return
        self._phase, self._told_at = phase, now
        count = f" {done}/{total}" if total else ""
        self.say(f"{phase}{count}: {text}" if text else f"{phase}{count}")

    def say(self, text: str) -> None:
        print(text, file=self._file, flush=True)


class BarReporter:
    """A bar for the phase that runs; the bars of earlier phases stay."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._progress: Progress | None = None
        self._phase: str | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed
        from rich.table import Column

        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(width=9)),
            BarColumn(bar_width=16, table_column=Column(width=16)),
            MofNCompleteColumn(table_column=Column(width=9)),
            Elapsed(table_column=Column(width=7)),
            TextColumn(
                "{task.fields[text]}", markup=False, table_column=Column(ratio=1, no_wrap=True)
            ),
        )
        console = Console(file=self._file, highlight=False, markup=False, emoji=False)
        self._progress = Progress(*columns, console=console, expand=True)
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._finish_phase()
            self._progress.stop()

    def step(self, phase: str, done: int, total: int, text: str) -> None:
        assert self._progress is not None, "a reporter shows nothing before it is entered"
        if phase != self._phase or self._task is None:
            self._finish_phase()
            self._phase, self._task = phase, self._progress.add_task(phase, total=None, text="")
        self._progress.update(self._task, completed=done, total=total or None, text=text)

    def say(self, text: str) -> None:
        assert self._progress is not None, "a reporter shows nothing before it is entered"
        self._progress.console.print(text)

    def _finish_phase(self) -> None:
        """Stop the bar where it is: a phase that was stopped early is not shown as done."""
        if self._progress is None or self._task is None:
            return
        task = next(each for each in self._progress.tasks if each.id == self._task)
        if task.total is None:  # it counted nothing, and must not go on moving
            self._progress.update(self._task, completed=1, total=1)
        self._progress.stop_task(self._task)
