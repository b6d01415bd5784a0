"""Parquet files in Hugging Face's layout."""

import io
import json
import sys

import numpy as np
import pytest

from mnas.training import DataError, DataSpec, load_data

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache"))


def rows(count, classes=2, side=8):
    images = RNG.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return images, [number % classes for number in range(count)]


def png(pixels):
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "PNG")
    return kept.getvalue()


def write(path, images, labels, *, image="image", label="label", names=None, **options):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    contents = [{"bytes": None if each is None else png(each), "path": "x.png"} for each in images]
    table = pyarrow.table({image: contents, label: labels})
    if names is not None:
        told = {"info": {"features": {label: {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(told)})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, **options)


def load(path, **spec):
    return load_data(DataSpec(source="parquet", path=str(path), **spec), 8)


def pairs(split):
    return {
        (image.tobytes(), int(label))
        for image, label in zip(split.images, split.labels, strict=True)
    }


def test_one_file_is_divided(tmp_path):
    images, labels = rows(20)
    write(tmp_path / "all.parquet", images, labels, names=["no", "yes"])
    data = load(tmp_path / "all.parquet")
    assert (len(data.train), len(data.val), len(data.test)) == (12, 4, 4)
    assert data.class_names == ("no", "yes")


def test_shards_and_splits_are_those_of_the_names(tmp_path):
    train, validation, test = rows(23), rows(6), rows(4)
    write(
        tmp_path / "data" / "train-00000-of-00002.parquet",
        *(part[:11] for part in train),
        row_group_size=4,
    )
    write(
        tmp_path / "data" / "train-00001-of-00002.parquet",
        *(part[11:] for part in train),
        row_group_size=3,
    )
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", *validation)
    write(tmp_path / "data" / "test-00000-of-00001.parquet", *test)
    data = load(tmp_path)
    for split, (images, labels) in ((data.train, train), (data.val, validation), (data.test, test)):
        expected = {
            (np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes(), label)
            for image, label in zip(images, labels, strict=True)
        }
        assert pairs(split) == expected


def test_plain_bytes_and_other_names_are_read(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images, labels = rows(20)
    table = pyarrow.table({"img": [png(each) for each in images], "fine_label": labels})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").num_classes == 2


def test_second_reading_decodes_nothing(tmp_path, monkeypatch):
    write(tmp_path / "all.parquet", *rows(20))
    first = load(tmp_path / "all.parquet")
    monkeypatch.setattr("mnas.training.storing.decoded", None)
    monkeypatch.setattr("mnas.training.pictures._opened", None)
    again = load(tmp_path / "all.parquet")
    assert first.fingerprint == again.fingerprint
    assert pairs(first.train) == pairs(again.train)


def refused(path, told):
    with pytest.raises(DataError, match=told) as caught:
        load(path)
    assert caught.value.exit_code == 2


def test_broken_image_is_named_with_its_row(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images, labels = rows(20)
    contents = [png(each) for each in images]
    contents[13] = contents[13][:-60]
    parquet.write_table(pyarrow.table({"image": contents, "label": labels}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", r"a\.parquet, group 0, row 13: cannot be ")


def test_image_that_lies_elsewhere_is_named(tmp_path):
    images, labels = rows(20)
    write(tmp_path / "a.parquet", [None, *images[1:]], labels)
    refused(
        tmp_path / "a.parquet", r"row 0: there is no image in it; write the files with embedded"
    )


def test_missing_columns_are_told(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["a"], "label": [0]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", r"needs one column of images .*found text \(string\), label")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([0.0, 1.0] * 10, "the column 'label' must hold whole numbers"),
        ([None] + [0, 1] * 9 + [1], "1 images have no label"),
        ([-1, 1] * 10, "must be 0, 1, ... with none left out"),
        ([0] * 20, "of at least two classes"),
    ],
)
def test_labels_that_do_not_fit_are_told(tmp_path, labels, told):
    write(tmp_path / "a.parquet", rows(20)[0], labels)
    refused(tmp_path / "a.parquet", told)


def test_damaged_file_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing")
    refused(tmp_path / "a.parquet", r"a\.parquet: is no parquet file that can be read")


def test_folder_without_files_or_without_train_is_told(tmp_path):
    refused(tmp_path, r"there is no \.parquet file in it")
    write(tmp_path / "test-0.parquet", *rows(4))
    refused(tmp_path, r"there is no train-\*\.parquet in it, only test")


def test_file_of_no_split_beside_train_is_told(tmp_path):
    write(tmp_path / "train-0.parquet", *rows(20))
    write(tmp_path / "unlabelled.parquet", *rows(20))
    refused(tmp_path, r"unlabelled\.parquet: begins with none of train, val")


def test_columns_that_differ_between_files_are_told(tmp_path):
    write(tmp_path / "train-0.parquet", *rows(20))
    write(tmp_path / "train-1.parquet", *rows(20), image="img")
    refused(tmp_path, "the columns of the files of train differ")


def test_missing_pyarrow_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    refused(tmp_path / "a.parquet", r"needs pyarrow.*python -m pip install 'mnas\[parquet\]'")
