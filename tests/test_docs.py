"""What the documentation says is so: its blocks run, its commands parse, its tables are complete.

Words after the language of a fenced block say how it is checked:

- `python` runs, in one namespace for each page; `python no-run` must parse, and its names exist;
- `yaml` loads as the schema in it says; `yaml of space` and `yaml of experiment` are top-level keys
  that replace those of the guide's first space or experiment; `yaml broken` must be refused;
- `sh`: each line that begins with `mnas` parses; `sh run` is run;
- `file=NAME` keeps a block for the later blocks of its page;
- `text` right after a block that runs is what it prints.

Commands between backticks parse, too, and relative links lead somewhere.
"""

import ast
import contextlib
import dataclasses
import io
import re
import shlex
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydantic
import pytest
import typer
from ruamel.yaml import YAML

import mnas
from mnas.arch import MnasError, plan
from mnas.cli import main
from mnas.cli.app import app
from mnas.export import EXPORTERS, Manifest
from mnas.latency import LatencyTable, TableRow, Target, Verification
from mnas.latency.table_file import COLUMNS
from mnas.results.frames import record_columns
from mnas.search import SAMPLERS, load_experiment, optimize
from mnas.search.experiment import Experiment
from mnas.space import InvalidSpaceError, load_space, published, shipped_spaces
from mnas.space.schema import space_schema
from mnas.training import SOURCES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


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
    for match, after in zip(matches, [*matches[1:], None], strict=True):
        shows = None
        if after is not None and after[1] == "text" and not text[match.end() : after.start()].strip():
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


# --- blocks that run or load


@every_page
def test_every_block_does_what_its_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "my_table.csv")
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for block in fenced_in(page):
        where = f"{name_of(page)}:{block.line}"
        if block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
        match block.language:
            case "python" if "no-run" in block.words:
                require_names_exist(block.text, where)
            case "python":
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(compile(block.text, where, "exec"), namespace)
                assert block.shows in (None, printed.getvalue()), where
            case "yaml":
                require_loads(block, where)
            case "sh" if "run" in block.words:
                assert ran(block.text) == block.shows, where
            case "sh" | "text" | "json":
                pass
            case other:
                pytest.fail(f"{where}: no way to check a block of {other!r}")


def write_table(path: Path) -> None:
    """A table of `small_digits` in which a block takes what its MACs would."""
    blocks = load_space("small_digits").reachable_blocks()
    row = {"wall_ms": None, "spread": 0.0, "runs": 30, "status": "measured"}
    rows = tuple(
        TableRow(block=key, ms=1e-3 * (1 + sum(map(len, key.split(":")))), **row) for key in blocks
    )
    LatencyTable(target=Target(), device="a test", runtime_version="0", rows=rows).save(path)


def require_names_exist(text: str, where: str) -> None:
    for node in ast.walk(ast.parse(text, where)):
        if isinstance(node, ast.ImportFrom):
            statement = ast.unparse(node)
            exec(compile(statement, where, "exec"), {})
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "mnas"
        ):
            assert hasattr(mnas, node.attr), f"{where}: mnas.{node.attr}"


def require_loads(block: Fenced, where: str) -> None:
    document = YAML(typ="safe", pure=True).load(block.text)
    if "of" in block.words:
        kind = block.words[block.words.index("of") + 1]
        document = {**first_document(kind), **document}
    file = Path("checked.yaml")
    with file.open("w", encoding="utf-8") as out:
        YAML(typ="safe", pure=True).dump(document, out)
    match document.get("schema"):
        case "mnas.space/1" if "broken" in block.words:
            with pytest.raises(InvalidSpaceError, match="is not a search space"):
                load_space(file)
        case "mnas.space/1":
            load_space(file)
        case "mnas.experiment/1":
            load_space(load_experiment(file).space)
        case _:
            pytest.fail(f"{where}: mark it `yaml of space` or `yaml of experiment`")


def first_document(kind: str) -> dict[str, typing.Any]:
    page = {"space": "spaces.md", "experiment": "experiments.md"}[kind]
    text = next(block.text for block in fenced_in(DOCS / page) if block.language == "yaml")
    return YAML(typ="safe", pure=True).load(text)


def ran(commands: str) -> str:
    """What commands print, on both streams."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        for words in command_lines(commands):
            main(words)
    return out.getvalue()


# --- commands


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of each line that calls mnas, up to a comment, pipe or redirection."""
    for line in text.splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&>;")
        lexer.whitespace_split = True
        words = list(lexer)
        ends = [i for i, word in enumerate(words) if set(word) <= set("|&>;")]
        words = words[: ends[0]] if ends else words
        if words and words[0] == "mnas":
            yield words[1:]


def commands_of(page: Path) -> Iterator[list[str]]:
    for block in fenced_in(page):
        if block.language == "sh":
            yield from command_lines(block.text)
    for inline in re.findall(r"`(mnas [^`]+)`", prose_of(page)):
        yield shlex.split(inline)[1:]


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


@every_page
def test_every_command_exists_and_takes_what_is_written(page):
    paths = command_paths()
    for words in commands_of(page):
        said = shlex.join(["mnas", *words])
        if words[0] in ("--version", "--debug", "--help"):
            continue
        length = 2 if " ".join(words[:2]) in paths else 1
        path, rest = " ".join(words[:length]), words[length:]
        if path not in paths:
            assert any(known.startswith(f"{path} ") for known in paths), f"no command: {said}"
            assert not rest, f"no command: {said}"
        elif rest:
            try:
                paths[path].make_context(path, list(rest))
            except typer.Exit as end:
                assert "--help" in rest, (said, end)
            except typer.TyperException as error:
                pytest.fail(f"{said}: {error.format_message()}")


def test_the_guide_lists_every_command():
    rows = table_under(DOCS / "guide.md", "Commands")
    listed = {re.fullmatch(r"`mnas ([a-z ]+?)(?: [A-Z-].*)?`", row[0])[1] for row in rows}
    assert listed == set(command_paths())


# --- links


@every_page
def test_every_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors_of(there), target


def anchors_of(page: Path) -> set[str]:
    """The anchors of headings as GitHub makes them."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = found[slug] = found.get(slug, -1) + 1
        anchors.add(f"{slug}-{number}" if number else slug)
    return anchors


# --- tables


def table_under(page: Path, heading: str, number: int = 0) -> list[list[str]]:
    """The cells of a table under a heading, without its header line."""
    text = prose_of(page)
    section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", text, re.M | re.S)
    assert section is not None, f"{page} has no heading {heading!r}"
    tables = re.findall(r"(?:^\|.*\|\n)+", section[1] + "\n", re.M)
    lines = tables[number].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def first_cells(page: str, heading: str, number: int = 0) -> list[str]:
    return [row[0].strip("`") for row in table_under(DOCS / page, heading, number)]


def sections_of_experiment() -> dict[str, type]:
    """The classes behind the sections of an experiment file, by the name of the section."""
    found: dict[str, type] = {}

    def visit(name: str, annotation: typing.Any) -> None:
        for inner in typing.get_args(annotation):
            visit(name, inner)
        if dataclasses.is_dataclass(annotation) or (
            isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)
        ):
            found[name] = annotation

    for name, field in Experiment.model_fields.items():
        visit(name, field.annotation)
    return found


_REQUIRED = object()


def defaults_of(section: type) -> dict[str, object]:
    """Every key of a section with its default."""
    if dataclasses.is_dataclass(section):
        return {
            field.name: _REQUIRED if field.default is dataclasses.MISSING else field.default
            for field in dataclasses.fields(section)
        }
    return {
        field.alias or name: _REQUIRED if field.is_required() else field.default
        for name, field in section.model_fields.items()
    }


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("The keys of the file", Experiment),
        *((f"`{name}`", section) for name, section in sections_of_experiment().items()),
    ],
)
def test_the_keys_of_an_experiment_and_their_defaults_are_documented(heading, section):
    wanted = defaults_of(section)
    rows = table_under(DOCS / "experiments.md", heading)
    documented = {row[0].strip("`"): row[1] for row in rows}
    assert list(documented) == list(wanted)
    for key, said in documented.items():
        if said == "required":
            assert wanted[key] is _REQUIRED, key
        elif said.startswith("`"):
            assert YAML(typ="safe", pure=True).load(said.strip("`")) == wanted[key], key
        else:  # a section of its own, documented in its own table
            assert isinstance(wanted[key], pydantic.BaseModel) or dataclasses.is_dataclass(
                wanted[key]
            ), key


def keys_of_schema(part: dict[str, typing.Any]) -> set[str]:
    return set(part["properties"])


@pytest.mark.parametrize(
    ("heading", "number", "definition"),
    [
        ("The keys of the file", 0, None),
        ("Stages and layers", 0, "stages"),
        ("Squeeze-and-excite", 0, "se"),
        ("Head", 0, "head"),
    ],
)
def test_the_keys_of_a_space_are_documented(heading, number, definition):
    schema = space_schema()
    part = schema if definition is None else schema["$defs"][definition]
    assert set(first_cells("spaces.md", heading, number)) == keys_of_schema(part)


def test_the_operators_of_a_space_and_what_each_uses_are_documented():
    from mnas.space.layers import OP_FIELDS

    rows = table_under(DOCS / "spaces.md", "Stages and layers", 1)
    documented = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows}
    width = {"expansion", "expanded_channels"}
    assert documented == {
        op: {*set(names) - {"width"}, *(width if "width" in names else ())}
        for op, names in OP_FIELDS.items()
    }


def test_the_sources_the_formats_and_the_samplers_are_documented():
    assert first_cells("experiments.md", "Data") == list(SOURCES)
    assert first_cells("runs.md", "Export") == list(EXPORTERS)
    files = [row[1].strip("`") for row in table_under(DOCS / "runs.md", "Export")]
    assert files == [exporter.file for exporter in EXPORTERS.values()]
    sampler = next(row for row in table_under(DOCS / "experiments.md", "`search`"))
    assert set(re.findall(r"`(\w+)`", sampler[2])) == set(SAMPLERS)


def test_the_file_of_a_latency_table_is_documented(tmp_path):
    assert first_cells("latency.md", "The file") == list(COLUMNS)
    write_table(tmp_path / "table.csv")
    header = re.findall(r"^# (\w+):", (tmp_path / "table.csv").read_text(), re.MULTILINE)
    assert first_cells("latency.md", "The file", 1) == header
    fields = [field.name for field in dataclasses.fields(Verification)]
    assert first_cells("latency.md", "Verify") == fields


def test_the_columns_of_records_are_documented():
    arch = load_space("small_digits").cheapest(lambda block: 1.0)
    run = optimize("small_digits", lambda _: 1.0, latency=lambda _: 1.0, trials=1)
    record = dataclasses.replace(run.evaluations[0], measured_ms={"<target>": 1.0}, choices={})
    assert first_cells("runs.md", "records.csv") == record_columns([record], ["<target>"])
    assert plan(arch).blocks


def test_the_manifest_is_documented():
    fields = {field.name for field in dataclasses.fields(Manifest)}
    assert set(first_cells("runs.md", "Export", 1)) == fields


def test_the_names_that_ship_are_documented():
    text = prose_of(DOCS / "spaces.md")
    section = text[text.index("## Shipped spaces") : text.index("## Help from")]
    assert {*shipped_spaces(), *published()} <= set(re.findall(r"`(\w+)`", section))


def test_the_public_names_are_documented_and_nothing_else_is():
    text = "".join(prose_of(page) for page in DOCS.glob("*.md"))
    said = set(re.findall(r"`mnas\.(\w+)", text))
    assert set(mnas.__all__) <= said
    assert all(hasattr(mnas, name) for name in said)


def test_every_exit_code_of_an_error_is_documented():
    codes = {int(code) for code in first_cells("guide.md", "Exit codes")}
    assert codes == {0, 1, *exit_codes(MnasError)}


def exit_codes(error: type[MnasError]) -> set[int]:
    """Of an error and all that inherit from it; the rooms are imported by now."""
    import mnas.cli.options
    import mnas.export.errors
    import mnas.search.searching  # noqa: F401 - only classes that were imported are found

    return {error.exit_code}.union(*map(exit_codes, error.__subclasses__()))
