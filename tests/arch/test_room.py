"""The room as others see it: its names, and that it needs no heavy library."""

import subprocess
import sys

import golden
import pytest

import mnas.arch

COUNTING = """
import sys
from mnas.arch import Architecture, count
architecture = Architecture.from_json(sys.stdin.read())
print(count(architecture).macs, architecture.id)
print(*sorted({"torch", "pandas", "ray", "optuna", "numpy"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", mnas.arch.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert hasattr(mnas.arch, name)


def test_counting_needs_no_heavy_library() -> None:
    name = "tv_mobilenet_v2"

    out = subprocess.run(
        [sys.executable, "-c", COUNTING],
        input=golden.document(name),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert out == [f"300774272 {golden.architecture(name).id}", ""]


def test_importing_the_room_does_not_load_pydantic() -> None:
    code = "import sys, mnas.arch; sys.exit('pydantic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
