"""Spaces over encodings as arrays: everything equals what the scalar calls give."""

import dataclasses
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.arch import count, plan
from mnas.space import (
    CompiledSpace,
    InvalidChoicesError,
    OutsideSpaceError,
    SearchSpace,
    TooManyStepsError,
    load_space,
    shipped_spaces,
)
from mnas.space import levels as levels_module
from mnas.space.automaton import Automaton
from mnas.space.choices import branches
from mnas.space.levels import tables_of
from mnas.space.variation import completed
from tests.space.documents import space_of_document
from tests.strategies import space_documents

seeds = st.integers(0, 2**32)
SMALL = load_space("small_digits")


def all_rows(space: SearchSpace, compiled: CompiledSpace) -> np.ndarray:
    """The canonical row of every encoding, by the scalar walk."""
    rows = []
    for asked, _ in branches(lambda ask: space._paths.walk(ask)[0]):
        by_name = {choice.name: index for choice, index in asked.items()}
        rows.append([by_name.get(name, 0) for name in compiled.names])
    return np.array(rows, np.uint8).reshape(len(rows), len(compiled.names))


def draw_rows(compiled: CompiledSpace, n: int, seed: int) -> np.ndarray:
    """Rows with anything in their inactive columns."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, compiled.radices, (n, len(compiled.names)), np.uint8)


def mate_of(space: SearchSpace, compiled: CompiledSpace, row: np.ndarray, column: int, option: int):
    """What `neighbours` makes of one changed choice."""
    own = compiled.choices_of(row)
    name = compiled.names[column]
    return completed(space._paths, {**own, name: compiled.options[column][option]})


@settings(max_examples=15, deadline=None)
@given(space_documents(), seeds)
def test_rows_decode_and_encode_as_choices_do(document, seed):
    space = space_of_document(document)
    compiled = space.compile()
    for row in compiled.sample(10, np.random.default_rng(seed)):
        choices = compiled.choices_of(row)
        arch = compiled.decode(row)
        assert arch == space.decode(choices)
        assert (compiled.row_of(choices) == row).all()
        assert compiled.choices_of(compiled.encode(arch)) == space.encode(arch)
        assert compiled.decode(compiled.encode(arch)) == arch


@settings(max_examples=15, deadline=None)
@given(space_documents(), seeds)
def test_the_active_choices_are_those_that_the_walk_asks(document, seed):
    space = space_of_document(document)
    compiled = space.compile()
    rows = draw_rows(compiled, 20, seed)
    for row, active in zip(rows, compiled.active(rows), strict=True):
        _, asked = space._paths.walk(
            lambda choice, row=row: int(row[compiled.names.index(choice.name)]),
        )
        assert {
            name for name, is_active in zip(compiled.names, active, strict=True) if is_active
        } == set(asked)


@settings(max_examples=15, deadline=None)
@given(space_documents(), seeds)
def test_canonical_rows_say_the_same_and_are_as_many_as_encodings(document, seed):
    space = space_of_document(document)
    compiled = space.compile()
    rows = draw_rows(compiled, 20, seed)
    canonical = compiled.canonical(rows)
    assert (compiled.canonical(canonical) == canonical).all()
    assert (compiled.active(canonical) == compiled.active(rows)).all()
    assert (canonical[~compiled.active(rows)] == 0).all()
    assert [compiled.decode(row) for row in rows] == [compiled.decode(row) for row in canonical]
    known = {row.tobytes() for row in all_rows(space, compiled)}
    assert len(known) == space.size().encodings
    assert {row.tobytes() for row in canonical} <= known


@settings(max_examples=20, deadline=None)
@given(space_documents())
def test_counts_of_every_encoding_are_those_of_its_architecture(document):
    space = space_of_document(document)
    compiled = space.compile()
    rows = all_rows(space, compiled)
    rows = rows[:: max(1, len(rows) // 200)]
    counts = [count(compiled.decode(row)) for row in rows]
    assert compiled.params(rows).tolist() == [each.params for each in counts]
    assert compiled.macs(rows).tolist() == [each.macs for each in counts]
    peaks = [each.peak_activation_bytes for each in counts]
    assert compiled.peak_activation_bytes(rows).tolist() == peaks


@settings(max_examples=15, deadline=None)
@given(space_documents(), seeds)
def test_a_block_sum_adds_up_each_planned_block_of_the_network(document, seed):
    space = space_of_document(document)
    compiled = space.compile()
    cost = {block.key: 1 + index / 7 for index, block in enumerate(compiled.blocks)}
    rows = draw_rows(compiled, 20, seed)
    expected = [sum(cost[block.key] for block in plan(compiled.decode(row)).blocks) for row in rows]
    summed = compiled.block_sum(lambda block: cost[block.key])
    assert summed(rows) == pytest.approx(expected, rel=1e-12)
    assert {block.key for block in compiled.blocks} == set(space.reachable_blocks())


@settings(max_examples=20, deadline=None)
@given(space_documents(), seeds)
def test_no_network_costs_less_or_more_than_the_extremes(document, seed):
    space = space_of_document(document)
    compiled = space.compile()
    rng = random.Random(seed)
    cost = {block.key: rng.uniform(-1, 3) for block in compiled.blocks}
    rows = all_rows(space, compiled)
    sums = compiled.block_sum(lambda block: cost[block.key])(rows)
    extremes = np.array(compiled.extremes(lambda block: cost[block.key]))
    assert (compiled.canonical(extremes) == extremes).all()
    found = compiled.block_sum(lambda block: cost[block.key])(extremes)
    assert found == pytest.approx([sums.min(), sums.max()], rel=1e-12, abs=1e-12)


def test_each_encoding_is_drawn_as_often_as_the_scalar_sampler_draws_it():
    stage = {"op": "conv", "kernel": {"each": [1, 3, 5]}, "depth": [0, 1, 2], "activation": "relu"}
    space = space_of_document(
        {
            "schema": "mnas.space/1",
            "name": "uneven",
            "input": {"channels": 3, "resolution": 16},
            "stem": {"kernel": 3, "stride": 2, "out_channels": 8, "activation": "relu"},
            "stages": [{**stage, "out_channels": [8, 16]}],
            "head": [{"op": "pool"}],
        }
    )
    compiled = space.compile()
    rows = compiled.sample(60_000, np.random.default_rng(0))
    found = Counter(row.tobytes() for row in rows)
    every = all_rows(space, compiled)
    assert set(found) == {row.tobytes() for row in every}
    for row, active in zip(every, compiled.active(every), strict=True):
        chance = float(np.prod(1 / compiled.radices[active]))
        spread = (60_000 * chance * (1 - chance)) ** 0.5
        assert abs(found[row.tobytes()] - 60_000 * chance) < 4.5 * spread


@settings(max_examples=15, deadline=None)
@given(space_documents(), seeds)
def test_a_mutant_is_a_neighbour_of_its_row(document, seed):
    space = space_of_document(document)
    compiled = space.compile()
    rng = np.random.default_rng(seed)
    rows = compiled.sample(20, rng)
    mutants = compiled.mutate(rows, rng)
    assert (compiled.canonical(mutants) == mutants).all()
    active = compiled.active(rows) & (compiled.radices > 1)
    for row, mutant, own in zip(rows, mutants, active, strict=True):
        if not own.any():
            assert (mutant == row).all()
            continue
        near = [
            mate_of(space, compiled, row, column, option)
            for column in np.flatnonzero(own)
            for option in range(compiled.radices[column])
            if option != row[column]
        ]
        assert compiled.decode(mutant) in near


def test_every_active_choice_mutates_to_every_other_option():
    compiled = SMALL.compile()
    row = compiled.sample(1, np.random.default_rng(3))
    mutants = compiled.mutate(np.repeat(row, 4000, axis=0), np.random.default_rng(4))
    changed = {
        (int(column), int(mutant[column]))
        for mutant in mutants
        for column in np.flatnonzero(compiled.active(row)[0] & (mutant != row[0]))
    }
    (active,) = compiled.active(row)
    assert changed == {
        (column, option)
        for column in np.flatnonzero(active)
        for option in range(compiled.radices[column])
        if option != row[0, column]
    }


@settings(max_examples=15, deadline=None)
@given(space_documents(), seeds)
def test_a_child_has_each_choice_from_a_parent_that_has_it(document, seed):
    space = space_of_document(document)
    compiled = space.compile()
    rng = np.random.default_rng(seed)
    first, second = compiled.sample(20, rng), compiled.sample(20, rng)
    children = compiled.cross(first, second, rng)
    assert (compiled.canonical(children) == children).all()
    active = compiled.active(children)
    in_first, in_second = compiled.active(first), compiled.active(second)
    inherited = (in_first & (children == first)) | (in_second & (children == second))
    assert (inherited | ~active | ~(in_first | in_second)).all()
    for child in children:
        assert space.contains(compiled.decode(child))


def test_equal_parents_have_equal_children():
    compiled = load_space("ofa_mobilenet_v3").compile()
    rows = compiled.sample(100, np.random.default_rng(0))
    assert (compiled.cross(rows, rows, np.random.default_rng(1)) == rows).all()


@pytest.mark.parametrize("name", shipped_spaces())
def test_shipped_spaces_compile_and_count_exactly(name):
    space = load_space(name)
    compiled = space.compile()
    assert compiled is space.compile()
    assert dict(zip(compiled.names, compiled.options, strict=True)) == dict(space.choices)
    rows = compiled.sample(5, np.random.default_rng(0))
    counts = [count(compiled.decode(row)) for row in rows]
    assert compiled.params(rows).tolist() == [each.params for each in counts]
    assert compiled.macs(rows).tolist() == [each.macs for each in counts]
    for arch in [space.sample(random.Random(seed)) for seed in range(3)]:
        assert compiled.decode(compiled.encode(arch)) == arch


def test_a_space_of_one_network_is_counted_for_any_number_of_rows():
    stage = {
        **{"op": "inverted_residual", "depth": 1, "kernel": 3, "expansion": 3},
        **{"out_channels": 24, "stride": 2, "activation": "relu"},
    }
    fixed = {"schema": "mnas.space/1", "name": "one", "stages": [stage], "head": [{"op": "pool"}]}
    space = space_of_document(
        {
            **fixed,
            "input": {"channels": 3, "resolution": 32},
            "stem": {"kernel": 3, "stride": 2, "out_channels": 16, "activation": "relu"},
        }
    )
    compiled, rng = space.compile(), np.random.default_rng(0)
    (only,) = space.enumerate()

    for rows in (5, 1, 3, 0):
        assert compiled.params(compiled.sample(rows, rng)).tolist() == [count(only).params] * rows


def test_what_is_no_row_is_refused():
    compiled = SMALL.compile()
    rows = compiled.sample(3, np.random.default_rng(0))
    with pytest.raises(InvalidChoicesError, match=r"uint8 array of shape \(n, 22\); got int64"):
        compiled.macs(rows.astype(np.int64))
    with pytest.raises(InvalidChoicesError, match=r"got uint8 of shape \(3, 21\)"):
        compiled.active(rows[:, 1:])
    rows[1, 0] = 9
    with pytest.raises(InvalidChoicesError, match=r"row 1: width: got option 9; it has \d"):
        compiled.params(rows)
    with pytest.raises(InvalidChoicesError, match="one mate; got 2 and 1 rows"):
        compiled.cross(rows[:1].repeat(2, axis=0), rows[:1], np.random.default_rng(0))
    with pytest.raises(OutsideSpaceError, match="num_classes: got 3"):
        compiled.encode(dataclasses.replace(SMALL.sample(random.Random(0)), num_classes=3))
    with pytest.raises(InvalidChoicesError, match="resolution: missing"):
        compiled.row_of({"width": 1.0})


def test_a_choice_of_too_many_options_is_refused_with_its_name():
    document = {
        **SMALL.document.value,
        "input": {"channels": 1, "resolution": list(range(24, 324))},
    }
    with pytest.raises(TooManyStepsError, match=r"resolution has 300 options.* can have 255"):
        space_of_document(document).compile()


def test_tables_past_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(levels_module, "MOST_ENTRIES", 100)
    automaton = Automaton(SMALL._identified.template)
    with pytest.raises(TooManyStepsError, match=r"more than 100 table entries.* use fewer"):
        tables_of(automaton, list(SMALL._choices.values()))
