import pytest
import torch

from mnas.training.augmentation import Augmentation
from mnas.training.augmenting import augmented, mixed

EVERYTHING = Augmentation(shift=0.2, crop=0.3, flip=True, colour=0.4, rand_augment=2)


def pixels(count=8, side=10, channels=1):
    generator = torch.Generator().manual_seed(0)
    shape = (count, side, side, channels)
    return torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)


def batch(count=8, channels=3, classes=4):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, channels, 12, 12, generator=generator)
    return inputs, torch.arange(count) % classes


@pytest.mark.parametrize("channels", [1, 3])
def test_same_seed_augments_in_the_same_way_and_another_differently(channels):
    original = pixels(channels=channels)
    first, again, other = (augmented(original, EVERYTHING, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first.shape, first.dtype) == (original.shape, torch.uint8)


def test_nothing_is_done_unless_asked():
    original = pixels()
    inputs, labels = batch()
    assert augmented(original, Augmentation(), 0) is original
    assert mixed(inputs, labels, 4, Augmentation(), 0) == (inputs, labels)


def test_moved_image_is_the_image_with_black_moving_in():
    original = pixels(64)
    moved = augmented(original, Augmentation(shift=0.2), seed=0)
    padded = torch.nn.functional.pad(original, (0, 0, 2, 2, 2, 2))
    places = set()
    for before, after in zip(padded, moved, strict=True):
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(before[y : y + 10, x : x + 10], after)
        ]
        assert len(found) == 1
        places.update(found)
    assert {y for y, _ in places} == {x for _, x in places} == set(range(5))


def test_about_half_of_the_images_are_mirrored_when_asked():
    original = pixels(64)
    flipped = augmented(original, Augmentation(flip=True), seed=0)
    is_same = [torch.equal(a, b) for a, b in zip(original, flipped, strict=True)]
    is_mirrored = [torch.equal(a.flip(1), b) for a, b in zip(original, flipped, strict=True)]
    assert all(a != b for a, b in zip(is_same, is_mirrored, strict=True))
    assert 16 < sum(is_mirrored) < 48


def test_crop_enlarges_a_part_of_each_image():
    ramp = torch.arange(0, 200, 10, dtype=torch.uint8)
    original = (
        ramp[None, None, :, None].expand(64, 20, 20, 1).contiguous()
    )  # dark left, bright right
    cropped = augmented(original, Augmentation(crop=0.25), seed=0).float()
    spans = cropped[:, 0, -1, 0] - cropped[:, 0, 0, 0]
    lows = cropped[:, 0, 0, 0]
    assert spans.min() > 190 * 0.4  # half of the side, or a little less where it is not square
    assert spans.max() <= 190
    assert lows.min() >= 0
    assert len(set(lows.tolist())) > 8
    assert torch.all(cropped.diff(dim=2) >= 0)


def test_colour_changes_each_image_by_its_own_factors():
    grey = torch.full((32, 6, 6, 3), 100, dtype=torch.uint8)
    found = augmented(grey, Augmentation(colour=0.4), seed=0)
    levels = found[:, 0, 0, 0]
    assert torch.all(found == levels[:, None, None, None])  # a grey image stays grey
    assert 60 <= levels.min() < 80
    assert 120 < levels.max() <= 140


def test_colour_changes_saturation_and_not_only_brightness():
    red = torch.zeros(32, 6, 6, 3, dtype=torch.uint8)
    red[..., 0] = 200
    found = augmented(red, Augmentation(colour=0.4), seed=0).float()
    assert (found[:, 0, 0, 1] > 0).any()  # less saturated than before


def test_mixup_blends_images_and_labels_by_the_same_share():
    inputs, labels = batch()
    blended, targets = mixed(inputs, labels, 4, Augmentation(mixup=0.8), seed=5)
    own = targets[0, labels[0]].item()
    assert 0 < own < 1
    expected = own * inputs + (1 - own) * inputs.roll(1, 0)
    assert torch.allclose(blended, expected, atol=1e-6)
    assert torch.allclose(targets.sum(dim=1), torch.ones(8))
    assert torch.allclose(targets[1, labels[0]], torch.tensor(1 - own))


def test_cutmix_takes_a_rectangle_and_as_much_of_the_label():
    inputs, labels = batch()
    taken = []
    for seed in range(20):
        cut, targets = mixed(inputs, labels, 4, Augmentation(cutmix=1.0), seed=seed)
        is_foreign = (cut == inputs.roll(1, 0)).all(dim=1)
        assert torch.all(is_foreign | (cut == inputs).all(dim=1))
        assert torch.equal(is_foreign, is_foreign[:1].expand_as(is_foreign))
        share = is_foreign[0].float().mean().item()
        assert targets[0, labels[0]].item() == pytest.approx(1 - share, abs=1e-6)
        taken.append(share)
    assert max(taken) > 0.3


def test_mixup_and_cutmix_together_give_each_batch_one_of_them():
    inputs, labels = batch()
    both = Augmentation(mixup=1.0, cutmix=1.0)
    is_cut = []
    for seed in range(30):
        found, _ = mixed(inputs, labels, 4, both, seed)
        is_own, is_other = found == inputs, found == inputs.roll(1, 0)
        is_cut.append(bool((is_own | is_other).all()))
    assert 5 < sum(is_cut) < 25


def test_erasing_blanks_one_rectangle_of_about_the_asked_share_of_images():
    inputs, labels = torch.ones(200, 3, 12, 12), torch.zeros(200, dtype=torch.long)
    erased, targets = mixed(inputs, labels, 2, Augmentation(erase=0.5), seed=0)
    is_blank = (erased == 0).all(dim=1)
    touched = is_blank.flatten(1).any(dim=1)
    assert targets is labels
    assert 70 < touched.sum() < 130
    for blank in is_blank[touched]:
        rows, columns = blank.any(dim=1), blank.any(dim=0)
        assert torch.equal(blank, rows[:, None] & columns[None, :])
        assert blank.float().mean() < 0.5


def test_mixed_training_images_are_the_same_for_the_same_seed():
    inputs, labels = batch()
    everything = Augmentation(mixup=0.4, cutmix=1.0, erase=0.5)
    first, again, other = (mixed(inputs, labels, 4, everything, seed) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"shift": 1.0}, "shift must be at least 0 and below 1; got 1.0"),
        ({"colour": -0.1}, "colour must be at least 0 and below 1; got -0.1"),
        ({"crop": 0.0}, "crop must be above 0 and at most 1; got 0.0"),
        ({"erase": 1.5}, "erase must be between 0 and 1; got 1.5"),
        ({"rand_augment": 15}, "rand_augment must be between 0 and 14 operations; got 15"),
        ({"rand_augment_magnitude": 31}, "rand_augment_magnitude must be between 0 and 30; got 31"),
        ({"mixup": -1.0}, "mixup must be at least 0; got -1.0"),
    ],
)
def test_impossible_augmentation_is_told(fields, told):
    assert list(Augmentation(**fields).problems()) == [told]
