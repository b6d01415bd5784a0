"""The room's door: every public name is there, and what needs no torch loads none."""

import subprocess
import sys

import pytest

import mnas.export


@pytest.mark.parametrize("name", mnas.export.__all__)
def test_public_name_is_there(name):
    assert getattr(mnas.export, name) is not None


def test_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'exporter'"):
        _ = mnas.export.exporter


def test_a_manifest_is_read_without_torch():
    script = (
        "import sys; from mnas.export import Manifest, InvalidManifestError\n"
        "print(sorted({'torch', 'pandas', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
