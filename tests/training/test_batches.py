import numpy as np
import pytest
import torch

from mnas.training.batches import images_of, stream


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
