import numpy as np
import pytest
import torch

from mnas.training.batches import augmented, images_of, stream


def pixels(count=8, side=10, channels=1):
    generator = torch.Generator().manual_seed(0)
    shape = (count, side, side, channels)
    return torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)


def test_same_seed_augments_in_the_same_way_and_another_differently():
    first, again, other = (augmented(pixels(), shift=0.2, flip=True, seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_moved_image_is_the_image_with_black_moving_in():
    original = pixels(64)
    moved = augmented(original, shift=0.2, flip=False, seed=0)
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


def test_images_are_not_mirrored_unless_asked():
    original = pixels(64)
    assert augmented(original, shift=0.0, flip=False, seed=0) is original


def test_about_half_of_the_images_are_mirrored_when_asked():
    original = pixels(64)
    flipped = augmented(original, shift=0.0, flip=True, seed=0)
    is_same = [torch.equal(a, b) for a, b in zip(original, flipped, strict=True)]
    is_mirrored = [torch.equal(a.flip(1), b) for a, b in zip(original, flipped, strict=True)]
    assert all(a != b for a, b in zip(is_same, is_mirrored, strict=True))
    assert 16 < sum(is_mirrored) < 48


def test_batches_are_normalised_and_channels_last(digits):
    images = images_of(digits.train, digits)
    batch = torch.cat([x for x, _ in images.in_order(100)])
    assert batch.shape == (297, 1, 16, 16)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    expected = (digits.train.images / 255 - digits.mean[0]) / digits.std[0]
    assert batch.numpy() == pytest.approx(expected, abs=1e-5)


def test_batches_in_order_stop_at_the_limit(digits):
    images = images_of(digits.train, digits)
    sizes = [len(labels) for _, labels in images.in_order(100, limit=250)]
    assert sizes == [100, 100, 50]


def test_images_that_cannot_be_written_to_are_taken(digits):
    held = digits.val.images.copy()
    held.setflags(write=False)  # as Ray hands them to a worker
    split = type(digits.val)(images=held, labels=digits.val.labels, native=held)
    assert torch.equal(images_of(split, digits).pixels, images_of(digits.val, digits).pixels)


def test_each_purpose_has_a_seed_of_its_own():
    seeds = [stream(s, what, e) for s in (0, 1) for what in ("order", "dropout") for e in (0, 1)]
    assert len(set(seeds)) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert np.all([stream(7, "order", 3) == stream(7, "order", 3)])
