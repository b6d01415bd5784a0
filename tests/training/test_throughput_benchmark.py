"""The pieces of benchmarks/training_throughput.py run; how fast they are is nobody's test."""

import importlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mnas.arch import count
from mnas.space import load_space
from mnas.training import DataSpec, ProxyRecipe, load_data
from mnas.training.loop import threads_set_to

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("training_throughput")


@pytest.fixture(autouse=True)
def _one_thread():
    with threads_set_to(1):  # threads that wait for a busy core take minutes
        yield


@pytest.fixture
def networks():
    space, rng = load_space("small_digits"), random.Random(0)
    drawn = [space.sample(rng) for _ in range(100)]
    return [min(drawn, key=lambda arch: count(arch).macs)]


def test_both_ways_train_the_same_networks_and_tell_speeds_and_accuracies(benchmark, networks):
    data = benchmark.reduced(load_data(DataSpec(source="digits", val=60), 24), 100)
    recipe = ProxyRecipe(epochs=(1,), recalibration_images=100)

    with ThreadPoolExecutor(1) as pool:
        found = benchmark.candidates(pool, networks, data, recipe, repeats=2, workers=0)

    assert len(data.train) == 100
    assert [len(each) for each in found["candidates_per_hour"].values()] == [2, 2]
    ratio = found["ratio"]
    assert 0 < ratio["low"] <= ratio["mean"] <= ratio["high"]
    assert all(0 <= accuracy <= 1 for accuracy in found["accuracy"].values())
    assert any("ratio of speeds" in line for line in benchmark.lines({"candidates": found}))


def test_the_loop_of_the_tutorial_learns(benchmark, networks):
    data = benchmark.reduced(load_data(DataSpec(source="digits", val=60), 24), 300)
    recipe = ProxyRecipe(epochs=(4,), batch_size=16, learning_rate=0.1, shift=0.0)

    assert benchmark.tutorial_accuracy(networks[0], data, recipe, seed=0, workers=0) > 0.5


def test_settings_are_rates_beside_the_contiguous_ones(benchmark, networks):
    chosen = ["contiguous", "channels_last, bf16 autocast"]

    with ThreadPoolExecutor(1) as pool:
        rows = benchmark.settings([pool], networks, rounds=2, seconds=0.01, chosen=chosen)

    assert [row["setting"] for row in rows] == chosen
    assert rows[0]["ratio"]["mean"] == 1
    assert all(row["images_per_second"] > 0 for row in rows)
