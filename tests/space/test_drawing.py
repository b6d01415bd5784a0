"""Drawing distinct architectures, mutants and children."""

import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.space import OutsideSpaceError, TooManyStepsError, load_published, load_space
from mnas.space.automaton import Automaton
from mnas.space.distinct import DistinctArchitectures
from tests.space.documents import space_of_document
from tests.strategies import space_documents

seeds = st.integers(0, 2**32)
SMALL = load_space("small_digits")
TWICE = {
    "schema": "mnas.space/1",
    "name": "twice",
    "input": {"channels": 3, "resolution": 16},
    "width": [1.0, 2.0],
    "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
    "stages": [
        {
            "op": ["conv", "identity"],
            "kernel": {"each": [1, 3]},
            "depth": [1, 2],
            "out_channels": 8,
            "activation": "relu",
        }
    ]
    * 2,
    "head": [{"op": "pool"}],
}


@settings(max_examples=20, deadline=None)
@given(space_documents(), seeds)
def test_a_distinct_draw_is_an_architecture_of_the_space(document, seed):
    space = space_of_document(document)
    for _ in range(5):
        assert space.contains(space.sample(random.Random(seed), distinct=True))


def test_each_distinct_architecture_is_drawn_equally_often_however_many_encodings_it_has():
    space = space_of_document(TWICE)
    every = set(space.enumerate())
    assert len(every) < space.size().encodings
    rng, draws = random.Random(0), 200 * len(every)
    found = Counter(space.sample(rng, distinct=True) for _ in range(draws))
    assert set(found) == every
    spread = (200 * (1 - 1 / len(every))) ** 0.5
    assert all(abs(times - 200) < 4.5 * spread for times in found.values())


def test_a_seed_draws_the_same_distinct_architecture_in_every_process():
    code = (
        "import random, mnas\n"
        "space = mnas.load_space('proxylessnas')\n"
        "print(space.sample(random.Random(7), distinct=True).id)\n"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert drawn == {load_space("proxylessnas").sample(random.Random(7), distinct=True).id + "\n"}


def test_past_the_limit_distinct_architectures_are_not_drawn():
    with pytest.raises(TooManyStepsError, match="more than 10 steps"):
        DistinctArchitectures(Automaton(SMALL._identified.template), most_steps=10)


@settings(max_examples=20, deadline=None)
@given(space_documents(), seeds)
def test_a_mutant_is_another_neighbour(document, seed):
    space = space_of_document(document)
    rng = random.Random(seed)
    arch = space.sample(rng)
    near = space.neighbours(arch)
    mutant = space.mutate(arch, rng)
    assert mutant in near if near else mutant == arch


def test_every_neighbour_is_some_mutant():
    arch = SMALL.sample(random.Random(2))
    rng = random.Random(3)
    assert {SMALL.mutate(arch, rng) for _ in range(800)} == set(SMALL.neighbours(arch))


@settings(max_examples=20, deadline=None)
@given(space_documents(), seeds)
def test_a_child_is_inside_and_has_its_parents_choices(document, seed):
    space = space_of_document(document)
    rng = random.Random(seed)
    first, second = space.sample(rng), space.sample(rng)
    child = space.cross(first, second, rng)
    assert space.contains(child)
    assert space.cross(first, first, rng) == first


def test_a_child_takes_about_half_from_each_parent():
    space = load_space("ofa_mobilenet_v3")
    first, second = (space.sample(random.Random(seed)) for seed in (1, 2))
    mother, father = space.encode(first), space.encode(second)
    apart = [name for name in mother if name in father and mother[name] != father[name]]
    rng = random.Random(0)
    children = [space.encode(space.cross(first, second, rng)) for _ in range(60)]
    for name in apart:
        having = [child for child in children if name in child]
        share = sum(child[name] == mother[name] for child in having) / len(having)
        assert 0.2 < share < 0.8


def test_what_is_not_in_the_space_neither_mutates_nor_has_children():
    stranger, own = load_published("mobilenet_v2"), SMALL.sample(random.Random(0))
    with pytest.raises(OutsideSpaceError, match=r"mobilenet_v2 is not in small_digits"):
        SMALL.mutate(stranger, random.Random(0))
    with pytest.raises(OutsideSpaceError, match=r"mobilenet_v2 is not in small_digits"):
        SMALL.cross(own, stranger, random.Random(0))
