"""The JSON schema of experiment files agrees with the loader."""

import json

import jsonschema
import pytest

from mnas.arch import shipped_folder
from mnas.search.experiment import InvalidExperimentError, load_experiment
from mnas.search.schema import experiment_schema
from mnas.space import read_yaml

FOLDER = shipped_folder("experiments")
VALIDATOR = jsonschema.Draft202012Validator(experiment_schema())
SHIPPED = sorted(FOLDER.glob("*.yaml"))


def test_the_shipped_schema_is_in_step_with_the_loader():
    text = (FOLDER / "experiment.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == experiment_schema()


def test_the_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(experiment_schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid_and_names_its_schema(path):
    VALIDATOR.validate(read_yaml(path).value)
    VALIDATOR.validate(load_experiment(path).resolved())
    header = "# yaml-language-server: $schema=experiment.schema.json\n"
    assert path.read_text(encoding="utf-8").startswith(header)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "mnas.experiment/2"),
        ("searchh", {}),
        ("search", {"trials": 0}),
        ("targets", []),
        ("objectives", ["speed"]),
        ("mirror", 3),
        ("name", "../x"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(key, value, tmp_path):
    changed = {**read_yaml(SHIPPED[0]).value, key: value}
    assert not VALIDATOR.is_valid(changed)
    file = tmp_path / "changed.yaml"
    file.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(InvalidExperimentError, match=key):
        load_experiment(file)
