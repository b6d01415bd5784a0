"""The pages of the documentation, taken apart: fenced blocks, prose, tables."""

import itertools
import re
import typing
from dataclasses import dataclass
from pathlib import Path

import typer

from mnas.cli.app import app
from mnas.latency import LatencyTable, TableRow, Target
from mnas.latency.reorders import Reorders
from mnas.space import load_space

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# The changelog is history: what it names may be gone.
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md")} - {ROOT / "CHANGELOG.md"})
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """A fenced block; `shows` is the `text` block right after it."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int
    shows: str | None

    @property
    def file(self) -> str | None:
        return next((w.removeprefix("file=") for w in self.words if w.startswith("file=")), None)


def fenced_in(page: Path) -> list[Fenced]:
    text = page.read_text(encoding="utf-8")
    matches = list(_FENCE.finditer(text))
    found = []
    for match, after in itertools.pairwise([*matches, None]):
        assert match is not None
        shows = None
        if (
            after is not None
            and after[1] == "text"
            and not text[match.end() : after.start()].strip()
        ):
            shows = after[3]
        line = text.count("\n", 0, match.start()) + 1
        found.append(
            Fenced(
                language=match[1],
                words=tuple(match[2].split()),
                text=match[3],
                line=line,
                shows=shows,
            )
        )
    return found


def prose_of(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def table_under(page: Path, heading: str, number: int = 0) -> list[list[str]]:
    """The cells of a table under a heading, without its header line."""
    text = prose_of(page)
    section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", text, re.M | re.S)
    assert section is not None, f"{page} has no heading {heading!r}"
    tables = re.findall(r"(?:^\|.*\|\n)+", section[1] + "\n", re.M)
    lines = tables[number].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def write_table(path: Path) -> None:
    """A table of `small_digits` in which every block takes the same time."""
    rows = tuple(
        TableRow(block=key, ms=0.01, wall_ms=0.01, spread=0.0, runs=30, status="measured")
        for key in load_space("small_digits").reachable_blocks()
    )
    LatencyTable(
        target=Target(),
        device="a test",
        runtime_version="0",
        rows=rows,
        reorders=Reorders(ms=0.0, ms_per_value=0.0),
    ).save(path)


def command_paths() -> dict[str, typing.Any]:
    """Every command by its words, groups left out."""
    found = {}

    def visit(command: typing.Any, path: str) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            visit(inner, f"{path} {name}".strip())
        if not hasattr(command, "commands"):
            found[path] = command

    visit(typer.main.get_command(app), "")
    return found
