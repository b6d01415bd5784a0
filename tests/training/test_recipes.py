import dataclasses

import pytest

from mnas.training import FilterRule, FullRecipe, ProxyRecipe, RecipeError


@pytest.mark.parametrize("epochs", [(), (0, 1), (3, 1), (2, 2)])
def test_rungs_that_do_not_increase_are_refused(epochs):
    with pytest.raises(RecipeError, match="epochs must be increasing numbers of at least 1"):
        ProxyRecipe(epochs=epochs)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("batch_size", 1, "must be at least 2"),
        ("learning_rate", 0.0, "must be above 0"),
        ("optimizer", "adam", "must be 'sgd' or 'adamw'"),
        ("weight_decay", -1.0, "must be at least 0"),
        ("clip_norm", 0.0, "must be above 0"),
        ("warmup_epochs", -1.0, "must be at least 0"),
        ("momentum", 1.0, "must be at least 0 and below 1"),
        ("label_smoothing", -0.1, "must be at least 0 and below 1"),
        ("average_decay", 1.5, "must be at least 0 and below 1"),
        ("shift", 1.0, "must be at least 0 and below 1"),
        ("recalibration_images", 1, "must be at least 2"),
    ],
)
def test_impossible_value_is_named_with_what_is_allowed(field, value, allowed):
    for recipe in (ProxyRecipe(epochs=(1,)), FullRecipe()):
        with pytest.raises(RecipeError, match=f"{field} {allowed}.*; got {value!r}"):
            dataclasses.replace(recipe, **{field: value})


def test_all_impossible_values_are_told_at_once():
    with pytest.raises(RecipeError, match=r"batch_size must .*; shift must "):
        ProxyRecipe(epochs=(1,), batch_size=0, shift=2.0)


@pytest.mark.parametrize(("field", "value"), [("samples", 1), ("timeout_s", 0.0)])
def test_impossible_limit_of_a_proxy_is_refused(field, value):
    with pytest.raises(RecipeError, match=f"{field} must be .*; got {value}"):
        ProxyRecipe(epochs=(1,), **{field: value})


def test_full_training_needs_an_epoch():
    with pytest.raises(RecipeError, match="epochs must be at least 1; got 0"):
        FullRecipe(epochs=0)


def test_digest_differs_with_what_decides_a_score_and_with_nothing_else():
    recipe = ProxyRecipe(epochs=(1, 3, 9))
    same = ProxyRecipe(epochs=(3, 9), timeout_s=60.0, filter=FilterRule(score="zen"))
    others = [
        dataclasses.replace(recipe, **change)
        for change in ({"epochs": (1, 3)}, {"samples": 500}, {"shift": 0.0}, {"batch_size": 32})
    ]
    assert same.digest == recipe.digest
    assert len({recipe.digest, *(other.digest for other in others)}) == 5
