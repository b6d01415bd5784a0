import random

from mnas.search.ladder import is_promoted


def test_first_result_of_a_rung_goes_on():
    assert is_promoted([(-0.5, 1.0)])


def test_best_of_many_goes_on_and_worst_stops():
    earlier = [(-0.1 * index,) for index in range(1, 9)]

    assert is_promoted([*earlier, (-0.9,)])
    assert not is_promoted([*earlier, (-0.05,)])


def test_third_of_three_stops():
    assert not is_promoted([(-0.9,), (-0.8,), (-0.7,)])


def test_dominated_result_stops_and_fast_one_on_the_front_goes_on():
    earlier = [(-0.9, 2.0), (-0.8, 2.1), (-0.7, 2.2), (-0.6, 2.3), (-0.5, 2.4)]

    assert is_promoted([*earlier, (-0.4, 0.5)])
    assert not is_promoted([*earlier, (-0.4, 2.5)])


def test_about_a_third_of_equally_drawn_candidates_goes_on():
    rng = random.Random(0)
    costs = [(rng.random(),) for _ in range(400)]

    share = sum(is_promoted(costs[: n + 1]) for n in range(400)) / 400

    assert 0.28 < share < 0.40
