import copy

import pytest
import torch
from torch import nn

from mnas.training.depthwise import pad_small_maps_first


def pair(kernel, stride):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=6, bias=False))
    changed = copy.deepcopy(plain)
    pad_small_maps_first(changed)
    return plain, changed


def gradients(module, x):
    x = x.clone().requires_grad_()
    y = module(x)
    y.square().sum().backward()
    (weight,) = module.parameters()
    return y.detach(), x.grad, weight.grad


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 9])
def test_outputs_and_gradients_are_those_of_the_plain_convolution(kernel, stride, size):
    x = torch.randn(4, 6, size, size).to(memory_format=torch.channels_last)
    for expected, found in zip(*(gradients(each, x) for each in pair(kernel, stride)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_padding_lies_before_the_convolution_only_in_training_and_on_small_maps(monkeypatch):
    _, changed = pair(5, 1)
    padded = []
    pad = nn.functional.pad
    monkeypatch.setattr(nn.functional, "pad", lambda *a: (padded.append(a[1]), pad(*a))[1])
    changed(torch.randn(2, 6, 4, 4))
    assert padded == [(2, 2, 2, 2)]
    changed(torch.randn(2, 6, 5, 5))
    changed.eval()(torch.randn(2, 6, 4, 4))
    assert len(padded) == 1


def test_a_copy_computes_with_its_own_weights():
    plain, changed = pair(5, 1)
    copied = copy.deepcopy(changed)
    with torch.no_grad():
        changed[0].weight.zero_()
    x = torch.randn(2, 6, 3, 3)
    assert copied(x).abs().sum() > 0
    torch.testing.assert_close(copied.eval()(x), plain(x), rtol=0, atol=0)
    assert list(changed.state_dict()) == list(plain.state_dict())


def test_other_convolutions_are_left_alone():
    module = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1))
    pad_small_maps_first(module)
    assert not any("forward" in vars(part) for part in module)
