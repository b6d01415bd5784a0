import subprocess
import sys

import pytest

COMMANDS = [
    (),
    ("space",),
    ("space", "show"),
    ("space", "sample"),
    ("space", "check"),
    ("count",),
    ("latency",),
    ("latency", "plan"),
    ("latency", "measure"),
    ("latency", "verify"),
    ("latency", "predict"),
    ("latency", "show"),
    ("search",),
    ("proxy-check",),
    ("status",),
    ("report",),
    ("rescore",),
    ("train",),
    ("export",),
    ("doctor",),
]
_EVERY_HELP = f"""
import sys
from mnas.cli import main
codes = [main([*command, "--help"]) for command in {COMMANDS!r}]
heavy = {{"torch", "pandas", "ray", "optuna", "pydantic", "numpy", "sklearn", "onnxruntime"}}
print("CODES", set(codes), "LOADED", sorted(heavy & set(sys.modules)))
"""


def test_no_help_loads_a_heavy_library():
    found = subprocess.run(
        [sys.executable, "-c", _EVERY_HELP], capture_output=True, text=True, check=True
    )

    assert found.stdout.splitlines()[-1] == "CODES {0} LOADED []"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_in_an_example_of_that_command(mnas, command):
    ended = mnas(*command, "--help")

    example = " ".join(ended.out.split("Example:")[1].split())
    assert example.startswith(" ".join(("mnas", *command)))


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in {(), ("space",)}])
def test_every_command_can_answer_in_json(mnas, command):
    if command == ("latency",):
        command = ("latency", "show")

    assert "--json" in mnas(*command, "--help").out


def test_without_arguments_the_help_is_shown(mnas):
    assert mnas().out == mnas("--help").out


def test_the_version_is_told(mnas):
    from mnas import __version__

    assert mnas("--version").out == f"mnas {__version__}\n"
