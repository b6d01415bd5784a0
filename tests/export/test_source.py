"""The written `model.py`: the same network, in plain torch, as a person would write it."""

import ast
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from strategies import architectures

from mnas.arch import Architecture
from mnas.export import DataCard, model_source, read_card
from mnas.nets import build

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "architectures").glob("*.json"))
Weights = dict[str, torch.Tensor]


def loaded(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "model"}
    exec(compile(source, "model.py", "exec"), names)
    return names


def assert_same_network(arch: Architecture, weights: Weights, shape: tuple[int, ...]) -> None:
    written, ours = loaded(model_source(arch))["build"](), build(arch)
    assert list(written.state_dict()) == list(ours.state_dict())
    for module in (written, ours):
        module.load_state_dict(weights)
        module.eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(written(x), ours(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("size", [(32, 32), (27, 41)])
def test_written_operator_computes_what_the_module_computes_at_any_size(
    operator, padding, size, tiny, weights_of
):
    arch = tiny(blocks=("conv", operator), padding=padding)

    assert_same_network(arch, weights_of(arch), (2, 3, *size))


def test_written_head_computes_what_the_module_computes(head, tiny, weights_of):
    arch = tiny(head=head)

    assert_same_network(arch, weights_of(arch), (2, 3, 32, 32))


@settings(max_examples=15, deadline=None)
@given(arch=architectures(max_blocks=4, max_resolution=24))
def test_any_network_is_written_as_itself(arch):
    state = build(arch).state_dict()
    side = arch.input.resolution

    assert_same_network(arch, state, (2, arch.input.channels, side, side))


def assert_tidy(source: str, tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(source)
    for command in (
        ["format", "--isolated", "--diff"],
        ["check", "--isolated", "--select", "E,W,F,I,B,UP,C4,SIM,N"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_published_network_is_written_as_itself_and_tidily(path, tmp_path):
    document = json.loads(path.read_text())
    document["input"]["resolution"] = 40
    document["num_classes"] = 10
    arch = Architecture.from_json(json.dumps(document))

    assert_same_network(arch, build(arch).state_dict(), (1, 3, 40, 40))
    assert_tidy(model_source(arch), tmp_path)


def test_there_are_published_networks_to_write():
    assert len(GOLDEN) == 10


def test_long_lists_of_class_names_and_odd_operators_are_tidy(tiny, tmp_path):
    arch = tiny(blocks=("conv", "inverted_residual"), head="linear", num_classes=40)
    card = DataCard(class_names=tuple(f"class number {index}" for index in range(40)))

    assert_tidy(model_source(arch, card), tmp_path)


def test_file_imports_torch_alone(network):
    tree = ast.parse(model_source(network))

    modules = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert modules == {"collections", "torch", "torch.nn"}


def test_docstring_tells_name_id_normalisation_and_classes(network, card):
    names = loaded(model_source(network, read_card(card, network)))

    text = " ".join(names["__doc__"].split())
    assert text.startswith("tiny: an image classifier")
    assert network.id in text
    assert "(x / 255 - mean) / std" in text
    assert "mean [0.5, 0.4, 0.3] and std [0.2, 0.25, 0.3]" in text
    assert "0 shirt, 1 the 'bag', 2 coat" in text


def test_constants_hold_normalisation_and_class_names_exactly(network, card):
    names = loaded(model_source(network, read_card(card, network)))

    assert names["MEAN"] == (0.5, 0.4, 0.3)
    assert names["STD"] == (0.2, 0.25, 0.3)
    assert names["CLASS_NAMES"] == tuple(card["class_names"])


@pytest.mark.parametrize(
    "name",
    ['"""\nraise SystemExit\n"""', "back\\slash\\", 'ends with "', "\u202ereversed", '\\"""'],
)
def test_no_name_can_put_code_into_the_file(name, network):
    source = model_source(dataclasses.replace(network, name=name))

    classes = [node for node in ast.parse(source).body if not isinstance(node, ast.ImportFrom)]
    assert isinstance(classes[0], ast.Expr)
    assert all(isinstance(node, ast.ClassDef | ast.FunctionDef) for node in classes[1:])
    assert "\u202e" not in source


def test_one_operator_put_together_in_two_ways_has_two_named_classes(tiny):
    plain = {"op": "inverted_residual", "kernel": 3, "stride": 1, "expanded_channels": 16,
             "out_channels": 8, "activation": "relu", "expand": True, "se": None,
             "residual": True}  # fmt: skip
    squeezed = plain | {"se": {"channels": 4, "activation": "relu", "gate": "sigmoid"}}

    source = model_source(tiny(blocks=(plain, squeezed, plain)))

    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert names == ["SqueezeExcite", "InvertedResidual", "InvertedResidualWithSE", "Network"]
