"""The GPU's runtime refuses plainly without a GPU, and reads the GPU's own clock with one."""

import random

import pytest
import torch

from mnas.latency import MeasuringError, Target, measure_table, plan_measurement, runtime_for
from mnas.latency.timing import Settings

TARGET = Target(runtime="torch-cuda")


class FakeEvent:
    """Each network takes two milliseconds between its two events."""

    recorded = 0

    def __init__(self, *, enable_timing):
        assert enable_timing
        self.waited = False

    def record(self):
        FakeEvent.recorded += 1
        self.at_ms = 2.0 * FakeEvent.recorded

    def synchronize(self):
        self.waited = True

    def elapsed_time(self, end):
        assert end.waited
        return end.at_ms - self.at_ms


@pytest.fixture
def gpu(monkeypatch):
    """A GPU at PyTorch's edge: modules stay where they are, events are counted."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Fake GPU")
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *where, **options: self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *where, **options: self)


def test_measuring_without_a_gpu_is_refused_before_anything_is_written(tiny_space, tmp_path):
    with pytest.raises(MeasuringError, match=r"torch-cuda needs an NVIDIA GPU, .* finds none here"):
        measure_table(tiny_space, TARGET, tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_measuring_for_a_gpu_can_be_planned_anywhere(tiny_space):
    assert plan_measurement(tiny_space, TARGET).blocks == len(tiny_space.reachable_blocks())


def test_the_time_is_that_between_the_events(tiny_space, gpu, tmp_path):
    few = Settings(warm_ups=1, runs=2, passes=2, most_passes=2, group_ms=0.001)

    table = measure_table(tiny_space, TARGET, tmp_path / "t.csv", settings=few)

    assert table.empty_ms == pytest.approx(2.0)
    assert table.runtime_version.endswith("Fake GPU")
    arch = tiny_space.sample(random.Random(0))
    assert table.predict(arch).predicted_share == 0


def test_tf32_is_off_while_a_gpu_is_held(gpu):
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        with runtime_for(TARGET).hold(TARGET):
            held = torch.backends.cudnn.allow_tf32
        assert (held, torch.backends.cudnn.allow_tf32) == (False, True)
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_a_gpu_has_no_cold_regime(gpu, tiny_space, tmp_path):
    target = Target(runtime="torch-cuda", regime="cold")
    with pytest.raises(MeasuringError, match="torch-cuda has no regime cold"):
        measure_table(tiny_space, target, tmp_path / "t.csv")
