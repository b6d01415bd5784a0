import gzip
import struct

import numpy as np
import pytest

from mnas.training import DataError, DataSpec, load_data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 6, 6), dtype=np.uint8)
LABELS = np.arange(40, dtype=np.uint8) % 4


def idx_bytes(array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.tobytes()


def write_idx(folder, *, ending="", joint="-"):
    for part, count in (("train", 40), ("t10k", 12)):
        for kind, array in (("images", IMAGES[:count]), ("labels", LABELS[:count])):
            name = f"{part}-{kind}{joint}idx{array.ndim}-ubyte{ending}"
            content = idx_bytes(array)
            (folder / name).write_bytes(gzip.compress(content) if ending else content)
    return folder


def load_idx(folder):
    return load_data(DataSpec(source="idx", path=str(folder), val=8), 6)


def load_npz(path, **spec):
    return load_data(DataSpec(source="npz", path=str(path), **spec), 6)


@pytest.mark.parametrize(("ending", "joint"), [("", "-"), (".gz", "-"), ("", "."), (".gz", ".")])
def test_idx_files_are_read_packed_or_not(tmp_path, ending, joint):
    data = load_idx(write_idx(tmp_path, ending=ending, joint=joint))
    assert (len(data.train), len(data.val), len(data.test)) == (32, 8, 12)
    assert np.array_equal(data.test.images[:, 0], IMAGES[:12])
    assert data.test.labels.tolist() == LABELS[:12].tolist()
    assert (data.num_classes, data.channels) == (4, 1)


def test_part_of_a_sources_own_test_split_can_be_taken(tmp_path):
    spec = DataSpec(source="idx", path=str(write_idx(tmp_path)), val=8, test=4)
    data = load_data(spec, 6)
    assert (len(data.train), len(data.test)) == (32, 4)


def test_missing_idx_file_is_named_with_the_folder(tmp_path):
    (write_idx(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"no file t10k-labels-idx1-ubyte \(or .*four files"):
        load_idx(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "0 bytes are no idx file; get the file again"),
        (b"\x00\x00\x0d\x03" + bytes(12), "starts with 00000d03, an idx file of 3-dimensional"),
        (idx_bytes(IMAGES)[:-7], r"its head tells of 40x6x6 = 1440 bytes, there are 1433"),
        (idx_bytes(IMAGES[:30]), "30 images but 40 labels; they must pair"),
        (idx_bytes(IMAGES[:, :, :4]), "images must be square; got 6x4 pixels"),
    ],
)
def test_damaged_idx_file_is_named_with_what_is_wrong(tmp_path, content, told):
    (write_idx(tmp_path) / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        load_idx(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("damage", [lambda packed: packed[:-20], lambda packed: b"no gzip at all"])
def test_damaged_gzip_is_named_with_what_is_wrong(tmp_path, damage):
    path = write_idx(tmp_path, ending=".gz") / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: cannot be read \(.+\); get"):
        load_idx(tmp_path)


def test_no_images_at_all_is_told(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES[:0]))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[:0]))
    with pytest.raises(DataError, match="there is no image"):
        load_idx(tmp_path)


@pytest.mark.parametrize("source", ["idx", "npz"])
def test_path_must_be_given_and_exist(source, tmp_path):
    with pytest.raises(DataError, match=f"the source '{source}' needs a path"):
        load_data(DataSpec(source=source), 8)
    with pytest.raises(DataError, match=r"nowhere does not exist; needs"):
        load_data(DataSpec(source=source, path=str(tmp_path / "nowhere")), 8)


def test_idx_needs_a_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="is not a folder; idx needs the folder of its files"):
        load_idx(tmp_path / "file")


def test_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(write_idx(tmp_path)))
    assert len(load_idx("~").train) == 32


def test_npz_with_own_test_split_is_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:8], y_test=LABELS[:8])
    data = load_npz(path)
    assert (len(data.train), len(data.val), len(data.test)) == (32, 8, 8)
    assert np.array_equal(data.test.images[:, 0], IMAGES[:8])


def test_npz_of_medmnist_keeps_its_three_splits(tmp_path):
    path = tmp_path / "medmnist.npz"
    colour = np.repeat(IMAGES[..., None], 3, axis=3)
    arrays = {}
    for part, count in (("train", 40), ("val", 8), ("test", 12)):
        arrays |= {f"{part}_images": colour[:count], f"{part}_labels": LABELS[:count, None]}
    np.savez_compressed(path, **arrays, class_names=np.array(["a", "b", "c", "d"]))
    data = load_npz(path)
    assert (len(data.train), len(data.val), len(data.test)) == (40, 8, 12)
    assert data.channels == 3
    assert data.class_names == ("a", "b", "c", "d")
    assert np.array_equal(data.val.images, colour[:8].transpose(0, 3, 1, 2))


def test_npz_with_channels_first_is_read(tmp_path):
    images = np.repeat(IMAGES[:, None], 3, axis=1)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=LABELS)
    assert load_npz(tmp_path / "a.npz").train.images.shape == (24, 3, 6, 6)


def test_sorted_images_are_mixed_in_the_train_split(tmp_path):
    order = np.argsort(LABELS, kind="stable")
    pairs = {f"{xy}_{part}": array[order] for part in ("train", "val", "test")
             for xy, array in (("x", IMAGES), ("y", LABELS))}  # fmt: skip
    np.savez(tmp_path / "a.npz", **pairs)
    assert len(set(load_npz(tmp_path / "a.npz").train.labels[:10].tolist())) > 1


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({}, "no training images; needs the arrays x_train and y_train.*; found none"),
        ({"images": IMAGES}, "no training images.*; found images"),
        ({"x_train": IMAGES}, "the array 'y_train' is missing"),
        ({"y_train": LABELS}, "the array 'x_train' is missing"),
        ({"x_train": IMAGES / 255, "y_train": LABELS}, "pixels must be uint8.*; got float64"),
        ({"x_train": IMAGES, "y_train": LABELS[:9]}, "40 images but 9 labels"),
        ({"x_train": IMAGES, "y_train": LABELS / 2}, "labels must be one whole number"),
        ({"x_train": IMAGES, "y_train": LABELS + 1}, r"must be 0, 1, ... with none left out"),
        ({"x_train": IMAGES, "y_train": LABELS * 0}, "of at least two classes"),
        (
            {"x_train": IMAGES[0], "y_train": LABELS[:6]},
            r"images must be \(n, h, h\).*got \(6, 6\)",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 3},
            r"\(test\): labels \[4, 5, 6\] do not occur in the training images",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, :5, :5], "y_test": LABELS},
            r"\(test\): images are \(1, 5, 5\), the training images \(1, 6, 6\)",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "train_images": IMAGES, "train_labels": LABELS},
            "there is a second train split; leave one out",
        ),
    ],
)
def test_unfit_npz_is_named_with_what_is_wrong(tmp_path, arrays, told):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=told) as caught:
        load_npz(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 broken"])
def test_damaged_npz_is_named(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.npz: cannot be read \(.*\); write it again"):
        load_npz(path)


def test_single_array_is_no_archive(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match=r"a single array, not an \.npz archive"):
        load_npz(tmp_path / "a.npz")


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("this must never run",))

    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.array([Trap()], dtype=object), y_train=LABELS)
    with pytest.raises(DataError, match=r"cannot be read \(Object arrays cannot be loaded"):
        load_npz(path)
