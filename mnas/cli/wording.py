"""Numbers as a person reads them on a terminal, with their units."""

from collections.abc import Iterable

_UNKNOWN = "-"


def percent(fraction: float | None, digits: int = 1) -> str:
    """`91.3 %`."""
    return _UNKNOWN if fraction is None else f"{100 * fraction:.{digits}f} %"


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """`97.2 % (95.0 to 98.5)`, a fraction with its interval."""
    if value is None or low is None or high is None:
        return percent(value)
    return f"{percent(value)} ({100 * low:.1f} to {100 * high:.1f})"


def points(fraction: float) -> str:
    """`+1.2`, a difference of fractions in percentage points."""
    return f"{100 * fraction:+.1f}"


def milliseconds(ms: float | None) -> str:
    """Three significant digits, `0.614 ms`."""
    if ms is None:
        return _UNKNOWN
    digits = 4 if ms < 0.1 else 3 if ms < 1 else 2 if ms < 10 else 1
    return f"{ms:.{digits}f} ms"


def latency_with_margin(ms: float | None, low: float | None, high: float | None) -> str:
    """`0.614 ms (0.590 to 0.638)`; says so where there is no margin."""
    if ms is None:
        return _UNKNOWN
    if low is None or high is None:
        return f"{milliseconds(ms)} (no margin: the table is not verified)"
    low_text, high_text = (milliseconds(end).removesuffix(" ms") for end in (low, high))
    return f"{milliseconds(ms)} ({low_text} to {high_text})"


def amount(number: float | None) -> str:
    """`1.23 M`, `70.6 k`."""
    if number is None:
        return _UNKNOWN
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"


def span(low: float, high: float) -> str:
    """`70.6 k to 1.23 M`."""
    return amount(low) if low == high else f"{amount(low)} to {amount(high)}"


def memory(size_bytes: float) -> str:
    """`1.5 MiB`."""
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 network`, `1,200 networks`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"
