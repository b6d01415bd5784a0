"""Broken files give the documented error and nothing else: no traceback, no hang."""

import copy
import json
import random

import pytest

from mnas.arch import Architecture, InvalidArchitectureError, MnasError, shipped_folder
from mnas.space import InvalidSpaceError, load_space, shipped_spaces
from tests.fuzzing import attacks, mutated_text, mutated_value

FOLDER = shipped_folder("search_spaces")
TEXTS = {name: (FOLDER / f"{name}.yaml").read_text("utf-8") for name in shipped_spaces()}
NETWORKS = [
    (FOLDER / "published" / f"{name}.json").read_text("utf-8")
    for name in ("mobilenet_v3_small", "mobilenet_v4_conv_small", "efficientnet_v2_b0")
]
SMALL = ("mobilenet_v1", "small_28", "small_64", "small_digits", "fbnet")
attack = pytest.mark.parametrize("raw", attacks().values(), ids=attacks().keys())


def try_space(path, raw: bytes) -> bool:
    """Whether a file is a space; if it is, it must work; any other error than ours passes."""
    path.write_bytes(raw)
    error, space = None, None
    try:
        space = load_space(path)
    except InvalidSpaceError as caught:
        error = caught
    if space is None:
        assert error is not None
        assert error.faults
        assert str(error).startswith(str(path))
        return False
    arch = space.sample(random.Random(0))
    assert space.decode(space.encode(arch)) == arch
    space.warnings()
    return True


def try_network(raw: bytes) -> bool:
    """Whether a text is an architecture; if it is, it must survive its own document."""
    error, arch = None, None
    try:
        arch = Architecture.from_json(raw)
    except InvalidArchitectureError as caught:
        error = caught
    if arch is None:
        assert error is not None
        assert error.faults
        return False
    assert Architecture.from_json(arch.to_json()) == arch
    return True


def broken_spaces(path, times: int, names, seed: int) -> int:
    rng, found = random.Random(seed), 0
    documents = {name: load_space(name).document.value for name in names}
    for number in range(times):
        name = rng.choice(names)
        if number % 2:
            changed = mutated_value(copy.deepcopy(documents[name]), rng)
            found += try_space(path, json.dumps(changed, ensure_ascii=False).encode())
        else:
            found += try_space(path, mutated_text(TEXTS[name], rng))
    return found


def broken_networks(times: int, seed: int) -> int:
    rng, found = random.Random(seed), 0
    for number in range(times):
        text = rng.choice(NETWORKS)
        if number % 2:
            changed = mutated_value(json.loads(text), rng)
            found += try_network(json.dumps(changed).encode())
        else:
            found += try_network(mutated_text(text, rng))
    return found


def test_mutated_spaces_work_or_give_the_documented_error(tmp_path):
    assert broken_spaces(tmp_path / "broken.yaml", 120, SMALL, seed=0) < 100


def test_mutated_architectures_work_or_give_the_documented_error():
    assert broken_networks(200, seed=0) < 150


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_thousands_of_mutated_spaces_work_or_give_the_documented_error(seed, tmp_path):
    assert broken_spaces(tmp_path / "broken.yaml", 1500, shipped_spaces(), seed) < 1500


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_thousands_of_mutated_architectures_work_or_give_the_documented_error(seed):
    assert broken_networks(5000, seed) < 5000


@attack
def test_no_attack_is_a_space(raw, tmp_path):
    assert not try_space(tmp_path / "attack.yaml", raw)


@attack
def test_no_attack_is_an_architecture(raw):
    assert not try_network(raw)


def test_a_folder_and_a_missing_file_are_told_as_such(tmp_path):
    with pytest.raises(InvalidSpaceError, match="it is a folder"):
        load_space(tmp_path)
    with pytest.raises(MnasError, match=r"missing\.yaml"):
        load_space(tmp_path / "missing.yaml")
