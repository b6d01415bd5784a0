"""YAML in, plain values and their places out."""

import string

import pytest

from mnas.arch import InvalidFileError
from mnas.space import read_yaml
from mnas.space.yaml_document import parse_yaml


def test_yaml_1_2_reads_numbers_and_text_as_people_write_them():
    value = parse_yaml("{a: 1e-3, b: no, c: 0.25, d: true, e: ~, f: '3', g: 2020-01-02}").value
    assert value == {
        "a": 0.001,
        "b": "no",
        "c": 0.25,
        "d": True,
        "e": None,
        "f": "3",
        "g": "2020-01-02",
    }


def test_every_value_knows_its_place_and_an_unknown_place_that_of_its_holder():
    document = parse_yaml("a:\n  - {b: 1}\n")
    assert document.locate(("a", 0, "b")) == (2, 9)
    assert document.locate(("a", 0, "b"), key=True) == (2, 6)
    assert document.locate(("a", 0, "zz")) == (2, 5)


def test_merged_keys_give_way_and_stand_at_their_alias():
    document = parse_yaml("a: &x {k: 1, m: 2}\nb:\n  <<: *x\n  k: 7\n")
    assert document.value["b"] == {"k": 7, "m": 2}
    assert document.locate(("b", "m")) == (3, 7)
    assert document.locate(("b", "k")) == (4, 6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "2:1: a: this key is given twice"),
        ("a: [1", "1:6"),
        ("a: &a [*a]", "no anchor that ends before it"),
        ("a: *b", "no anchor that ends before it"),
        ("a: !!python/name:os.system x", "tags are not allowed"),
        ("1: 2", "keys must be text; got 1"),
        ("a: 1\n---\nb: 2", "3|2:1: document: a second document begins"),
        ("[" * 100 + "]" * 100, "nested deeper than"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, said: str):
    with pytest.raises(InvalidFileError, match="<text>") as caught:
        parse_yaml(text)
    assert said.split("|")[-1] in str(caught.value)


def test_aliases_cannot_expand_without_bound():
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for before, name in zip(string.ascii_lowercase, string.ascii_lowercase[1:9], strict=False):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    with pytest.raises(InvalidFileError, match="more than 100000 values"):
        parse_yaml("\n".join(lines))


def test_a_file_that_is_not_utf_8_is_told(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(InvalidFileError, match=r"latin\.yaml cannot be read:\n.*not UTF-8"):
        read_yaml(path)


def test_a_file_larger_than_any_of_ours_is_not_parsed(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"# " + b"x" * 300_000)
    with pytest.raises(
        InvalidFileError, match=r"large\.yaml cannot be read:\n.*larger than 256 KiB"
    ):
        read_yaml(path)


def test_a_number_of_more_digits_than_can_be_read_is_told_with_its_place():
    with pytest.raises(
        InvalidFileError, match=r"1:4: document: cannot be read as a number; got 999"
    ):
        parse_yaml("a: " + "9" * 5000)


def test_every_key_that_is_given_twice_is_told():
    with pytest.raises(InvalidFileError, match=r"(?s)2:1: a: this key.*5:3: b\.c: this key"):
        parse_yaml("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n")
