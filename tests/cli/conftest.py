"""Running a command in this process, and the small files commands are given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mnas.arch import Architecture, plan
from mnas.cli import main
from mnas.latency import LatencyTable, TableRow, Target
from mnas.space import load_published, scaled

SPACE = """\
schema: mnas.space/1
name: tiny
input: {channels: 1, resolution: [16, 24]}
num_classes: 10
stem: {kernel: 3, stride: 2, out_channels: 8, activation: relu}
stages:
  - {op: inverted_residual, kernel: [3, 5], expansion: 2, out_channels: 16, stride: 2, depth: 1,
     activation: relu}
head:
  - {op: pool}
"""
EXPERIMENT = """\
schema: mnas.experiment/1
name: tiny
space: space.yaml
data: {source: digits}
proxy: {epochs: [1]}
targets: [{name: cpu, table: auto, budget_ms: 1.0}]
objectives: [accuracy]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def mnas(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*argv: object) -> Ended:
        code = main([str(each) for each in argv])
        said = capsys.readouterr()
        return Ended(code=code, out=said.out, err=said.err)

    return run


@pytest.fixture
def small_network() -> Architecture:
    network = load_published("mobilenet_v2")
    return scaled(network, width=0.35, resolution=32, num_classes=10, channels=1)


@pytest.fixture
def network_file(tmp_path: Path, small_network: Architecture) -> Path:
    path = tmp_path / "network.json"
    path.write_text(small_network.to_json())
    return path


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def experiment_file(tmp_path: Path, space_file: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture
def table_file(tmp_path: Path, small_network: Architecture) -> Path:
    """A table in which every block of the small network takes 0.1 ms."""
    blocks = {block.key for block in plan(small_network).blocks}
    rows = tuple(
        TableRow(block=key, ms=0.1, wall_ms=0.1, spread=0.01, runs=20, status="measured")
        for key in sorted(blocks)
    )
    path = tmp_path / "table.csv"
    LatencyTable(target=Target(), device="test", runtime_version="0", rows=rows).save(path)
    return path
