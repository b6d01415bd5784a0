"""Data from a function of one's own, torchvision and Hugging Face: the last two are fakes here."""

import sys
import types

import numpy as np
import pytest

from mnas.training import DataError, DataSpec, load_data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 6, 6, 3), dtype=np.uint8)
LABELS = [number % 2 for number in range(20)]

MODULE = """
import numpy as np
print("my module runs")
def load(path):
    images = np.arange(20 * 36, dtype=np.uint8).reshape(20, 6, 6) + (path == "bright")
    return {"x_train": images, "y_train": np.arange(20) % 2, "class_names": np.array(["a", "b"])}
def wrong(path):
    return [1, 2]
def failing(path):
    raise KeyError("no pixels today")
def partial(path):
    return {"x_train": np.zeros((4, 6, 6), np.uint8)}
number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "my_pixels.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in set(sys.modules) - before[0]:
        if name.startswith("my_pixels"):
            del sys.modules[name]
    assert sys.path == before[1]


def load(source, **spec):
    return load_data(DataSpec(source=source, **spec), 6)


def test_function_in_the_working_directory_gives_the_data():
    data = load("python:my_pixels:load")
    assert (len(data.train), data.class_names, data.channels) == (12, ("a", "b"), 1)
    assert load("python:my_pixels:load", path="bright").fingerprint != data.fingerprint


def test_import_is_announced_in_words():
    spec = DataSpec(source="python:my_pixels:load")
    expected = "importing the module my_pixels and running its load, as data.source says"
    assert spec.announcement == expected
    assert DataSpec(source="idx", path="x").announcement == "reading idx from x"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("python", r"'python' is not all; write python:package.module:function"),
        ("python:my_pixels", "write python:package.module:function, such as"),
        ("python:my_pixels:no such", "write python:package.module:function, such as"),
        ("python:my_pixel:load", r"there is no module 'my_pixel'; install it, or start from"),
        ("python:.relative:load", r"'python:.relative:load': importing .relative raised TypeError"),
        ("python:my_pixels:failing", "the function raised KeyError: 'no pixels today'"),
        ("python:my_pixels:lode", r"my_pixels has no function 'lode' \(my_pixels is .*my_pixels"),
        ("python:my_pixels:number", "my_pixels has no function 'number'"),
        ("python:my_pixels:wrong", "must return a mapping of names to numpy arrays; got list"),
        ("python:my_pixels:partial", "'y_train' is missing; let the function return it"),
    ],
)
def test_function_that_is_not_there_or_gives_something_else_is_told(source, told):
    with pytest.raises(DataError, match=told):
        load(source)


def test_module_here_does_not_take_the_place_of_a_library(folder):
    (folder / "json.py").write_text("raise RuntimeError('shadowed')")
    (folder / "my_pixels_too.py").write_text("import json\n" + MODULE)
    assert load("python:my_pixels_too:load").num_classes == 2


@pytest.mark.parametrize("source", ["digits:x", "idx:/data", "npz:file"])
def test_source_that_takes_no_argument_says_where_a_path_goes(source):
    with pytest.raises(DataError, match=r"takes nothing after a colon; .* is data\.path"):
        load(source)


@pytest.mark.parametrize("name", ["torchvision", "hf"])
def test_missing_library_is_told_with_other_ways(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"needs the package \w+, which cannot be imported here"):
        load(f"{name}:Anything", path="somewhere")


def as_pillow(pixels):
    return pytest.importorskip("PIL.Image").fromarray(pixels)


class ByTrain:
    """A fake of the data sets of torchvision that take `train`."""

    classes = ("cat", "dog")

    def __init__(self, root, train=True, transform=None, download=False):
        assert not download
        if root.endswith("nowhere"):
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        self.rows = range(16) if train else range(16, 20)
        self.targets = [LABELS[row] for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return as_pillow(IMAGES[row]), LABELS[row]


class BySplit:
    """A fake of those that take `split`, without `targets` or names."""

    def __init__(self, root, split="train"):
        rows = {"train": range(12), "val": range(12, 16), "test": range(16, 20)}
        if split not in rows:
            raise ValueError(f"Unknown value '{split}' for argument split.")
        self.rows = rows[split]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return as_pillow(IMAGES[self.rows[index]]), LABELS[self.rows[index]]


@pytest.fixture
def fake_torchvision(monkeypatch):
    library = types.ModuleType("torchvision.datasets")
    library.ByTrain, library.BySplit = ByTrain, BySplit
    parent = types.ModuleType("torchvision")
    parent.datasets = library
    monkeypatch.setitem(sys.modules, "torchvision", parent)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", library)


@pytest.mark.usefixtures("fake_torchvision")
def test_torchvision_data_set_with_train_is_read():
    data = load("torchvision:ByTrain", path="root", val=4)
    assert (len(data.train), len(data.val), len(data.test)) == (12, 4, 4)
    assert data.class_names == ("cat", "dog")
    assert np.array_equal(data.test.images, IMAGES[16:].transpose(0, 3, 1, 2))
    assert data.test.labels.tolist() == LABELS[16:]


@pytest.mark.usefixtures("fake_torchvision")
def test_torchvision_data_set_with_split_is_read():
    data = load("torchvision:BySplit", path="root")
    assert (len(data.train), len(data.val), len(data.test)) == (12, 4, 4)
    assert data.class_names == ("0", "1")


@pytest.mark.usefixtures("fake_torchvision")
@pytest.mark.parametrize(
    ("name", "path", "told"),
    [
        ("Nothing", "root", "torchvision has no data set 'Nothing'"),
        ("ByTrain", None, "needs the folder that torchvision knows as root"),
        ("ByTrain", "nowhere", r"Dataset not found.*\(data.path is nowhere\)"),
    ],
)
def test_torchvision_data_set_that_is_not_there_is_told(name, path, told):
    with pytest.raises(DataError, match=told):
        load(f"torchvision:{name}", path=path)


class FakeRows:
    """A fake of one split of Hugging Face's `datasets`."""

    def __init__(self, rows, columns=("image", "label")):
        self.rows, self.column_names = rows, list(columns)
        self.features = {columns[1]: types.SimpleNamespace(names=["cat", "dog"])}

    def cast_column(self, name, feature):
        assert (name, feature) == (self.column_names[0], ("image", False))
        return self

    def __getitem__(self, what):
        if isinstance(what, str):
            return [LABELS[row] for row in self.rows]
        kept = __import__("io").BytesIO()
        as_pillow(IMAGES[self.rows[what]]).save(kept, "PNG")
        return {self.column_names[0]: {"bytes": kept.getvalue(), "path": None}}


@pytest.fixture
def fake_datasets(monkeypatch):
    library = types.ModuleType("datasets")
    library.Image = lambda decode: ("image", decode)
    library.DownloadConfig = lambda local_files_only: {"offline": local_files_only}

    def load_dataset(name, download_config):
        assert download_config == {"offline": True}
        if name == "absent":
            raise ConnectionError("Couldn't reach 'absent' on the Hub (offline)")
        if name == "text":
            return {"train": FakeRows(range(20), ("text", "label"))}
        if name == "untrained":
            return {"test": FakeRows(range(20))}
        return {"train": FakeRows(range(16)), "test": FakeRows(range(16, 20))}

    library.load_dataset = load_dataset
    library.load_from_disk = lambda path: FakeRows(range(20), ("img", "label"))
    monkeypatch.setitem(sys.modules, "datasets", library)


@pytest.mark.usefixtures("fake_datasets")
def test_hugging_face_data_set_is_read_without_downloading():
    data = load("hf:pets", val=4)
    assert (len(data.train), len(data.val), len(data.test)) == (12, 4, 4)
    assert data.class_names == ("cat", "dog")
    assert np.array_equal(data.test.images, IMAGES[16:].transpose(0, 3, 1, 2))
    assert len(load("hf:pets", path="saved").train) == 12


@pytest.mark.usefixtures("fake_datasets")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent", r"cannot be read from this machine \(Couldn't reach .*mnas downloads nothing"),
        ("text", "needs the columns 'image' and 'label'; found text, label"),
        ("untrained", "has no split 'train'; found test"),
    ],
)
def test_hugging_face_data_set_that_does_not_fit_is_told(name, told):
    with pytest.raises(DataError, match=told):
        load(f"hf:{name}")
