"""mnas's own tests of a block operator, passed by this one: `pytest test_sandglass.py`."""

from sandglass import Sandglass

from mnas.arch import BlockContract

plain = Sandglass(
    kernel=3, stride=1, reduced_channels=8, out_channels=48, activation="relu6", residual=True
)
reduced = Sandglass(
    kernel=5, stride=2, reduced_channels=16, out_channels=96, activation="silu", residual=False
)


class TestSandglass(BlockContract):
    examples = ((plain, 48), (reduced, 48))
