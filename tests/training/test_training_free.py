"""Training-free scores: contract, known values, names."""

import math
from dataclasses import replace

import pytest

from mnas.arch import Architecture, UnknownNameError, count
from mnas.training import Dataset, MisfitError, ScorerContract, score_untrained, untrained_scores
from mnas.training.training_free import SCORES


@pytest.fixture
def contract_arch(tiny: Architecture) -> Architecture:
    return tiny


@pytest.fixture
def contract_data(digits: Dataset) -> Dataset:
    return digits


class TestParams(ScorerContract):
    score = "params"


class TestMacs(ScorerContract):
    score = "macs"


class TestSynflow(ScorerContract):
    score = "synflow"


class TestZen(ScorerContract):
    score = "zen"


class TestNaswot(ScorerContract):
    score = "naswot"


class TestGradNorm(ScorerContract):
    score = "grad_norm"


def test_every_score_of_mnas_is_held_against_the_contract():
    assert {each.score for each in ScorerContract.__subclasses__()} >= set(SCORES)


def test_params_and_macs_are_those_that_are_counted(tiny, digits):
    counted = count(tiny)
    assert score_untrained(tiny, "params", data=digits) == counted.params
    assert score_untrained(tiny, "macs", data=digits) == counted.macs


@pytest.mark.parametrize("name", ["synflow", "zen"])
def test_a_deeper_network_of_positive_flow_scores_higher(tiny, digits, name):
    deeper = replace(tiny, blocks=(tiny.blocks[0], *tiny.blocks))
    assert score_untrained(deeper, name, data=digits) > score_untrained(tiny, name, data=digits)


@pytest.mark.parametrize("name", ["synflow", "zen", "naswot", "grad_norm"])
def test_another_seed_gives_another_score(tiny, digits, name):
    first, second = (score_untrained(tiny, name, data=digits, seed=seed) for seed in (0, 1))
    assert first != second
    assert math.isfinite(second)


def test_test_and_validation_images_are_not_read(tiny, digits):
    train_only = replace(digits, val=None, test=None)
    assert score_untrained(tiny, "grad_norm", data=train_only) == score_untrained(
        tiny, "grad_norm", data=digits
    )


def test_an_unknown_score_is_refused_with_the_known_ones(tiny, digits):
    with pytest.raises(UnknownNameError, match=r"did you mean 'synflow'.*grad_norm, macs, naswot"):
        score_untrained(tiny, "sinflow", data=digits)
    assert list(untrained_scores())[:6] == list(SCORES)


def test_a_network_that_does_not_fit_the_data_is_refused(tiny, digits):
    with pytest.raises(MisfitError, match="num_classes"):
        score_untrained(replace(tiny, num_classes=7), "params", data=digits)


def test_one_image_is_too_few(tiny, digits):
    with pytest.raises(ValueError, match="at least 2"):
        score_untrained(tiny, "params", data=digits, images=1)
