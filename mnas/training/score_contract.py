"""The tests that every training-free score passes; one that a package adds inherits them."""

import math
from typing import ClassVar

import torch

from mnas.arch import Architecture
from mnas.training.dataset import Dataset
from mnas.training.training_free import score_untrained


class ScorerContract:
    """What mnas relies on in a training-free score, as tests for pytest.

    Inherit it under a name that begins with `Test`, set `score`, and give the fixtures
    `contract_arch` (an architecture) and `contract_data` (data that fits it).

    Attributes:
        score: Name of the score.
    """

    score: ClassVar[str] = ""

    def test_it_is_a_finite_number(
        self, contract_arch: Architecture, contract_data: Dataset
    ) -> None:
        value = score_untrained(contract_arch, self.score, data=contract_data)
        assert math.isfinite(value)

    def test_same_arguments_give_the_same_bits_whatever_was_drawn_before(
        self, contract_arch: Architecture, contract_data: Dataset
    ) -> None:
        first = score_untrained(contract_arch, self.score, data=contract_data, seed=3)
        torch.rand(7)
        assert score_untrained(contract_arch, self.score, data=contract_data, seed=3) == first

    def test_the_callers_random_numbers_are_left_alone(
        self, contract_arch: Architecture, contract_data: Dataset
    ) -> None:
        before = torch.default_generator.get_state()
        score_untrained(contract_arch, self.score, data=contract_data)
        assert torch.equal(torch.default_generator.get_state(), before)
