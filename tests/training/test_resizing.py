import numpy as np
import pytest

from mnas.training.resizing import resize_images


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("resolution", [3, 8, 12, 32])
def test_constant_image_stays_constant(resolution):
    resized = resize_images(np.full((2, 3, 8, 8), 200, np.uint8), resolution)
    assert resized.shape == (2, 3, resolution, resolution)
    assert np.all(resized == 200)


def test_same_resolution_gives_the_same_array():
    original = images(2, 1, 8, 8)
    assert resize_images(original, 8) is original


def test_enlarging_is_bilinear_with_pixel_centres():
    row = resize_images(np.array([[[[0, 100], [0, 100]]]], np.uint8), 4)[0, 0, 0]
    assert row.tolist() == [0, 25, 75, 100]


def test_shrinking_averages_an_area_and_does_not_skip_pixels():
    board = np.indices((16, 16)).sum(axis=0) % 2 * 200
    shrunk = resize_images(board.astype(np.uint8)[None, None], 4)
    assert np.all(np.abs(shrunk[0, 0, 1:-1, 1:-1].astype(int) - 100) <= 1)


def test_resizing_commutes_with_turning_the_image():
    original = images(3, 1, 9, 9)
    turned = resize_images(np.ascontiguousarray(original.transpose(0, 1, 3, 2)), 14)
    assert np.array_equal(turned.transpose(0, 1, 3, 2), resize_images(original, 14))


def test_images_do_not_depend_on_their_company():
    original = images(2100, 1, 4, 4)  # more than are worked on at once
    together = resize_images(original, 6)
    assert np.array_equal(together[2050:2060], resize_images(original[2050:2060], 6))
