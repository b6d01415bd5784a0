import numpy as np
import pytest
import torch

from mnas.training.rand_augment import _OPERATIONS, rand_augmented


def pixels(count=4, side=12, channels=3):
    generator = torch.Generator().manual_seed(0)
    shape = (count, side, side, channels)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def applied(name, images, strength):
    return _OPERATIONS[name](images, torch.full((len(images),), strength))


def test_the_operations_are_the_fourteen_of_the_paper():
    assert len(_OPERATIONS) == 14


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", _OPERATIONS)
def test_each_operation_keeps_shape_and_kind_and_does_not_depend_on_company(name, channels):
    images = pixels(channels=channels)
    together = applied(name, images, 0.7)
    alone = applied(name, images[2:3], 0.7)
    assert (together.shape, together.dtype) == (images.shape, torch.uint8)
    assert torch.equal(together[2:3], alone)


# These have no strength, or do something at none: 255 is on the threshold of solarize.
ALWAYS = ("autocontrast", "equalize", "solarize")


@pytest.mark.parametrize("name", [name for name in _OPERATIONS if name not in ALWAYS])
def test_operation_of_no_strength_changes_nothing(name):
    images = pixels()
    assert torch.all((applied(name, images, 0.0).int() - images.int()).abs() <= 1)


@pytest.mark.parametrize("name", [name for name in _OPERATIONS if name != "identity"])
def test_operation_of_full_strength_changes_images(name):
    smooth = torch.linspace(60, 180, 1600).reshape(1, 40, 40, 1).repeat(2, 1, 1, 3)
    smooth[..., 1] *= 0.5
    images = smooth.to(torch.uint8)
    images[:, 14:28, 14:28] = 255
    images[..., 2] = 90
    assert not torch.equal(applied(name, images, 1.0), images)


def test_translation_moves_by_the_papers_share_of_the_side():
    images = torch.full((1, 331, 331, 1), 200, dtype=torch.uint8)
    moved = applied("translate_x", images, 1.0)
    assert int((moved[0, 0, :, 0] == 0).sum()) == 150
    assert torch.all(moved[0, :, :181] == 200)


def test_rotation_by_thirty_degrees_turns_a_point_about_the_middle():
    images = torch.zeros(1, 101, 101, 1, dtype=torch.uint8)
    images[0, 48:53, 88:93, 0] = 255  # 40 to the right of the middle
    turned = applied("rotate", images, 1.0).float()[0, :, :, 0]
    y, x = ((turned * grid).sum() / turned.sum() - 50 for grid in torch.meshgrid(
        torch.arange(101.0), torch.arange(101.0), indexing="ij"))  # fmt: skip
    assert abs(float(x) - 34.6) < 0.5
    assert abs(abs(float(y)) - 20) < 0.5


@pytest.mark.parametrize("name", ["equalize", "autocontrast"])
def test_histogram_operations_are_those_of_pillow(name):
    ops, image = pytest.importorskip("PIL.ImageOps"), pytest.importorskip("PIL.Image")
    images = pixels(side=40) // 3 + 20
    for found, original in zip(applied(name, images, 1.0), images, strict=True):
        expected = getattr(ops, name)(image.fromarray(original.numpy()))
        assert np.abs(found.numpy().astype(int) - np.asarray(expected)).max() <= 1


def test_constant_image_survives_autocontrast_and_equalize():
    images = torch.full((1, 8, 8, 1), 77, dtype=torch.uint8)
    for name in ("autocontrast", "equalize"):
        assert torch.equal(applied(name, images, 1.0), images)


def test_autocontrast_uses_the_whole_range():
    images = torch.tensor([100, 150, 200, 150], dtype=torch.uint8).reshape(1, 2, 2, 1)
    assert applied("autocontrast", images, 1.0).flatten().tolist() == [0, 128, 255, 128]


def test_solarize_and_posterize_are_those_of_the_paper():
    images = torch.tensor([10, 100, 200, 255], dtype=torch.uint8).reshape(1, 2, 2, 1)
    assert applied("solarize", images, 0.5).flatten().tolist() == [10, 100, 55, 0]
    assert applied("posterize", images, 1.0).flatten().tolist() == [0, 96, 192, 240]


def test_images_get_operations_of_their_own():
    images = pixels(1, channels=3).expand(60, 12, 12, 3).contiguous()
    found = rand_augmented(images, operations=1, magnitude=15, seed=0)
    assert len({each.numpy().tobytes() for each in found}) >= 14
