"""The JSON schema of architecture documents agrees with the door."""

import copy
import json

import jsonschema
import pytest
from hypothesis import given, settings

from mnas.arch import Architecture, InvalidArchitectureError, shipped_folder
from mnas.arch.schema import architecture_schema
from tests.strategies import architectures

FOLDER = shipped_folder("search_spaces")
VALIDATOR = jsonschema.Draft202012Validator(architecture_schema())
DOCUMENT = json.loads((FOLDER / "published" / "mobilenet_v4_conv_small.json").read_text("utf-8"))


def test_the_shipped_schema_is_in_step_with_the_document():
    path = FOLDER / "architecture.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == architecture_schema()


def test_the_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(architecture_schema())


@settings(max_examples=40, deadline=None)
@given(architectures())
def test_every_architecture_is_valid_by_the_schema(arch):
    VALIDATOR.validate(json.loads(arch.to_json()))


def test_every_published_network_is_valid_by_the_schema():
    paths = sorted((FOLDER / "published").glob("*.json"))
    assert len(paths) > 50
    for path in paths:
        VALIDATOR.validate(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema",), "mnas.architecture/2"),
        (("name",), ""),
        (("padding",), "full"),
        (("dropout",), 1.0),
        (("norm", "eps"), 0),
        (("input", "channels"), 0),
        (("num_classes",), "ten"),
        (("extra",), 1),
        (("stem", "kernel"), 4),
        (("blocks", 0, "op"), "convolution"),
        (("blocks", 0, "kernel"), 2),
        (("blocks", 4, "start_kernel"), 7),
        (("blocks", 4, "se"), None),
        (("head", 1, "bias"), "no"),
    ],
)
def test_the_schema_refuses_what_the_door_refuses(place, value):
    document = copy.deepcopy(DOCUMENT)
    holder = document
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(InvalidArchitectureError, match=str(place[-1])):
        Architecture.from_json(json.dumps(document))
