"""Small networks and data, so that a training takes a tenth of a second."""

import pytest

from mnas.arch import (
    Architecture,
    BatchNorm,
    DepthwiseSeparable,
    HeadConv,
    HeadPool,
    Input,
    InvertedResidual,
    Stem,
)
from mnas.training import Dataset, DataSpec, FullRecipe, ProxyRecipe, load_data


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The digits at 16 px, a part of them for training: 297 images, 300 val, 1200 test."""
    return load_data(DataSpec(source="digits", val=300, test=1200), 16)


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """A network with dropout, a residual, depthwise convolutions and a few thousand weights."""
    return Architecture(
        name="tiny",
        input=Input(channels=1, resolution=16),
        num_classes=10,
        padding="symmetric",
        norm=BatchNorm(eps=1e-5, momentum=0.1),
        dropout=0.1,
        stem=Stem(kernel=3, stride=2, out_channels=8, activation="relu6"),
        blocks=(
            DepthwiseSeparable(
                kernel=3,
                stride=1,
                out_channels=8,
                activation="relu6",
                pointwise_activation=None,
                se=None,
                residual=True,
            ),
            InvertedResidual(
                kernel=3,
                stride=2,
                expanded_channels=24,
                out_channels=16,
                activation="hard_swish",
                expand=True,
                se=None,
                residual=False,
            ),
        ),
        head=(HeadConv(out_channels=32, norm=True, bias=False, activation="relu6"), HeadPool()),
    )


@pytest.fixture
def proxy() -> ProxyRecipe:
    return ProxyRecipe(epochs=(1, 2, 4), batch_size=32, learning_rate=0.2)


@pytest.fixture
def full() -> FullRecipe:
    return FullRecipe(epochs=3, batch_size=32, warmup_epochs=1.0)
