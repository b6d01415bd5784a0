"""Fronts and hypervolumes against their definitions, spelt out."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.results import hypervolume, non_dominated

points = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: tuple(map(float, pair))),
    min_size=1,
    max_size=12,
)
points_3d = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=6)


def beats(one, other):
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@settings(deadline=None)
@given(points)
def test_the_front_holds_what_no_other_beats(costs):
    expected = [not any(beats(other, one) for other in costs) for one in costs]

    assert non_dominated(costs).tolist() == expected


@settings(deadline=None)
@given(points.flatmap(lambda costs: st.tuples(st.just(costs), st.permutations(range(len(costs))))))
def test_the_front_does_not_depend_on_the_order(drawn):
    costs, order = drawn
    shuffled = non_dominated([costs[place] for place in order])

    assert shuffled.tolist() == non_dominated(costs)[list(order)].tolist()


@settings(deadline=None)
@given(points_3d)
def test_the_front_is_right_for_three_costs(costs):
    expected = [not any(beats(other, one) for other in costs) for one in costs]

    assert non_dominated(costs).tolist() == expected


def test_equal_candidates_are_both_on_the_front():
    assert non_dominated([(1.0, 2.0), (1.0, 2.0), (2.0, 2.0)]).tolist() == [True, True, False]


def test_no_candidates_have_an_empty_front():
    assert non_dominated(np.empty((0, 2))).tolist() == []


def test_a_cost_that_is_nan_is_refused():
    with pytest.raises(ValueError, match="a cost is NaN"):
        non_dominated([(1.0, math.nan)])
    with pytest.raises(ValueError, match="a cost is NaN"):
        hypervolume([(1.0, math.nan)], (2.0, 2.0))


def test_costs_without_rows_and_columns_are_refused():
    with pytest.raises(ValueError, match=r"must be an \(n, m\) array"):
        non_dominated([1.0, 2.0])


def covered_cells(costs, reference):
    """Unit cells below the reference that some candidate dominates, counted one by one."""
    cells = itertools.product(*(range(int(edge)) for edge in reference))
    return sum(
        any(all(a <= b for a, b in zip(c, cell, strict=True)) for c in costs) for cell in cells
    )


@settings(deadline=None)
@given(points)
def test_the_hypervolume_is_the_number_of_dominated_cells(costs):
    assert hypervolume(costs, (5.0, 6.0)) == covered_cells(costs, (5, 6))


@settings(deadline=None)
@given(points_3d)
def test_the_hypervolume_is_right_for_three_costs(costs):
    assert hypervolume(costs, (4.0, 5.0, 3.0)) == covered_cells(costs, (4, 5, 3))


def test_what_is_not_below_the_reference_adds_nothing():
    assert hypervolume([(5.0, 0.0), (0.0, 5.0)], (5.0, 5.0)) == 0.0
    assert hypervolume(np.empty((0, 2)), (5.0, 5.0)) == 0.0


def test_a_reference_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match="one number for each cost"):
        hypervolume([(1.0, 2.0)], (3.0,))
    with pytest.raises(ValueError, match="the reference holds NaN"):
        hypervolume([(1.0, 2.0)], (3.0, math.nan))
