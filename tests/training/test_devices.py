"""Mixed precision and GPUs: the same path as on a CPU, with stand-ins where a GPU would be."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from mnas.training import DeviceError, device_of, evaluate
from mnas.training.batches import images_of
from mnas.training.devices import CPU, Device, repeatable
from mnas.training.loop import Training

HALF = Device(place=torch.device("cpu"), autocast=torch.float16)
BRAIN = Device(place=torch.device("cpu"), autocast=torch.bfloat16)


@pytest.fixture
def gpus(monkeypatch):
    """PyTorch as it answers where there are two GPUs, with bfloat16 or without."""
    found = SimpleNamespace(has_bf16=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: found.has_bf16)
    return found


def test_a_gpu_that_is_not_there_is_told_with_what_must_be_there():
    with pytest.raises(DeviceError, match=r"finds none; `nvidia-smi` must list it"):
        device_of("cuda")


def test_a_gpu_computes_in_bfloat16_or_else_in_scaled_fp16(gpus):
    assert device_of("cuda").autocast == torch.bfloat16
    assert not device_of("cuda").scales_gradients
    gpus.has_bf16 = False
    assert device_of("cuda", 1) == Device(place=torch.device("cuda", 1), autocast=torch.float16)
    assert device_of("cuda").scales_gradients
    with pytest.raises(DeviceError, match=r"no GPU number 3 for training: .* finds 2;"):
        device_of("cuda", 2)


def test_a_gpu_is_told_to_give_the_same_bits_and_let_go_of_again(gpus):
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    with repeatable(device_of("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        assert (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32) == (True, False, False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32) == before


@pytest.mark.parametrize("device", [BRAIN, HALF], ids=lambda device: device.name)
def test_mixed_precision_trains_and_continues_to_the_bit(tiny, digits, full, device):
    images = images_of(digits.train, digits)

    def fresh():
        return Training(tiny, images, full.method, 0, device=device)

    whole = fresh()
    losses = [whole.run_epoch() for _ in range(3)]
    first = fresh()
    first.run_epoch()
    second = fresh()
    second.continue_from(first.state(), 1)
    assert [second.run_epoch(), second.run_epoch()] == losses[1:]
    state = second.state()
    assert all(torch.equal(value, state[name]) for name, value in whole.state().items())
    assert losses[2] < losses[0]
    assert {p.dtype for p in whole.module.parameters()} == {torch.float32}
    assert any(name.startswith("scaler.") for name in state) is device.scales_gradients


def test_precision_changes_what_is_computed(tiny, digits, full):
    images = images_of(digits.train, digits)
    method = dataclasses.replace(full, epochs=1).method
    losses = {
        device.name: Training(tiny, images, method, 0, device=device).run_epoch()
        for device in (CPU, BRAIN)
    }
    assert list(losses) == ["cpu", "cpu bfloat16"]
    assert losses["cpu"] != losses["cpu bfloat16"]
    assert losses["cpu"] == pytest.approx(losses["cpu bfloat16"], rel=0.02)


def test_a_score_on_a_gpu_that_is_not_there_is_refused(tiny, digits, proxy):
    with pytest.raises(DeviceError, match="no GPU number 1"):
        evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=0, device="cuda")
