"""A walk works out what it takes and no more, and forgets what has grown large."""

import random

import pytest

from mnas.space import load_space, walking
from mnas.space.automaton import automaton_of
from mnas.space.walking import Paths


@pytest.fixture
def paths():
    return Paths(automaton_of(load_space("small_28")._identified))


def first_of_each(choice):
    return 0


def test_a_first_walk_works_out_its_own_way_only(paths, monkeypatch):
    opened = []
    monkeypatch.setattr(
        walking,
        "follow",
        lambda run, answers, follow=walking.follow: opened.append(answers) or follow(run, answers),
    )

    architecture, chosen = paths.walk(first_of_each)

    positions = 2 * len(architecture.blocks) + 4  # at most: begin, head, stages, layers
    assert len(opened) <= len(chosen) + positions


def test_a_way_that_was_walked_is_looked_up(paths, monkeypatch):
    first, _ = paths.walk(first_of_each)
    monkeypatch.setattr(walking, "follow", None)

    again, _ = paths.walk(first_of_each)

    assert again == first


def test_forgetting_what_has_grown_changes_no_draw(paths, monkeypatch):
    expected = [paths.draw(random.Random(seed).random) for seed in range(20)]
    monkeypatch.setattr(walking, "_MOST_GROWN", 0)

    assert [paths.draw(random.Random(seed).random) for seed in range(20)] == expected
