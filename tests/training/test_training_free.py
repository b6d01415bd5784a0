"""Training-free scores: contract, known values, names."""

import math
from dataclasses import replace

import pytest
from plug_ins import on_the_path, write_package

from mnas.arch import Architecture, UnknownNameError, count
from mnas.training import (
    Dataset,
    InvalidScoreError,
    MisfitError,
    ScorerContract,
    score_untrained,
    untrained_scores,
)
from mnas.training.training_free import GROUP, SCORES


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


DEPTH = """\
from torch import nn

def depth(module, pixels, labels):
    return float(sum(isinstance(part, nn.Conv2d) for part in module.modules()))

NUMBER = 3

def endless(module, pixels, labels):
    return float("inf")
"""


def test_a_package_adds_a_score_by_an_entry_point(tiny, digits, tmp_path):
    deeper = replace(tiny, blocks=(tiny.blocks[0], *tiny.blocks))
    write_package(tmp_path, {"depth": "plugin:depth"}, DEPTH, GROUP)

    with on_the_path(tmp_path):
        assert list(untrained_scores()) == [*SCORES, "depth"]
        shallow, deep = (score_untrained(each, "depth", data=digits) for each in (tiny, deeper))
        assert shallow < deep
        with pytest.raises(UnknownNameError, match=r"'depht'.*did you mean 'depth'"):
            score_untrained(tiny, "depht", data=digits)
    assert list(untrained_scores()) == list(SCORES)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        (
            {"lost": "nowhere:lost"},
            r"'lost' of the package plugin \(nowhere:lost\) cannot be loaded: ModuleNotFoundError",
        ),
        (
            {"lost": "plugin:lost"},
            r"'lost' of the package plugin \(plugin:lost\) cannot be loaded: AttributeError",
        ),
        ({"number": "plugin:NUMBER"}, "'number' .* must be a function; got 3"),
        ({"zen": "plugin:depth"}, "'zen' .* there is a score of that name already"),
    ],
)
def test_a_score_of_a_package_that_cannot_be_one_is_named(tmp_path, entries, problem):
    write_package(tmp_path, entries, DEPTH, GROUP)

    with on_the_path(tmp_path), pytest.raises(InvalidScoreError, match=problem):
        untrained_scores()


def test_a_score_that_is_no_finite_number_is_refused_with_its_network(tiny, digits, tmp_path):
    write_package(tmp_path, {"endless": "plugin:endless"}, DEPTH, GROUP)

    with on_the_path(tmp_path), pytest.raises(InvalidScoreError, match=rf"{tiny.id} is inf"):
        score_untrained(tiny, "endless", data=digits)
