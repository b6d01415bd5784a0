"""What `mnas train` and `mnas search` read; an import is told before it is made."""

import sys

import pytest

from mnas.cli.options import spec_of
from mnas.training import DataSpec

MODULE = """
import sys
import numpy as np
print("RUNS", file=sys.stderr)
def load(path):
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16), dtype=np.uint8)
    return {"x_train": images, "y_train": np.arange(60) % 10}
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "announced_pixels.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield "announced_pixels"
    sys.modules.pop("announced_pixels", None)


@pytest.mark.parametrize(
    ("text", "source", "path"),
    [
        ("digits", "digits", None),
        ("idx:/data/a:b", "idx", "/data/a:b"),
        ("python:my_data:load", "python:my_data:load", None),
        ("python:my_data:load:/data", "python:my_data:load", "/data"),
        ("torchvision:CIFAR10:/data", "torchvision:CIFAR10", "/data"),
        ("hf:mnist", "hf:mnist", None),
        ("synthetic:64", "synthetic:64", None),
    ],
)
def test_source_and_path_are_told_apart(text, source, path):
    assert spec_of(text) == DataSpec(source=source, path=path)


def test_dry_run_says_that_it_imports_before_it_does(mnas, module, tmp_path):
    said = mnas(
        "search",
        "quickstart",
        f"data={{source: 'python:{module}:load'}}",
        "baselines=[]",
        "--dry-run",
    )
    assert said.code == 0, said.err
    assert "importing the module announced_pixels and running its load" in said.err
    assert said.err.index("importing the module") < said.err.index("RUNS")


def test_training_says_that_it_imports_before_it_does(mnas, module, network_file, monkeypatch):
    monkeypatch.setattr("mnas.training.train_network", _stop, raising=False)
    said = mnas("train", network_file, "--data", f"python:{module}:load", "-o", "out")
    assert said.err.index("importing the module announced_pixels") < said.err.index("RUNS")


def _stop(*arguments, **options):
    raise KeyboardInterrupt


def test_bad_images_end_a_search_with_exit_code_2_and_their_names(mnas, tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    said = mnas("search", "quickstart", f"data={{source: imagefolder, path: {tmp_path / 'set'}}}")
    assert said.code == 2
    assert "2 images cannot be used; mend or remove:" in said.err
    assert said.err.count("torn.jpg: ") == 2
    assert "Traceback" not in said.err
    assert not (tmp_path / "results").exists()
