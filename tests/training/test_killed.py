"""A whole training killed by the system, as often as asked, ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from mnas.training import FullRecipe, train_network

RECIPE = FullRecipe(epochs=3, batch_size=8)
SCRIPT = """
import sys
from pathlib import Path
from mnas.arch import Architecture
from mnas.training import DataSpec, FullRecipe, load_data, train_network

if __name__ == "__main__":
    arch = Architecture.from_json(Path(sys.argv[1]).read_text())
    data = load_data(DataSpec(source="digits", val=300, test=1200), 16)
    recipe = FullRecipe(epochs=3, batch_size=8)
    print("begins", flush=True)
    train_network(arch, data=data, recipe=recipe, seed=0, directory=Path(sys.argv[2]),
                  processes=int(sys.argv[3]))
"""


@pytest.mark.parametrize(
    ("kills", "processes"),
    [
        (1, 1),
        pytest.param(20, 1, marks=pytest.mark.slow),
        pytest.param(10, 2, marks=pytest.mark.slow),
    ],
)
def test_training_that_is_killed_again_and_again_ends_in_the_same_bytes(
    kills, processes, tiny, digits, tmp_path
):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    start = time.monotonic()
    train_network(
        tiny, data=digits, recipe=RECIPE, seed=0, directory=undisturbed, processes=processes
    )
    whole_s = time.monotonic() - start
    (tmp_path / "tiny.json").write_text(tiny.to_json())
    (tmp_path / "run.py").write_text(SCRIPT)
    command = [sys.executable, "run.py", "tiny.json", str(killed), str(processes)]
    chosen = random.Random(0)
    for _ in range(kills):
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
        ) as training:
            training.stdout.readline()
            time.sleep(chosen.uniform(0, whole_s / 2))
            os.kill(training.pid, signal.SIGKILL)
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for name in ("weights.safetensors", "training.json"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()
