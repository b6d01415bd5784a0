"""CIFAR's Python version: read without unpickling, and what else such a file might hold."""

import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest

from mnas.training import DataError, DataSpec, load_data
from mnas.training.cifar_files import read_plain_pickle

RNG = np.random.default_rng(0)
NAMES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def batch(count=20, key="labels", classes=10):
    data = RNG.integers(0, 256, (count, 3072), dtype=np.uint8)
    return {"batch_label": "one", "data": data, key: [i % classes for i in range(count)]}


def python_2_pickle(value):
    """As Python 2's cPickle wrote CIFAR's own files: byte strings, protocol 2."""

    def text(string):
        data = string if isinstance(string, bytes) else string.encode()
        return b"T" + struct.pack("<i", len(data)) + data

    def written(value):
        match value:
            case str() | bytes():
                return text(value)
            case int():
                return b"J" + struct.pack("<i", value)
            case list():
                return b"]" + b"(" + b"".join(map(written, value)) + b"e"
            case dict():
                items = b"".join(text(key) + written(each) for key, each in value.items())
                return b"}(" + items + b"u"
            case np.ndarray():
                shape = b"".join(b"M" + struct.pack("<H", each) for each in value.shape) + b"\x86"
                kind = (
                    b"cnumpy\ndtype\n" + text("u1") + b"K\x00K\x01\x87R"
                    b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
                )
                made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
                state = b"(K\x01" + shape + kind + b"\x89" + text(value.tobytes()) + b"tb"
                return made + text("b") + b"\x87R" + state
        raise TypeError(value)

    return b"\x80\x02" + written(value) + b"."


def written_by(protocol):
    return lambda value: pickle.dumps(value, protocol=protocol)


def write_cifar10(folder, dump=python_2_pickle):
    folder.mkdir(exist_ok=True)
    batches = {f"data_batch_{number}": batch() for number in range(1, 6)}
    batches["test_batch"] = batch(30)
    for name, each in batches.items():
        (folder / name).write_bytes(dump(each))
    (folder / "batches.meta").write_bytes(dump({"label_names": NAMES, "num_vis": 3072}))
    return batches


def load(path):
    return load_data(DataSpec(source="cifar", path=str(path), val=20), 32)


@pytest.mark.parametrize(
    "dump", [python_2_pickle, written_by(2), written_by(4)], ids=["python 2", "2", "4"]
)
def test_cifar_10_is_read_whoever_wrote_it(tmp_path, dump):
    batches = write_cifar10(tmp_path / "cifar", dump)
    data = load(tmp_path / "cifar")
    assert (len(data.train), len(data.val), len(data.test)) == (80, 20, 30)
    assert data.class_names == tuple(NAMES)
    expected = batches["test_batch"]["data"].reshape(-1, 3, 32, 32)
    assert np.array_equal(data.test.images, expected)
    assert data.test.labels.tolist() == batches["test_batch"]["labels"]


def test_hand_written_pickle_of_python_2_is_what_pickle_reads():
    value = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2]}
    read = pickle.loads(python_2_pickle(value), encoding="bytes")
    assert np.array_equal(read[b"data"], value["data"])


def test_cifar_100_has_its_fine_labels(tmp_path):
    for name in ("train", "test"):
        content = batch(200, "fine_labels", 100) | {"coarse_labels": [0] * 200}
        (tmp_path / name).write_bytes(python_2_pickle(content))
    names = [f"class {number}" for number in range(100)]
    (tmp_path / "meta").write_bytes(python_2_pickle({"fine_label_names": names}))
    data = load_data(DataSpec(source="cifar", path=str(tmp_path), val=100), 32)
    assert data.num_classes == 100
    assert data.class_names[7] == "class 7"


def test_archive_is_read_as_it_was_downloaded(tmp_path):
    write_cifar10(tmp_path / "cifar-10-batches-py")
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    assert load(path).fingerprint == load(tmp_path / "cifar-10-batches-py").fingerprint


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_damaged_archive_is_named(tmp_path, content):
    (tmp_path / "cifar.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar\.tar\.gz: is no archive that can be read"):
        load(tmp_path / "cifar.tar.gz")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap was sprung",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_in_a_file_is_ever_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path / "cifar")
    bad = pickle.dumps({"data": Trap(), "labels": [0]}, protocol=protocol)
    (tmp_path / "cifar" / "data_batch_3").write_bytes(bad)
    with pytest.raises(DataError, match=r"data_batch_3: .*nothing was run") as caught:
        load(tmp_path / "cifar")
    assert "posix.mkdir" in str(caught.value) or "instruction" in str(caught.value)
    assert not (tmp_path / "trap was sprung").exists()


def test_even_an_allowed_name_is_not_called(monkeypatch):
    calls = []
    monkeypatch.setattr("numpy.dtype", lambda *a: calls.append(a), raising=True)
    read_plain_pickle(b"\x80\x02cnumpy\ndtype\nU\x02u1\x85R.", "file")
    assert calls == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is damaged"),
        (b"text", "is damaged"),
        (pickle.dumps({"a": 1})[:-4], "is damaged"),
        (b"\x80\x02K\x01K\x02.", "is damaged"),  # two values
        (b"\x80\x02e.", "is damaged"),  # no mark
        (b"\x80\x02h\x05.", "is damaged"),  # nothing was remembered
        (b"\x80\x02K\x01K\x02a.", "is damaged"),  # a number is no list
        (pickle.dumps({1: 2}), "is damaged"),
        (pickle.dumps({1, 2}, protocol=4), "the pickle instruction EMPTY_SET"),
        (pickle.dumps(2**40, protocol=2).replace(b"\x8a", b"\x82"), "instruction EXT1|damaged"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "calls something that makes no array"),
        (b"\x80\x02]K\x01b.", "changes an object"),
        (b"\x80\x02Q.", "the pickle instruction BINPERSID"),
    ],
)
def test_other_pickles_are_refused(content, told):
    with pytest.raises(DataError, match=told):
        read_plain_pickle(content, "file")


def array_of(**changes):
    """A pickled batch whose array says something else of itself."""
    state = {"shape": (1, 3072), "code": "u1", "order": False, "content": bytes(3072)} | changes
    kind = b"cnumpy\ndtype\n" + pickle.dumps(state["code"], 2)[2:-1] + b"\x85R"
    parts = [pickle.dumps(state[key], 2)[2:-1] for key in ("shape", "order", "content")]
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01" + parts[0] + kind + parts[1] + parts[2]
        + b"tb"
    )  # fmt: skip
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x00eu."


def test_told_array_is_read(tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(array_of())
    assert len(load(tmp_path).train) == 61


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (2, 3072)},
        {"shape": (2**62, 3072)},
        {"shape": (-1, 3072)},
        {"shape": (1, 3071), "content": bytes(3071)},
        {"shape": (1, 1, 3072)},
        {"code": "O8"},
        {"code": "f4"},
        {"order": True},
        {"content": "\u20ac" * 3072},
        {"content": [1, 2]},
    ],
)
def test_array_that_does_not_fit_is_named(tmp_path, changes):
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(array_of(**changes))
    with pytest.raises(DataError, match=r"data_batch_2: 'data' is no array of n x 3072 bytes"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"labels": [1]}, "has no 'data' and 'labels'"),
        ({"data": [1], "labels": [1]}, "'data' is no array"),
        (batch() | {"labels": ["a"] * 20}, "'labels' is no list of whole numbers"),
        (batch() | {"labels": [2**80] * 20}, "'labels' holds numbers that are no class"),
        (batch() | {"labels": [1] * 19}, "20 images but 19 labels"),
    ],
)
def test_batch_that_does_not_fit_is_named(tmp_path, content, told):
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_4").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(DataError, match=f"data_batch_4: {told}"):
        load(tmp_path)


def test_missing_batch_is_named(tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_5").unlink()
    with pytest.raises(DataError, match=r"data_batch_5 is missing; get the data set again"):
        load(tmp_path)


def test_other_folder_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no batches\.meta \(CIFAR-10\) and no meta \(CIFAR-100\)"):
        load(tmp_path)


def test_meta_without_names_is_named(tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": 3}))
    with pytest.raises(DataError, match=r"batches\.meta has no list 'label_names'"):
        load(tmp_path)


def test_huge_sizes_in_a_file_take_no_memory():
    content = b"\x80\x02B" + struct.pack("<i", 2**31 - 1) + b"abc."
    with pytest.raises(DataError, match="is damaged"):
        read_plain_pickle(content, "file")
    long_put = b"\x80\x02]r" + struct.pack("<I", 2**32 - 1) + b"."
    assert read_plain_pickle(long_put, "file") == []
    assert io.BytesIO(long_put).read() == long_put


def test_damage_anywhere_gives_an_error_of_data_and_no_other():
    rng = np.random.default_rng(1)
    whole = python_2_pickle(batch(1))
    refused = 0
    for _ in range(2000):
        content = bytearray(whole)
        for place in rng.integers(0, 150, rng.integers(1, 5)):
            content[place] = rng.integers(256)
        try:
            read_plain_pickle(bytes(content), "file")
        except DataError:
            refused += 1
    assert 500 < refused < 2000
