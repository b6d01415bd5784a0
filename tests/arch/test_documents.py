"""Architecture documents: round trip, one id for one network, every fault told at once."""

import dataclasses
import hashlib
import json
import pickle
from collections.abc import Callable
from typing import Any

import golden
import pytest
from hypothesis import given
from strategies import architectures

from mnas.arch import Architecture, InvalidArchitectureError

Change = Callable[[dict[str, Any]], object]
NAME = "tv_mobilenet_v3_large"


def changed(change: Change) -> str:
    document = json.loads(golden.document(NAME))
    change(document)
    return json.dumps(document)


def faults_of(text: str | bytes) -> dict[str, str]:
    with pytest.raises(InvalidArchitectureError, match=r"architecture") as caught:
        Architecture.from_json(text)
    return {fault.place: fault.problem for fault in caught.value.faults}


@given(arch=architectures())
def test_a_document_is_read_back_as_the_same_network(arch: Architecture) -> None:
    again = Architecture.from_json(arch.to_json())

    assert again == arch
    assert again.id == arch.id
    assert again.to_json() == arch.to_json()


@pytest.mark.parametrize("name", golden.NAMES)
def test_a_published_document_is_written_as_it_was_read(name: str) -> None:
    text = golden.document(name)

    assert json.loads(Architecture.from_json(text).to_json()) == json.loads(text)


@pytest.mark.parametrize("name", golden.NAMES)
def test_the_id_is_the_hash_of_the_document_without_its_name(name: str) -> None:
    arch = golden.architecture(name)
    document = json.loads(arch.to_json())
    del document["name"]

    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))

    assert arch.id == hashlib.sha256(canonical.encode()).hexdigest()[:12]


@given(arch=architectures())
def test_the_name_is_not_in_the_id(arch: Architecture) -> None:
    assert dataclasses.replace(arch, name=arch.name + " again").id == arch.id


@pytest.mark.parametrize("spelling", ["0", "0.0", "-0.0", "0e5"])
def test_every_spelling_of_a_number_in_a_file_gives_one_id(spelling: str) -> None:
    text = golden.document(NAME).replace('"dropout": 0.2', f'"dropout": {spelling}')
    expected = dataclasses.replace(golden.architecture(NAME), dropout=0.0)

    arch = Architecture.from_json(text)

    assert (arch, arch.id) == (expected, expected.id)


def test_whole_numbers_in_python_give_the_id_of_the_document() -> None:
    arch = golden.architecture(NAME)
    whole = dataclasses.replace(arch, dropout=0, norm=dataclasses.replace(arch.norm, momentum=1))

    assert whole.id == Architecture.from_json(whole.to_json()).id
    assert '"momentum": 1.0' in whole.to_json()


def test_a_list_of_blocks_becomes_a_tuple() -> None:
    arch = golden.architecture(NAME)

    listed = dataclasses.replace(arch, blocks=list(arch.blocks), head=list(arch.head))

    assert listed == arch
    assert hash(listed) == hash(arch)
    assert listed.id == arch.id


def test_architectures_differ_by_any_of_their_numbers() -> None:
    arch = golden.architecture(NAME)
    first, *others = arch.blocks

    other = dataclasses.replace(arch, blocks=(dataclasses.replace(first, kernel=5), *others))

    assert other != arch
    assert other.id != arch.id


@given(arch=architectures())
def test_an_architecture_is_a_value_that_travels(arch: Architecture) -> None:
    copy = pickle.loads(pickle.dumps(arch))

    assert copy == arch
    assert hash(copy) == hash(arch)
    assert copy.id == arch.id


@pytest.mark.parametrize("field", ["name", "blocks", "dropout"])
def test_an_architecture_cannot_be_changed(field: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{field}'"):
        setattr(golden.architecture(NAME), field, None)


def test_all_faults_of_the_fields_are_told_at_once_with_their_places() -> None:
    def spoil(document: dict[str, Any]) -> None:
        blocks = document["blocks"]
        del blocks[0]["kernel"]
        blocks[1]["kernel"] = "3"
        blocks[2]["activation"] = "swish"
        blocks[3]["kernal"] = 3
        blocks[4]["op"] = "invertedresidual"
        del blocks[5]["op"]
        blocks[6]["se"] = {"channels": 3, "activation": "relu"}
        blocks[7]["residual"] = 1
        document["head"][0]["pool"] = True
        document["padding"] = "SAME"
        document["input"]["resolution"] = 224.0
        document["nom"] = {}

    faults = faults_of(changed(spoil))

    assert faults.pop("blocks.4.op").endswith("(did you mean 'inverted_residual'?)")
    assert faults.pop("blocks.2.activation").endswith("got 'swish'")
    assert faults == {
        "input.resolution": "must be a valid integer; got 224.0",
        "padding": "must be 'symmetric' or 'same'; got 'SAME'",
        "blocks.0.kernel": "this field is required",
        "blocks.1.kernel": "must be a valid integer; got '3'",
        "blocks.3.kernal": "unknown field (did you mean 'kernel'?)",
        "blocks.5.op": "this field is required",
        "blocks.6.se.gate": "this field is required",
        "blocks.7.residual": "must be a valid boolean; got 1",
        "head.0.pool": "unknown field",
        "nom": "unknown field (did you mean 'norm'?)",
    }


def test_a_fault_of_a_squeeze_hides_none_of_its_others() -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["blocks"][3]["se"] = {"channels": 0, "activation": "x", "hue": 1}

    assert sorted(faults_of(changed(spoil))) == [
        "blocks.3.se.activation",
        "blocks.3.se.channels",
        "blocks.3.se.gate",
        "blocks.3.se.hue",
    ]


def test_faults_of_the_fields_hide_none_of_the_sizes() -> None:
    def spoil(document: dict[str, Any]) -> None:
        blocks = document["blocks"]
        document["input"]["resolution"] = 224.0
        document["dropout"] = 2
        blocks[0] |= {"se": {"channels": 3}, "kernel": 4}
        blocks[1] |= {"op": "invertedresidual", "out_channels": 25}
        blocks[2] |= {"residual": True, "kernal": 3}  # 25 channels come in, 24 go out
        blocks[3] |= {"out_channels": "many"}
        blocks[4] |= {"residual": True}  # after a block of unknown channels: not judged
        blocks[5] |= {"out_channels": 0}
        document["head"][0]["out_channels"] = -1
        document["head"][2]["bias"] = "no"

    faults = faults_of(changed(spoil))

    assert sorted(faults) == [
        "blocks.0.kernel",
        "blocks.0.se.activation",
        "blocks.0.se.gate",
        "blocks.1.op",
        "blocks.2.kernal",
        "blocks.2.residual",
        "blocks.3.out_channels",
        "blocks.5.out_channels",  # and not its residual, which only follows from it
        "dropout",
        "head.0.out_channels",
        "head.2.bias",
        "input.resolution",
    ]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.pop("schema"), "schema"),
        (lambda d: d.update(schema="mnas.architecture/2"), "schema"),
        (lambda d: d.pop("dropout"), "dropout"),
        (lambda d: d.update(num_classes=True), "num_classes"),
        (lambda d: d.update(num_classes=None), "num_classes"),
        (lambda d: d.update(blocks={}), "blocks"),
        (lambda d: d["blocks"].insert(0, None), "blocks.0"),
        (lambda d: d["blocks"][0].pop("se"), "blocks.0.se"),
        (lambda d: d["blocks"][0].update(expanded_channels=16), "blocks.0.expanded_channels"),
        (lambda d: d["stem"].update(residual=False), "stem.residual"),
        (lambda d: d["head"][2].pop("bias"), "head.2.bias"),
        (lambda d: d["norm"].update(eps="1e-3"), "norm.eps"),
    ],
)
def test_a_faulty_field_is_named(change: Change, place: str) -> None:
    assert list(faults_of(changed(change))) == [place]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff\xfe", "[" * 100_000])
def test_text_that_is_no_document_is_refused_as_a_whole(text: str | bytes) -> None:
    assert list(faults_of(text)) == [""]


def test_a_field_written_twice_is_refused_with_its_place() -> None:
    text = golden.document(NAME)
    twice = text.replace('"num_classes": 1000', '"num_classes": 10, "num_classes": 1000').replace(
        '"expanded_channels": 72', '"expanded_channels": 73, "expanded_channels": 72', 1
    )

    assert faults_of(twice) == {
        "num_classes": "must be written once; got it 2 times",
        "blocks.2.expanded_channels": "must be written once; got it 2 times",
    }
