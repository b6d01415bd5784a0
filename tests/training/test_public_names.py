import subprocess
import sys

import pytest

import mnas.training


def test_every_public_name_loads():
    assert all(hasattr(mnas.training, name) for name in mnas.training.__all__)
    assert sorted(mnas.training._HOMES) == sorted(mnas.training.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Scores'"):
        _ = mnas.training.Scores


def test_no_public_name_is_the_name_of_a_module():
    assert not set(mnas.training.__all__) & set(mnas.training._HOMES.values())


def test_scores_recipes_and_data_need_no_torch():
    program = (
        "import sys, mnas.training as t; t.Score, t.ProxyRecipe, t.FullRecipe, t.DataSpec; "
        "heavy = {'torch', 'numpy', 'sklearn'} & set(sys.modules); assert not heavy, heavy; "
        "t.load_data(t.DataSpec(source='synthetic'), 8); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
