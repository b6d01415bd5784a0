"""The tables of the documentation are complete: a key, column or command more or less fails."""

import dataclasses
import inspect
import re
import typing

import pydantic
import pytest
from pages import DOCS, command_paths, prose_of, table_under, write_table
from ruamel.yaml import YAML

import mnas
from mnas.arch import MnasError
from mnas.export import EXPORTERS, Manifest, format_names
from mnas.latency import LatencyTable, Verification
from mnas.latency.table_file import COLUMNS
from mnas.results import Confirmed, Verdict
from mnas.results.frames import record_columns
from mnas.search import SAMPLERS, optimize
from mnas.search.experiment import Experiment
from mnas.space import SearchSpace, published, shipped_spaces
from mnas.space.layers import OP_FIELDS
from mnas.space.schema import space_schema
from mnas.training import SOURCES, FilterRule


def first_cells(page: str, heading: str, number: int = 0) -> list[str]:
    return [row[0].strip("`") for row in table_under(DOCS / page, heading, number)]


def test_the_guide_lists_every_command():
    rows = table_under(DOCS / "guide.md", "Commands")
    listed = {re.fullmatch(r"`mnas ([a-z -]+?)(?: [A-Z-].*)?`", row[0])[1] for row in rows}
    assert listed == set(command_paths())


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
        ("Filter", FilterRule),
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
    rows = table_under(DOCS / "spaces.md", "Stages and layers", 1)
    documented = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows}
    width = {"expansion", "expanded_channels"}
    assert documented == {
        op: {*set(names) - {"width"}, *(width if "width" in names else ())}
        for op, names in OP_FIELDS.items()
    }


def test_the_sources_the_formats_and_the_samplers_are_documented():
    assert sorted(first_cells("experiments.md", "Data")) == sorted(SOURCES)
    assert first_cells("runs.md", "Export") == list(format_names())
    files = [row[1].strip("`") for row in table_under(DOCS / "runs.md", "Export")]
    own = [exporter.file for exporter in EXPORTERS.values()]
    assert files[: len(own)] == own
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
    run = optimize("small_digits", lambda _: 1.0, latency=lambda _: 1.0, trials=1)
    record = dataclasses.replace(run.evaluations[0], measured_ms={"<target>": 1.0}, choices={})
    assert first_cells("runs.md", "records.csv") == record_columns([record], ["<target>"])


def test_the_manifest_is_documented():
    fields = {field.name for field in dataclasses.fields(Manifest)}
    assert set(first_cells("runs.md", "Export", 1)) == fields


def test_the_names_that_ship_are_documented():
    text = prose_of(DOCS / "spaces.md")
    section = text[text.index("## Shipped spaces") : text.index("## Help from")]
    assert {*shipped_spaces(), *published()} <= set(re.findall(r"`(\w+)`", section))


def test_the_public_names_are_documented_and_nothing_else_is():
    text = "".join(prose_of(page) for page in DOCS.glob("*.md"))
    said = set(re.findall(r"`mnas\.(\w+)(?![\w/])", text))  # `mnas.space/1` is a schema
    assert set(mnas.__all__) <= said
    assert [name for name in said if not hasattr(mnas, name)] == []


@pytest.mark.parametrize(
    ("variable", "of"), [("space", SearchSpace), ("table", LatencyTable), ("run", mnas.Run)]
)
def test_what_is_said_of_a_value_is_there(variable, of):
    text = "".join(prose_of(page) for page in DOCS.glob("*.md"))
    said = set(re.findall(rf"`{variable}\.(\w+)", text))
    assert said
    assert [name for name in said if not hasattr(of, name)] == []


def test_the_arguments_of_optimize_and_their_defaults_are_documented():
    rows = table_under(DOCS / "guide.md", "Your own scoring function")
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows}
    assert documented == {
        name: "required" if each.default is each.empty else repr(each.default).replace("'", '"')
        for name, each in inspect.signature(optimize).parameters.items()
    }


def test_the_verdict_is_documented():
    fields = {field.name for field in dataclasses.fields(Verdict)}
    assert fields <= set(first_cells("runs.md", "verdict.json"))
    text = prose_of(DOCS / "runs.md")
    entry = text[text.index("An entry has") : text.index("## Train fully")]
    names = {field.name for field in dataclasses.fields(Confirmed)}
    assert names == set(re.findall(r"`(\w+)`", entry))


def test_every_exit_code_of_an_error_is_documented():
    codes = {int(code) for code in first_cells("guide.md", "Exit codes")}
    assert codes == {0, 1, *exit_codes(MnasError)}


def exit_codes(error: type[MnasError]) -> set[int]:
    """Of an error and all that inherit from it."""
    import mnas.cli.options
    import mnas.export.errors
    import mnas.search.searching  # noqa: F401 - only classes that were imported are found

    return {error.exit_code}.union(*map(exit_codes, error.__subclasses__()))
