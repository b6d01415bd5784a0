"""Plain text for a terminal or a pipe: aligned columns, paragraphs."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

_PARAGRAPH_WIDTH = 88
_GAP = "  "


def table_of(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False
) -> Iterator[str]:
    """The lines of a table whose first column is a name.

    Args:
        headers: One for each column; all empty for no header.
        rows: Cells as text, as many as there are headers.
        numbers: Whether the other columns are numbers, to be aligned on the right.
    """
    lines = [*([headers] if any(headers) else []), *rows]
    widths = [max((len(line[index]) for line in lines), default=0) for index in range(len(headers))]
    for line in lines:
        cells = [
            cell.rjust(width) if numbers and index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield _GAP.join(cells).rstrip()


def facts(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Names on the left, what they are on the right."""
    return table_of(("", ""), rows)


def paragraph(text: str) -> str:
    """Sentences, broken between words so that they can be read in a terminal."""
    return textwrap.fill(text, _PARAGRAPH_WIDTH, break_long_words=False, break_on_hyphens=False)
