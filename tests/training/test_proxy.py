import dataclasses
import itertools
import math

import pytest
import safetensors.torch
import torch

from mnas.training import MisfitError, ProxyRecipe, RecipeError, confirm_score, evaluate
from mnas.training.batches import images_of
from mnas.training.judging import judged_copy
from mnas.training.loop import Training, threads_set_to


def trained(arch, data, recipe, epochs, seed=0):
    with threads_set_to(1):
        training = Training(arch, images_of(data.train, data), recipe.method, seed)
        for _ in range(epochs):
            training.run_epoch()
    return training


def assert_same_state(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_same_arguments_give_the_same_training_to_the_bit(tiny, digits, proxy):
    states = [trained(tiny, digits, proxy, 2).state() for _ in range(2)]
    assert_same_state(*states)
    other = trained(tiny, digits, proxy, 2, seed=1).state()
    assert any(not torch.equal(states[0][name], other[name]) for name in other)


def test_same_arguments_give_the_same_score_whatever_the_global_generator_is(tiny, digits, proxy):
    torch.manual_seed(1)
    first = evaluate(tiny, data=digits, recipe=proxy, epochs=2, seed=5)
    torch.manual_seed(2)
    drawn = torch.random.get_rng_state()
    again = evaluate(tiny, data=digits, recipe=proxy, epochs=2, seed=5)
    assert first == again
    assert first.state == "complete"
    assert torch.equal(torch.random.get_rng_state(), drawn)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_continued_from_its_state_is_the_undisturbed_one(tiny, digits, proxy, optimizer):
    recipe = dataclasses.replace(proxy, optimizer=optimizer)
    straight = trained(tiny, digits, recipe, 3)
    broken_off = trained(tiny, digits, recipe, 1).state()
    with threads_set_to(1):
        continued = Training(tiny, images_of(digits.train, digits), recipe.method, 0)
        continued.continue_from(broken_off, 1)
        for _ in range(2):
            continued.run_epoch()
    assert_same_state(straight.state(), continued.state())


def test_rung_from_a_checkpoint_is_the_rung_from_the_start(tiny, digits, proxy, tmp_path):
    climbing, direct = tmp_path / "climbing", tmp_path / "direct"
    for epochs in (1, 2, 4):
        climbed = evaluate(
            tiny, data=digits, recipe=proxy, epochs=epochs, seed=0, checkpoints=climbing
        )
        straight = evaluate(
            tiny, data=digits, recipe=proxy, epochs=epochs, seed=0, checkpoints=direct / str(epochs)
        )
        assert (
            climbed == straight == evaluate(tiny, data=digits, recipe=proxy, epochs=epochs, seed=0)
        )
    last = max(climbing.iterdir(), key=lambda path: path.name)
    assert last.name.endswith("-e4.safetensors")
    assert last.read_bytes() == (direct / "4" / last.name).read_bytes()


def test_rung_below_is_really_continued(tiny, digits, proxy, tmp_path, monkeypatch):
    evaluate(tiny, data=digits, recipe=proxy, epochs=2, seed=0, checkpoints=tmp_path)
    epochs = []
    run_epoch = Training.run_epoch

    def counted(self, on_step):
        epochs.append(self.epochs_done)
        return run_epoch(self, on_step)

    monkeypatch.setattr(Training, "run_epoch", counted)
    evaluate(tiny, data=digits, recipe=proxy, epochs=4, seed=0, checkpoints=tmp_path)
    assert epochs == [2, 3]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-3] + bytes(b ^ 1 for b in content[-3:]),
        lambda content: b"\x80\x04\x95 a pickle",
    ],
)
def test_damaged_checkpoint_is_trained_again(tiny, digits, proxy, tmp_path, damage, caplog):
    first = evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=0, checkpoints=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again = evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=0, checkpoints=tmp_path)
    assert again == first
    assert path.read_bytes() == whole
    assert "is damaged and will not be used" in caplog.text


def test_checkpoint_of_another_training_is_not_taken(tiny, digits, proxy, tmp_path):
    evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=0, checkpoints=tmp_path)
    (path,) = tmp_path.iterdir()
    other = tmp_path / path.name.replace(f"{tiny.id}-0-", f"{tiny.id}-1-")
    path.rename(other)
    first = evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=1, checkpoints=tmp_path)
    assert first == evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=1)


def test_checkpoint_that_cannot_be_written_costs_no_score(tiny, digits, proxy, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    score = evaluate(
        tiny, data=digits, recipe=proxy, epochs=1, seed=0, checkpoints=tmp_path / "file"
    )
    assert score.state == "complete"
    assert "a checkpoint is not kept" in caplog.text


def test_judging_leaves_the_training_as_it_is(tiny, digits, proxy):
    training = trained(tiny, digits, proxy, 1)
    before = {name: value.clone() for name, value in training.state().items()}
    judged = judged_copy(training, images_of(digits.train, digits), proxy.method)
    assert_same_state(before, training.state())
    own = training.module.state_dict()
    assert not torch.equal(
        judged.state_dict()["stem.norm.running_mean"], own["stem.norm.running_mean"]
    )
    assert judged.stem.norm.momentum == tiny.norm.momentum
    assert not judged.training


def test_recalibrated_statistics_are_those_of_the_training_images(tiny, digits, proxy):
    training = trained(tiny, digits, dataclasses.replace(proxy, average_decay=0.0), 1)
    images = images_of(digits.train, digits)
    method = dataclasses.replace(proxy.method, batch_size=297)
    judged = judged_copy(training, images, method)
    ((pixels, _),) = images.in_order(297)
    seen = judged.stem.conv(pixels)
    assert torch.allclose(judged.stem.norm.running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-5)


def test_average_with_no_decay_is_the_weights_themselves(tiny, digits, proxy):
    training = trained(tiny, digits, dataclasses.replace(proxy, average_decay=0.0), 1)
    weights = dict(training.module.named_parameters())
    assert all(torch.equal(value, weights[name]) for name, value in training.average().items())


@pytest.mark.parametrize(("clip_norm", "is_bounded"), [(0.01, True), (None, False)])
def test_a_step_goes_no_further_than_the_clipped_gradient(
    tiny, digits, proxy, clip_norm, is_bounded
):
    recipe = dataclasses.replace(
        proxy, learning_rate=1.0, momentum=0.0, weight_decay=0.0, clip_norm=clip_norm
    )
    training = Training(tiny, images_of(digits.train, digits), recipe.method, 0)
    before = [parameter.detach().clone() for parameter in training.module.parameters()]

    training.run_epoch()

    steps = math.ceil(len(digits.train) / recipe.batch_size)
    moved = torch.cat(
        [
            (after.detach() - start).flatten()
            for after, start in zip(training.module.parameters(), before, strict=True)
        ]
    )
    assert (float(moved.norm()) <= steps * 0.01) is is_bounded


def test_learning_rate_rises_then_falls_to_zero_over_the_last_rung(tiny, digits):
    recipe = ProxyRecipe(epochs=(2, 10), batch_size=99, learning_rate=0.5, warmup_epochs=1.0)
    training = Training(tiny, images_of(digits.train, digits), recipe.method, 0)
    rates = [training.learning_rate(step) for step in range(30)]  # 3 steps an epoch
    assert rates[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    assert all(a > b for a, b in itertools.pairwise(rates[3:]))
    assert 0 < rates[-1] < 0.005


def test_part_of_the_samples_is_used_when_asked(tiny, digits, proxy):
    fewer = dataclasses.replace(proxy, samples=100)
    few, again = (evaluate(tiny, data=digits, recipe=fewer, epochs=4, seed=0) for _ in range(2))
    all_of_them = evaluate(tiny, data=digits, recipe=proxy, epochs=4, seed=0)
    assert few == again
    assert few.accuracy < all_of_them.accuracy


def test_more_samples_than_there_are_is_refused(tiny, digits, proxy):
    recipe = dataclasses.replace(proxy, samples=298)
    with pytest.raises(MisfitError, match=r"proxy.samples: asked for 298 .* 'digits' has 297"):
        evaluate(tiny, data=digits, recipe=recipe, epochs=1, seed=0)


def test_images_are_taken_at_the_networks_resolution(tiny, digits, proxy):
    elsewhere = evaluate(tiny, data=digits.resized(24), recipe=proxy, epochs=1, seed=0)
    assert elsewhere == evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=0)


def test_test_images_change_nothing(tiny, digits, proxy):
    without = evaluate(tiny, data=digits.without_test(), recipe=proxy, epochs=1, seed=0)
    assert without == evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=0)


def test_loss_that_is_no_number_is_a_failed_score(tiny, digits, proxy):
    recipe = dataclasses.replace(proxy, optimizer="sgd", learning_rate=1e30)
    score = evaluate(tiny, data=digits, recipe=recipe, epochs=1, seed=0)
    assert (score.state, score.accuracy) == ("failed", None)
    assert score.reason.startswith("nan: the loss became ")
    assert "DivergedError" in score.traceback


def test_too_long_a_training_is_a_failed_score(tiny, digits, proxy):
    recipe = dataclasses.replace(proxy, timeout_s=1e-9)
    score = evaluate(tiny, data=digits, recipe=recipe, epochs=1, seed=0)
    assert (score.state, score.reason) == ("failed", "timeout: not done after 1e-09 s")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("shapes differ\nbadly"), "exception: RuntimeError: shapes differ badly"),
        (MemoryError(), "out_of_memory: no memory was left"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 1 byte"),
            "out_of_memory: DefaultCPUAllocator: can't allocate memory: you tried 1 byte",
        ),
    ],
)
def test_whatever_goes_wrong_is_the_reason_of_the_score(
    tiny, digits, proxy, monkeypatch, error, reason
):
    def fail(self, on_step):
        raise error

    monkeypatch.setattr(Training, "run_epoch", fail)
    score = evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=3)
    assert (score.state, score.reason, score.seed) == ("failed", reason, 3)
    assert "Traceback" in score.traceback


def test_epochs_that_are_no_rung_are_refused(tiny, digits, proxy):
    with pytest.raises(RecipeError, match=r"one of the rungs \[1, 2, 4\]; got 3"):
        evaluate(tiny, data=digits, recipe=proxy, epochs=3, seed=0)


def test_network_for_other_data_is_refused(tiny, digits, proxy):
    arch = dataclasses.replace(tiny, num_classes=7)
    with pytest.raises(MisfitError, match="num_classes: the network has 7, the data 10"):
        evaluate(arch, data=digits, recipe=proxy, epochs=1, seed=0)


def test_threads_are_set_and_restored(tiny, digits, proxy, monkeypatch):
    seen = []
    run_epoch = Training.run_epoch

    def seeing(self, on_step):
        seen.append(torch.get_num_threads())
        return run_epoch(self, on_step)

    monkeypatch.setattr(Training, "run_epoch", seeing)
    before = torch.get_num_threads()
    evaluate(tiny, data=digits, recipe=proxy, epochs=1, seed=0, threads=before + 1)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_confirming_anneals_to_the_end_and_keeps_the_judged_weights(tiny, digits, proxy, tmp_path):
    path = tmp_path / "confirmed" / "a.safetensors"
    confirmed = confirm_score(tiny, data=digits, recipe=proxy, epochs=3, seed=9, weights_to=path)
    alone = dataclasses.replace(proxy, epochs=(3,))
    assert confirmed == evaluate(tiny, data=digits, recipe=alone, epochs=3, seed=9)
    kept = safetensors.torch.load_file(path)
    training = trained(tiny, digits, alone, 3, seed=9)
    with threads_set_to(1):
        judged = judged_copy(training, images_of(digits.train, digits), alone.method)
    assert_same_state(kept, judged.state_dict())
