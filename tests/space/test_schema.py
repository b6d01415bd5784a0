"""The JSON schema for editors agrees with the loader."""

import json

import jsonschema
import pytest

from mnas.arch import shipped_folder
from mnas.space import load_space, shipped_spaces
from mnas.space.schema import space_schema


def test_the_shipped_schema_is_in_step_with_the_grammar():
    path = shipped_folder("search_spaces") / "space.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == space_schema()


def test_the_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(space_schema())


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_shipped_space_is_valid_by_the_schema(name):
    jsonschema.Draft202012Validator(space_schema()).validate(load_space(name).document.value)


@pytest.mark.parametrize(
    "change", [{"hed": 1}, {"width": "wide"}, {"stages": []}, {"width": {"each": [1.0]}}]
)
def test_the_schema_refuses_what_the_loader_refuses(change):
    document = {**load_space("small_28").document.value, **change}
    validator = jsonschema.Draft202012Validator(space_schema())
    assert not validator.is_valid(document)
