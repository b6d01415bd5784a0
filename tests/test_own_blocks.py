"""The example of a package that adds a block operator, from its space file to an exported one."""

import json
import os
import pickle
import random
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from pages import DOCS, fenced_in
from plug_ins import on_the_path, write_package

import mnas
from mnas.arch import Architecture, BlockContract, block_operators, plan
from mnas.export import model_source
from mnas.latency import reachable_blocks
from mnas.latency.onnx_graph import graph_of
from mnas.nets import thop_counts
from mnas.space import scaled

EXAMPLE = DOCS / "own_blocks"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("installed")
    write_package(folder, {"sandglass": "sandglass:Sandglass"})
    with on_the_path(folder, EXAMPLE):
        yield folder


@pytest.fixture(scope="module")
def space(installed: Path) -> mnas.SearchSpace:
    return mnas.load_space(EXAMPLE / "small_mobilenext.yaml")


@pytest.fixture(scope="module")
def networks(space: mnas.SearchSpace) -> list[Architecture]:
    rng = random.Random(0)
    return [space.sample(rng) for _ in range(8)]


def contract_of_the_example() -> BlockContract:
    names: dict[str, Any] = {}
    exec((EXAMPLE / "test_sandglass.py").read_text(), names)
    contract: BlockContract = names["TestSandglass"]()
    return contract


@pytest.mark.parametrize("test", [name for name in dir(BlockContract) if name.startswith("test_")])
def test_the_example_passes_the_tests_that_mnas_ships(test):
    getattr(contract_of_the_example(), test)()


def test_the_example_is_as_short_as_the_page_says():
    lines = (EXAMPLE / "sandglass.py").read_text().splitlines()
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("@dataclass")) :]
    assert len(body) <= 30


def test_the_page_shows_the_class_as_it_is():
    shown = [block.text for block in fenced_in(DOCS / "own_blocks.md")]
    source = "".join(shown[0].splitlines(keepends=True)[2:])  # the file has a docstring there
    assert source in (EXAMPLE / "sandglass.py").read_text()
    assert textwrap.dedent(shown[2]) in (EXAMPLE / "small_mobilenext.yaml").read_text()


def test_the_entry_point_of_the_example_is_the_one_that_is_tested():
    assert 'sandglass = "sandglass:Sandglass"' in (EXAMPLE / "pyproject.toml").read_text()
    assert list(block_operators())[-1] == "sandglass"


def test_its_space_samples_encodes_and_decodes(space, networks):
    ops = {block.op for arch in networks for block in arch.blocks}
    assert ops == {"sandglass", "inverted_residual"}
    assert space.warnings() == []
    for arch in networks:
        assert space.decode(space.encode(arch)).id == arch.id
        assert pickle.loads(pickle.dumps(arch)) == arch
    assert all(space.contains(near) for near in space.neighbours(networks[0]))


def test_its_choices_have_names_and_its_size_is_exact(space):
    choices = space.encode(space.sample(random.Random(1)))
    assert "stages.0.layers.0.reduced_channels" in choices
    per_layer = 2 * 2
    first = per_layer + per_layer**2
    second = (per_layer**2 + per_layer**3) + (2**2 + 2**3)  # an inverted residual has no waist
    assert space.size().encodings == 2 * 2 * first * second


def test_its_space_works_as_arrays(space, networks):
    compiled = space.compile()
    rows = compiled.sample(20, np.random.default_rng(0))
    assert list(compiled.params(rows)) == [mnas.count(compiled.decode(row)).params for row in rows]
    assert all(compiled.decode(compiled.encode(arch)).id == arch.id for arch in networks)


def test_width_multiplies_its_numbers_of_channels(space):
    choices = space.encode(space.sample(random.Random(1))) | {"stages.0.depth": 1}
    choices = {k: v for k, v in choices.items() if not k.startswith("stages.0.layers.1")}
    wide, narrow = (space.decode(choices | {"width": width}).blocks[0] for width in (1.0, 0.5))
    assert (narrow.out_channels, narrow.reduced_channels * 2) == (48, wide.reduced_channels)
    arch = space.decode(choices | {"width": 1.0})
    assert scaled(arch, width=0.5).blocks[0].out_channels == 48


def test_module_and_counts_follow_from_the_plan(networks):
    for arch in networks[:3]:
        counts, witness = mnas.count(arch), thop_counts(arch)
        assert (witness.macs, witness.params) == (counts.macs, counts.params)
        module = mnas.build(arch).eval()
        assert module(torch.zeros(2, 3, 47, 61)).shape == (2, 10)


def test_the_onnx_file_and_the_written_source_compute_the_same(networks):
    arch = next(arch for arch in networks if {b.op for b in arch.blocks} == {"sandglass"})
    module = mnas.build(arch).eval()
    side = arch.input.resolution
    x = torch.randn(2, 3, side, side)
    expected = module(x).detach()

    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    planned = plan(arch)
    model = graph_of(planned.blocks, places=planned.places, weights=weights)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"input": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)

    names: dict[str, Any] = {"__name__": "model"}
    exec(model_source(arch), names)
    written = names["build"]()
    written.load_state_dict(module.state_dict())
    torch.testing.assert_close(written.eval()(x), expected, rtol=1e-5, atol=1e-5)


def test_a_table_of_its_space_has_a_row_for_each_of_its_blocks(space, networks):
    rows = reachable_blocks(space)
    assert any(json.loads(key)["op"] == "sandglass" for key in rows)
    for arch in networks:
        assert {block.key for block in plan(arch).blocks} <= set(rows)


def test_commands_know_it_where_the_package_is_installed(installed, networks, tmp_path):
    document = tmp_path / "network.json"
    document.write_text(networks[0].to_json())
    command = [sys.executable, "-m", "mnas", "count", str(document), "--no-thop"]

    with_it = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": f"{installed}{os.pathsep}{EXAMPLE}"},
        capture_output=True,
        text=True,
        check=False,
    )
    without = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (with_it.returncode, without.returncode) == (0, 2)
    assert "sandglass" in with_it.stdout
    assert "blocks.0.op: must be one of 'conv'" in without.stderr
    assert "got 'sandglass'" in without.stderr
