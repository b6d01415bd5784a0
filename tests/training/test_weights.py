import dataclasses

import pytest
import torch

from mnas.nets import build
from mnas.training import (
    WeightsError,
    accuracy_of,
    confirm_score,
    load_weights,
    paired_gain,
    save_weights,
)


def test_saved_weights_are_loaded_to_the_bit(tiny, tmp_path):
    first, second = build(tiny), build(tiny)
    save_weights(first.to(memory_format=torch.channels_last), tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")
    other = second.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in first.state_dict().items())


def test_weights_of_another_network_are_refused_and_change_nothing(tiny, tmp_path):
    wider = dataclasses.replace(tiny, num_classes=12)
    save_weights(build(wider), tmp_path / "w.safetensors")
    module = build(tiny)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    expected = r"w.safetensors does not hold .* classifier.linear.weight \(\[12, 32\], .*\[10, 32\]"
    with pytest.raises(WeightsError, match=expected):
        load_weights(module, tmp_path / "w.safetensors")
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_lacking_and_strange_names_are_told(tiny):
    state = build(tiny).state_dict()
    state["elsewhere.weight"] = state.pop("stem.conv.weight")
    expected = "lacks stem.conv.weight; has what the network lacks: elsewhere.weight"
    with pytest.raises(WeightsError, match=expected.replace(".", r"\.")):
        load_weights(build(tiny), state)


def test_many_lacking_names_are_told_in_short(tiny):
    with pytest.raises(WeightsError, match=r"lacks stem.conv.weight, .* and \d\d more"):
        load_weights(build(tiny), {})


def test_file_that_is_not_safetensors_is_refused(tiny, tmp_path):
    path = tmp_path / "w.pt"
    torch.save(build(tiny).state_dict(), path)
    with pytest.raises(WeightsError, match=r"w.pt is not a safetensors file"):
        load_weights(build(tiny), path)


def test_missing_file_is_told_with_the_way_to_make_it(tiny, tmp_path):
    with pytest.raises(WeightsError, match=r"no such file; train the network first with `mnas tr"):
        load_weights(build(tiny), tmp_path / "w.safetensors")


def test_accuracy_of_saved_weights_is_the_score_they_were_saved_with(tiny, digits, proxy, tmp_path):
    path = tmp_path / "w.safetensors"
    score = confirm_score(tiny, data=digits, recipe=proxy, epochs=2, seed=0, weights_to=path)
    accuracy = accuracy_of(tiny, path, digits.resized(20).val, digits)
    assert accuracy.value == score.accuracy
    assert accuracy.total == 300
    assert accuracy.low < accuracy.value < accuracy.high


def test_two_networks_are_compared_on_the_same_images(tiny, digits, proxy, tmp_path):
    path = tmp_path / "w.safetensors"
    confirm_score(tiny, data=digits, recipe=proxy, epochs=4, seed=0, weights_to=path)
    good = accuracy_of(tiny, path, digits.test, digits)
    poor = accuracy_of(tiny, build(tiny).state_dict(), digits.test, digits)
    gain = paired_gain(good.is_correct, poor.is_correct)
    assert gain.value == pytest.approx(good.value - poor.value)
    assert gain.low > 0
