"""What the documentation says is so: its blocks run, its commands parse, its tables are complete.

Words after the language of a fenced block say how it is checked:

- `python` runs, in one namespace for each page; `python no-run` does not, but what it imports
  exists and takes the arguments it is given;
- `yaml` loads as the schema in it says; `yaml of space` and `yaml of experiment` are top-level keys
  that replace those of the guide's first space or experiment; `yaml broken` must be refused;
- `sh`: each line that begins with `mnas` parses; `sh run` is run;
- `file=NAME` keeps a block for the later blocks of its page;
- `text` right after a block that runs is what it prints.

Commands between backticks parse, too, and relative links lead somewhere.
"""

import ast
import contextlib
import inspect
import io
import re
import shlex
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from pages import DOCS, PAGES, Fenced, command_paths, fenced_in, name_of, prose_of, write_table
from ruamel.yaml import YAML

from mnas.cli import main
from mnas.search import load_experiment
from mnas.space import InvalidSpaceError, load_space

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


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
                require_calls_fit(block.text, where)
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


def require_calls_fit(text: str, where: str) -> None:
    """What is imported exists, and takes the arguments it is given; nothing is called."""
    tree = ast.parse(text, where)
    names: dict[str, object] = {}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.unparse(node), where, "exec"), names)
    for node in ast.walk(tree):
        path = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if re.fullmatch(r"\w+(\.\w+)*", path) and path.partition(".")[0] in names:
            assert isinstance(node, ast.Call)
            signature = inspect.signature(eval(path, names))
            signature.bind(*node.args, **{str(each.arg): each.value for each in node.keywords})


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
        elif rest and "--help" not in rest:
            try:
                paths[path].make_context(path, list(rest))
            except typer.TyperException as error:
                pytest.fail(f"{said}: {error.format_message()}")


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
