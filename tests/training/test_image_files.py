"""Folders of image files: layouts, conversions, the cache of decoded images, and bad files."""

import io
import os
import pickle
import struct
import zlib

import numpy as np
import pytest

from mnas.training import DataError, DataSpec, load_data
from mnas.training.batches import images_of
from mnas.training.resizing import resize_images
from mnas.training.storing import image_folder

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def root(tmp_path):
    """Two classes of ten colour images, 12x12."""
    for name in ("cat", "dog"):
        for number in range(10):
            write(tmp_path / "data" / name / f"{number}.png", colour())
    return tmp_path / "data"


def colour(height=12, width=12):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def grey(side=12):
    return RNG.integers(0, 256, (side, side), dtype=np.uint8)


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    image.save(path, **options)
    return path


def load(root, resolution=8, **options):
    return load_data(DataSpec(source="imagefolder", path=str(root)), resolution, **options)


def everything(data):
    """Each image's pixels with its class."""
    splits = (data.train, data.val, data.test)
    return {
        image.tobytes(): data.class_names[label]
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    }


def test_folders_of_classes_are_divided(root):
    data = load(root)
    assert (len(data.train), len(data.val), len(data.test)) == (12, 4, 4)
    assert data.class_names == ("cat", "dog")
    assert (data.channels, data.train.images.shape) == (3, (12, 3, 8, 8))


def test_images_are_those_of_the_files_resized_exactly(root):
    found = everything(load(root))
    for path in root.glob("*/*.png"):
        pixels = np.asarray(Image.open(path)).transpose(2, 0, 1)[None]
        assert found[resize_images(pixels, 8)[0].tobytes()] == path.parent.name


def test_own_splits_are_kept(tmp_path):
    for part, count in (("train", 5), ("valid", 3), ("test", 2)):
        for name in ("a", "b"):
            for number in range(count):
                write(tmp_path / "set" / part / name / "deep" / f"{number}.jpg", colour())
    data = load(tmp_path / "set")
    assert (len(data.train), len(data.val), len(data.test)) == (10, 6, 4)


def test_middle_square_is_taken_of_an_oblong_image(root):
    wide = colour(12, 30)
    write(root / "cat" / "wide.png", wide)
    expected = resize_images(wide[:, 9:21].transpose(2, 0, 1)[None].copy(), 8)[0]
    assert expected.tobytes() in everything(load(root))


def test_grey_data_has_one_channel(tmp_path):
    for name in ("a", "b"):
        for number in range(5):
            write(tmp_path / "set" / name / f"{number}.png", grey())
    data = load(tmp_path / "set", 12)
    assert data.channels == 1
    first = np.asarray(Image.open(tmp_path / "set" / "a" / "0.png"))
    assert first.tobytes() in everything(data)


def test_grey_among_colour_becomes_colour(root):
    pixels = grey()
    write(root / "dog" / "grey.png", pixels)
    data = load(root, 12)
    assert data.channels == 3
    assert np.stack([pixels] * 3).tobytes() in everything(data)


def test_sixteen_bits_keep_their_upper_eight(root):
    pixels = grey()
    low = RNG.integers(0, 256, pixels.shape, dtype=np.uint16)
    write(root / "dog" / "deep.png", pixels.astype(np.uint16) * 256 + low)
    assert np.stack([pixels] * 3).tobytes() in everything(load(root, 12))


def test_palette_and_transparency_become_plain_colour(root):
    flat = np.zeros((12, 12, 3), np.uint8)
    flat[:6] = (200, 10, 30)
    palette = Image.fromarray(flat).convert("P", palette=Image.Palette.ADAPTIVE)
    write(root / "cat" / "palette.png", palette)
    write(root / "cat" / "hole.png", palette.copy(), transparency=bytes([0] * 256))
    alpha = np.dstack([colour(), grey()])
    write(root / "cat" / "alpha.png", alpha)
    found = everything(load(root, 12))
    assert flat.transpose(2, 0, 1).tobytes() in found
    assert alpha[:, :, :3].transpose(2, 0, 1).tobytes() in found


def test_cmyk_becomes_colour(root):
    inks = np.zeros((12, 12, 4), np.uint8)
    inks[..., 0] = 255  # cyan
    write(root / "cat" / "inks.jpg", Image.fromarray(inks, "CMYK"), quality=100)
    found = [np.frombuffer(each, np.uint8) for each in everything(load(root, 12))]
    means = [each.reshape(3, -1).mean(axis=1) for each in found]
    assert any(mean[0] < 10 and mean[1] > 200 and mean[2] > 200 for mean in means)


def test_photograph_is_turned_upright(root):
    upright = colour()
    exif = Image.Exif()
    exif[0x0112] = 6  # as it lies in the file it must be turned by 90 degrees
    lying = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    write(root / "dog" / "turned.png", lying, exif=exif)
    assert upright.transpose(2, 0, 1).tobytes() in everything(load(root, 12))


def test_names_of_any_alphabet_are_read(tmp_path):
    for name in ("кошка", "犬"):
        for number in range(5):
            write(tmp_path / "données" / name / f"été {number}.png", colour())
    assert load(tmp_path / "données").class_names == ("кошка", "犬")


def test_hidden_files_are_passed_over(root):
    (root / "cat" / ".DS_Store").write_bytes(b"x")
    (root / "cat" / "Thumbs.db").write_bytes(b"x")
    (root / ".cache").mkdir()
    assert load(root).num_classes == 2


def test_images_are_decoded_once(root, monkeypatch):
    first = load(root, 8, also=(6,))
    monkeypatch.setattr("mnas.training.storing.decoded", None)  # whoever decodes now fails
    monkeypatch.setattr("mnas.training.pictures._opened", None)
    again = load(root, 8, also=(6,))
    assert again.fingerprint == first.fingerprint
    assert (again.mean, again.std) == (first.mean, first.std)
    assert np.array_equal(again.train.images, first.train.images)
    assert np.array_equal(again.resized(6).val.images, load(root, 6).val.images)


def test_other_resolution_does_not_depend_on_what_was_asked_before(root, monkeypatch):
    detour = load(root, 4).resized(24).resized(8)
    monkeypatch.setenv("MNAS_CACHE", str(root.parent / "other"))
    straight = load(root, 8)
    for name in ("train", "val", "test"):
        assert np.array_equal(getattr(detour, name).images, getattr(straight, name).images)
    assert (detour.mean, detour.fingerprint) == (straight.mean, straight.fingerprint)


def test_mean_and_deviation_are_those_of_the_training_files(root):
    data = load(root, 12)
    pixels = data.train.images / 255
    assert data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=1e-9)
    assert data.std == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=1e-9)
    assert load(root, 5).mean == data.mean


def test_fingerprint_is_that_of_the_content(root):
    before = load(root).fingerprint
    path = root / "cat" / "3.png"
    os.utime(path, ns=(1, 1))
    assert load(root).fingerprint == before
    write(path, colour())
    assert load(root).fingerprint != before


def test_changed_file_is_decoded_anew(root):
    load(root, 12)
    pixels = colour()
    write(root / "cat" / "3.png", pixels)
    assert pixels.transpose(2, 0, 1).tobytes() in everything(load(root, 12))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY rest is gone"])
def test_damaged_cache_is_made_anew(root, cache, content):
    before = load(root)
    for path in cache.rglob("*.npy"):
        path.write_bytes(content)
    after = load(root)
    assert np.array_equal(after.train.images, before.train.images)
    assert (after.fingerprint, after.mean) == (before.fingerprint, before.mean)


def test_cache_holds_no_half_written_file(root, cache, monkeypatch):
    monkeypatch.setattr("mnas.training.storing.os.pwrite", _full_disk)
    with pytest.raises(ValueError, match=r"cannot write .*npy: No space left.*MNAS_CACHE"):
        load(root)
    assert [path for path in cache.rglob("*") if path.is_file() and "facts" not in path.name] == []


def _full_disk(*arguments):
    raise OSError(28, "No space left on device")


def test_too_small_a_disk_is_told_before_anything_is_decoded(root, monkeypatch):
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("mnas.training.storing.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match=r"decoded images take .* GiB, in .* name a folder"):
        load(root)


def test_progress_of_decoding_is_told(root):
    told = []
    load(root, progress=lambda done, total: told.append((done, total)))
    assert (12, 12) in told


class TestLargeImages:
    """A split over the limit stays in its file."""

    @pytest.fixture(autouse=True)
    def _limit(self, monkeypatch):
        monkeypatch.setattr("mnas.training.storing.MOST_BYTES_IN_MEMORY", 1000)

    def test_split_is_the_file_and_holds_the_same_images(self, root, monkeypatch):
        large = load(root)
        assert large.train.file is not None
        assert large.train.file.is_relative_to(image_folder())
        monkeypatch.setattr("mnas.training.storing.MOST_BYTES_IN_MEMORY", 2**20)
        small = load(root)
        assert small.train.file is None
        assert np.array_equal(large.train.images, small.train.images)

    def test_split_travels_by_its_path(self, root):
        data = load(root, 96, also=(24,)).without_test()
        travelled = pickle.dumps(data)
        assert len(travelled) < data.train.images.nbytes / 10
        arrived = pickle.loads(travelled)
        assert arrived.train.file == data.train.file
        assert np.array_equal(arrived.train.images, data.train.images)
        assert np.array_equal(arrived.resized(24).val.images, data.resized(24).val.images)

    def test_paths_of_test_images_do_not_travel_to_workers(self, root):
        data = load(root, 32)
        travelled = pickle.dumps(data.without_test())
        assert data.train.file.parent.name.encode() in travelled  # so that the next can fail
        assert data.test.file.parent.name.encode() not in travelled

    def test_split_without_its_file_says_what_to_do(self, root):
        data = load(root, 32)
        travelled = pickle.dumps(data)
        data.train.file.unlink()
        with pytest.raises(DataError, match=r"are not on this machine.*MNAS_CACHE"):
            pickle.loads(travelled)

    def test_resolution_that_was_not_prepared_is_told_where_files_cannot_be_read(self, root):
        arrived = pickle.loads(pickle.dumps(load(root, 32)))
        with pytest.raises(DataError, match=r"no images at 20 px on this machine.*MNAS_CACHE"):
            arrived.resized(20)

    def test_batches_are_read_from_the_file(self, root):
        data = load(root, 32)
        part = np.array([5, 1, 9])
        images = images_of(data.train, data, part)
        assert len(images.pixels) == len(data.train)  # the file itself, not a copy of a part
        taken = images.take(images.labels.new_tensor([2, 0]))
        expected = data.train.images[[9, 5]].transpose(0, 2, 3, 1)
        assert np.array_equal(taken.numpy(), expected)
        assert images.labels.tolist() == data.train.labels[part].tolist()
        batches = [pixels for pixels, _ in images.in_order(2)]
        assert [len(each) for each in batches] == [2, 1]

    def test_writing_to_a_batch_does_not_reach_the_file(self, root):
        data = load(root, 32)
        images = images_of(data.train, data)
        before = data.train.images.copy()
        images.pixels[:] = 7
        assert np.array_equal(load(root, 32).train.images, before)

    def test_enlarged_arrays_become_a_file_too(self):
        data = load_data(DataSpec(source="digits"), 16)
        assert data.train.file is not None
        expected = resize_images(data.train.native, 16)
        assert np.array_equal(data.train.images, expected)
        arrived = pickle.loads(pickle.dumps(data))
        assert np.array_equal(arrived.train.images, expected)
        assert np.array_equal(arrived.resized(12).val.images, data.resized(12).val.images)


def refused(root, told):
    with pytest.raises(DataError, match=told) as caught:
        load(root)
    assert caught.value.exit_code == 2
    return str(caught.value)


def encoded(pixels, kind):
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, kind)
    return kept.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"no image at all", "is no image that Pillow can read"),
        (encoded(colour(64, 64), "JPEG")[:-400], r"cannot be decoded \(.*truncated"),
        (encoded(colour(64, 64), "PNG")[:-400], r"cannot be (decoded|read) \("),
    ],
)
def test_broken_image_is_named(root, content, told):
    path = root / "dog" / "bad.jpg"
    path.write_bytes(content)
    refused(root, rf"1 image cannot be used; mend or remove:\n  {path}: {told}")


def test_all_broken_images_are_named_at_once(root):
    for number in range(10):
        (root / "cat" / f"bad{number}.png").write_bytes(b"broken")
    assert "bad7.png" in refused(root, r"10 images cannot be used.*(\n.*){8}\n  and 2 more$")


def test_animation_is_named(root):
    frames = [Image.fromarray(colour()) for _ in range(3)]
    frames[0].save(root / "cat" / "moves.gif", save_all=True, append_images=frames[1:])
    refused(root, r"moves\.gif: is animated; keep one of its frames")


def test_still_gif_is_read(root):
    Image.fromarray(colour()).save(root / "cat" / "still.gif")
    assert sum(map(len, (load(root).train, load(root).val, load(root).test))) == 21


def test_pixels_of_32_bits_are_named(root):
    write(root / "cat" / "float.tiff", np.ones((12, 12), np.float32))
    refused(root, r"float\.tiff: has pixels of the kind 'F'; save it with 8 bits a channel")


@pytest.mark.parametrize("side", [12_000, 40_000])
def test_decompression_bomb_is_named_and_not_decoded(root, side):
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)

    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", head), (b"IDAT", b""), (b"IEND", b""))
    ]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    (root / "cat" / "bomb.png").write_bytes(content)
    refused(root, r"bomb\.png: .*may be a decompression bomb; at most 89,478,485 pixels")


def test_file_that_is_no_image_by_its_name_is_named(root):
    (root / "cat" / "labels.csv").write_text("a,b")
    refused(root, r"labels\.csv: is no image by its name \(.*\.png.*\); remove or convert it")


def test_unreadable_file_is_named(root, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    refused(root, r"cat/0\.png: cannot be read \(Permission denied\)")


def test_broken_link_is_named(root):
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    refused(root, r"gone\.png: cannot be read \(No such file or directory\)")


def test_link_to_a_folder_is_named(root):
    (root / "cat" / "more").symlink_to(root / "dog")
    refused(root, r"cat/more: is a link to a folder")


def test_empty_folder_is_named(tmp_path):
    (tmp_path / "nothing").mkdir()
    refused(tmp_path / "nothing", r"nothing: there is no folder in it; needs a folder of images")


def test_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    refused(tmp_path / "file", "is not a folder; imagefolder needs a folder of folders")


def test_empty_folder_of_a_class_is_named(root):
    (root / "bird").mkdir()
    refused(root, r"data/bird: there is no image in the folder of this class")


def test_class_whose_only_image_goes_to_another_split_is_named(root):
    total = sum(1 for path in root.rglob("*") if path.is_file())
    spec = DataSpec(source="imagefolder", path=str(root), test=total - 2, val=1)
    with pytest.raises(DataError, match=r"1 of \d+ images are left to train on"):
        load_data(spec, 8)
    for number in range(3):
        write(root / "owl" / f"{number}.png", colour())
    spec = DataSpec(source="imagefolder", path=str(root), test=total, val=1)
    with pytest.raises(DataError, match="none is left to train on of the class"):
        load_data(spec, 8)


@pytest.mark.parametrize("images", [1, 2])
def test_class_that_cannot_be_in_every_split_is_named(root, images):
    for number in range(images):
        write(root / "owl" / f"{number}.png", colour())
    refused(root, rf"needs at least 3 images; too few has owl \({images}\)\. Add images")


def test_one_class_is_not_enough(tmp_path):
    for number in range(8):
        write(tmp_path / "set" / "only" / f"{number}.png", colour())
    refused(tmp_path / "set", "of at least two classes")


def test_class_that_training_does_not_have_is_named(tmp_path):
    for part, names in (("train", "ab"), ("val", "ac")):
        for name in names:
            write(tmp_path / "set" / part / name / "0.png", colour())
    refused(tmp_path / "set", r"val/c: there is no class 'c' among the training images")


def test_strange_folder_beside_train_is_named(tmp_path):
    for part in ("train", "holdout"):
        write(tmp_path / "set" / part / "a" / "0.png", colour())
    refused(tmp_path / "set", r"beside train there may be val.*; found 'holdout'")


def test_class_may_be_called_train(tmp_path):
    for name in ("bus", "train"):
        for number in range(5):
            write(tmp_path / "set" / name / f"{number}.png", colour())
    assert load(tmp_path / "set").class_names == ("bus", "train")


def test_two_validation_folders_are_refused(tmp_path):
    for part in ("train", "val", "validation"):
        write(tmp_path / "set" / part / "a" / "0.png", colour())
    refused(tmp_path / "set", "has val and validation; keep one of them")


def test_unlabelled_test_images_are_told(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "set" / "train" / name / "0.png", colour())
    write(tmp_path / "set" / "test" / "0.png", colour())
    refused(tmp_path / "set", r"set/test: there is no folder in it.*or leave test out")


def test_name_that_is_not_utf8_is_told(root):
    os.makedirs(os.fsencode(root) + b"/\xff\xfe")  # noqa: PTH103  # Path cannot say it
    refused(root, r"the name b'\\xff\\xfe' is not UTF-8; rename the folder")


def test_missing_pillow_says_how_to_get_it(root, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    refused(root, "decoded with Pillow, which is not installed: python -m pip install pillow")
