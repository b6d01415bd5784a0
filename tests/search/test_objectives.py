import pytest

from mnas.arch import count
from mnas.search.objectives import Objectives

LATENCY = {"phone": 8.0, "board": 30.0}


@pytest.fixture
def counts(space):
    return count(next(iter(space.enumerate())))


def test_every_latency_and_every_count_asked_for_is_an_objective_of_its_own(counts):
    objectives = Objectives(
        targets=("phone", "board"), with_latency=True, counts=("params", "peak_activation_bytes")
    )

    assert objectives.directions == ("maximize", *["minimize"] * 4)
    assert objectives.values(0.9, LATENCY, counts) == (
        0.9,
        8.0,
        30.0,
        counts.params,
        counts.peak_activation_bytes,
    )
    assert objectives.costs(0.9, LATENCY, counts)[0] == -0.9


@pytest.mark.parametrize(
    ("exponent", "over", "budget_ms", "reward"),
    [
        (-0.07, None, 16.0, 0.9 * 0.5**-0.07),  # soft: fast is worth something, slow costs
        (-0.07, None, 4.0, 0.9 * 2**-0.07),
        (0.0, -1.0, 16.0, 0.9),  # hard: nothing but accuracy within the budget
        (0.0, -1.0, 4.0, 0.45),
    ],
)
def test_the_reward_is_that_of_the_paper_soft_and_hard(counts, exponent, over, budget_ms, reward):
    objectives = Objectives(
        targets=("phone",), exponent=exponent, exponent_over=over, budget_ms=budget_ms
    )

    assert objectives.directions == ("maximize",)
    assert objectives.values(0.9, LATENCY, counts) == (pytest.approx(reward),)
