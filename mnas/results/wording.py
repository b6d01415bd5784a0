"""Numbers as a person reads them, with their units."""

from collections.abc import Iterable

MINUS = "\u2212"
NONE = "\u2013"  # an en dash: not measured, not read


def percent(fraction: float | None, digits: int = 2) -> str:
    """`91.25 %`; a dash for None."""
    return NONE if fraction is None else f"{100 * fraction:.{digits}f}\u00a0%"


def points(fraction: float, digits: int = 2) -> str:
    """A signed difference of two fractions in percentage points, `+1.20`."""
    text = f"{100 * fraction:+.{digits}f}"
    return text.replace("-", MINUS)


def milliseconds(ms: float | None) -> str:
    """Three significant digits, `0.614 ms`; a dash for None."""
    if ms is None:
        return NONE
    digits = 3 if ms < 1 else 2 if ms < 10 else 1 if ms < 100 else 0
    return f"{ms:.{digits}f}\u00a0ms"


def amount(number: float | None) -> str:
    """`1.23 M`, `70.6 k`; a dash for None."""
    if number is None:
        return NONE
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}\u00a0{unit}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest:02d}\u00a0s"
    return f"{minutes // 60}\u00a0h {minutes % 60:02d}\u00a0min"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 network`, `1,200 networks`."""
    return f"{number:,}\u00a0{one if number == 1 else many or one + 's'}"


def epochs_text(epochs: int) -> str:
    """`1 epoch`, `9 epochs`; one's own scoring function may train nothing."""
    if epochs == 0:
        return "own score"
    return counted(epochs, "epoch")


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


class Accuracies:
    """How the scores of a run are written: as percent if all are fractions, else as they are.

    One's own scoring function may give any number; calling it a percentage would be an invention.
    """

    __slots__ = ("are_fractions",)

    def __init__(self, values: Iterable[float]) -> None:
        self.are_fractions = all(0 <= value <= 1 for value in values)

    def text(self, value: float | None, digits: int = 2) -> str:
        if value is None or self.are_fractions:
            return percent(value, digits)
        return f"{value:.4g}"

    def spread(self, value: float) -> str:
        return f"{100 * value:.2f}" if self.are_fractions else f"{value:.2g}"

    def scaled(self, value: float) -> float:
        """The value on the axis of a plot."""
        return 100 * value if self.are_fractions else value

    @property
    def axis(self) -> str:
        return "validation accuracy (%)" if self.are_fractions else "score (higher is better)"

    @property
    def unit(self) -> str:
        return "points" if self.are_fractions else "(units of the score)"
