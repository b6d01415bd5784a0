import pickle

import numpy as np
import pytest

from mnas.arch import UnknownNameError
from mnas.training import DataError, DataSpec, load_data


def in_bytes(split):
    return {image.tobytes() for image in split.native}


def test_digits_are_divided_into_1077_and_360_and_360():
    data = load_data(DataSpec(source="digits"), 32)
    assert (len(data.train), len(data.val), len(data.test)) == (1077, 360, 360)
    assert data.train.images.shape == (1077, 1, 32, 32)
    assert (data.num_classes, data.channels, data.resolution) == (10, 1, 32)
    assert data.class_names == tuple("0123456789")


def test_every_image_is_in_exactly_one_split():
    data = load_data(DataSpec(source="synthetic"), 32)
    parts = [in_bytes(split) for split in (data.train, data.val, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 2400


@pytest.mark.parametrize("source", ["digits", "synthetic"])
def test_each_class_has_its_share_in_each_split(source):
    data = load_data(DataSpec(source=source, val=200, test=0.15), 8)
    splits = (data.train, data.val, data.test)
    total = np.bincount(np.concatenate([split.labels for split in splits]))
    for split in splits:
        expected = total * len(split) / total.sum()
        assert np.all(np.abs(np.bincount(split.labels) - expected) < 2)


def test_counts_and_shares_are_taken_as_they_are_written():
    data = load_data(DataSpec(source="digits", val=100, test=0.5), 8)
    assert (len(data.val), len(data.test)) == (100, 899)


def test_same_seed_gives_the_same_division_and_another_seed_another():
    first, again, other = (load_data(DataSpec(source="digits", seed=s), 8) for s in (3, 3, 4))
    assert np.array_equal(first.val.images, again.val.images)
    assert first.fingerprint == again.fingerprint
    assert not np.array_equal(first.val.images, other.val.images)
    assert first.fingerprint != other.fingerprint


def test_fingerprint_differs_with_the_division_and_the_source_but_not_with_the_resolution():
    specs = [
        DataSpec(source="digits"),
        DataSpec(source="digits", val=100),
        DataSpec(source="digits", test=100),
        DataSpec(source="digits", class_names=tuple("abcdefghij")),
        DataSpec(source="synthetic"),
    ]
    assert len({load_data(spec, 8).fingerprint for spec in specs}) == len(specs)
    data = load_data(specs[0], 8)
    assert data.fingerprint == data.resized(12).fingerprint == data.without_test().fingerprint


def test_data_without_test_holds_no_test_image_even_when_pickled():
    data = load_data(DataSpec(source="synthetic"), 16)
    assert data.test is not None
    held = data.without_test()
    travelled = pickle.dumps(held)
    assert held.test is None
    assert data.val.native[0].tobytes() in travelled  # so that the next lines can fail
    assert all(image.tobytes() not in travelled for image in data.test.native)
    assert all(image.tobytes() not in travelled for image in data.test.images)


def test_resolution_is_made_from_the_sources_images_whatever_came_between():
    data = load_data(DataSpec(source="synthetic"), 8)
    detour, straight = data.resized(24), load_data(DataSpec(source="synthetic"), 24)
    for name in ("train", "val", "test"):
        assert np.array_equal(getattr(detour, name).images, getattr(straight, name).images)
    assert detour.resized(32).train.images is detour.train.native


def test_digits_are_enlarged():
    data = load_data(DataSpec(source="digits"), 32)
    assert data.train.native.shape[-1] == 8
    assert np.abs(data.train.images.mean() - data.train.native.mean()) < 1


def test_mean_and_deviation_are_those_of_the_train_split():
    data = load_data(DataSpec(source="synthetic"), 16)
    pixels = data.train.native / 255
    assert data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=1e-9)
    assert data.std == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=1e-9)


def test_synthetic_images_are_drawn_from_the_seed():
    first, again, other = (load_data(DataSpec(source="synthetic", seed=s), 32) for s in (0, 0, 1))
    assert np.array_equal(first.train.images, again.train.images)
    assert not in_bytes(first.train) & in_bytes(other.train)


def test_unknown_source_is_told_with_the_known_ones():
    expected = r"unknown data source 'digit' \(did you mean 'digits'\?\); known: cifar, digits, "
    with pytest.raises(UnknownNameError, match=expected):
        load_data(DataSpec(source="digit"), 32)


@pytest.mark.parametrize("size", [0, -5, 0.0, 1.0, 1.5, True])
def test_impossible_size_of_a_split_is_refused(size):
    with pytest.raises(DataError, match=r"data.val must be a count of at least 1 or a share"):
        DataSpec(source="digits", val=size)


def test_negative_seed_is_refused():
    with pytest.raises(DataError, match=r"data\.seed must be at least 0; got -1"):
        DataSpec(source="digits", seed=-1)


def test_more_images_than_there_are_is_refused():
    with pytest.raises(DataError, match=r"data.test: asked for 2000 images, there are 1797"):
        load_data(DataSpec(source="digits", test=2000), 8)


def test_splits_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(DataError, match=r"0 of 1797 images are left to train on"):
        load_data(DataSpec(source="digits", val=897, test=900), 8)


def test_source_without_files_refuses_a_path():
    with pytest.raises(DataError, match=r"data.path: the source 'digits' reads no file; got 'x'"):
        load_data(DataSpec(source="digits", path="x"), 8)


def test_resolution_below_a_pixel_is_refused():
    with pytest.raises(DataError, match="resolution must be at least 1 pixel; got 0"):
        load_data(DataSpec(source="digits"), 0)


def test_class_names_must_be_as_many_as_classes():
    with pytest.raises(DataError, match="10 classes in the training images but 2 class names"):
        load_data(DataSpec(source="digits", class_names=("a", "b")), 8)
