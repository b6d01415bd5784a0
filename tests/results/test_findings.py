"""What the report works out from records: rank agreement, importance, growth, wording."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.results.candidates import Candidate
from mnas.results.importance import choice_importance
from mnas.results.markup import element, join, json_element, trusted
from mnas.results.progress import growth
from mnas.results.trust import rank_correlation, seed_noise
from mnas.results.verdicts import Gain
from mnas.results.wording import Accuracies, amount, duration, listed, milliseconds, points


def test_equal_rankings_agree_and_reversed_ones_disagree():
    numbers = [float(number) for number in range(12)]

    same = rank_correlation(list(zip(numbers, numbers, strict=True)))
    turned = rank_correlation([(number, -number) for number in numbers])

    assert (same.n, same.rho) == (12, pytest.approx(1.0))
    assert turned.rho == pytest.approx(-1.0)
    assert same.low is not None
    assert same.low > 0.9


def test_the_interval_holds_the_correlation_and_narrows_with_more_networks():
    rng = random.Random(0)
    pairs = [(x, x + rng.gauss(0, 0.3)) for x in (rng.random() for _ in range(80))]
    few, many = rank_correlation(pairs[:12]), rank_correlation(pairs)

    for found in (few, many):
        assert None not in (found.rho, found.low, found.high)
        assert -1 <= found.low < found.rho < found.high <= 1
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize("pairs", [[], [(1.0, 2.0), (2.0, 1.0)], [(1.0, 2.0)] * 8])
def test_too_few_networks_or_only_ties_have_no_correlation(pairs):
    assert rank_correlation(pairs).rho is None


def test_a_handful_of_networks_has_a_correlation_without_an_interval():
    found = rank_correlation([(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 4.0)])

    assert found.rho == pytest.approx(0.8)
    assert found.low is None


def test_seed_noise_is_pooled_over_networks(networks, make_record):
    found = [
        Candidate(record=make_record(networks[0]), accuracies=(0.90, 0.92)),
        Candidate(record=make_record(networks[1]), accuracies=(0.80, 0.82)),
        Candidate(record=make_record(networks[2]), accuracies=(0.99,)),
    ]

    noise = seed_noise(found)

    assert noise is not None
    assert noise.deviation == pytest.approx(math.sqrt(2) / 100)
    assert noise.span == pytest.approx(0.1)
    assert (noise.trainings, noise.networks) == (4, 2)


def test_networks_trained_once_have_no_seed_noise(networks, make_record):
    assert seed_noise([Candidate(record=make_record(networks[0]), accuracies=(0.9,))]) is None


def test_the_choice_that_made_the_accuracy_is_found(networks, make_record):
    rng = random.Random(0)
    records = []
    for seed in range(60):
        choices = {"kernel": rng.choice((3, 5)), "se": rng.choice((None, "yes")), "alike": 1}
        accuracy = 0.8 + 0.05 * (choices["se"] is not None) + rng.gauss(0, 0.003)
        # One architecture for each record: ids only have to differ.
        records.append(
            make_record(
                networks[0], id=f"{seed:012x}", seed=seed, accuracy=accuracy, choices=choices
            )
        )

    importance = choice_importance(records)

    assert importance is not None
    assert importance.explained > 0.8
    assert [one.choice for one in importance.choices] == ["se", "kernel"]
    assert importance.choices[0].drop > 10 * abs(importance.choices[1].drop)


def test_growth_never_shrinks_and_counts_every_network_that_was_started(networks, make_record):
    records = [
        make_record(
            arch,
            number=number,
            rung=number % 2,
            epochs=1 + number % 2,
            accuracy=0.8 + 0.01 * ((number * 7) % 11),
            started=f"2026-03-01T09:{number:02d}:00+00:00",
        )
        for number, arch in enumerate(networks)
    ]

    curve = growth(records, "this-cpu", 0.5)

    assert curve is not None
    assert list(curve.volumes) == sorted(curve.volumes)
    assert list(curve.hours) == sorted(curve.hours)
    assert curve.trials == tuple(range(2, 21, 2))
    assert 0 < curve.volumes[-1] <= 1
    assert curve.reference_ms == 0.5


def test_a_beginning_that_is_no_time_leaves_the_hours_out(networks, make_record):
    records = [
        make_record(arch, accuracy=0.8 + 0.01 * place, started="yesterday")
        for place, arch in enumerate(networks[:4])
    ]

    curve = growth(records, "this-cpu", None)

    assert curve is not None
    assert curve.hours == ()


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.2, False)]
)
def test_a_gain_is_distinguishable_when_its_interval_leaves_zero_out(low, high, expected):
    assert Gain(value=(low + high) / 2, low=low, high=high).is_distinguishable is expected


@settings(deadline=None)
@given(st.text())
def test_text_in_markup_never_makes_an_element(text):
    made = element("p", text, title=text)

    assert made.count("<") == 2
    assert made.count(">") == 2
    assert made.count('"') == 2


@settings(deadline=None)
@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_data_for_a_script_cannot_end_it(value):
    made = json_element(value)

    assert made.count("<") == 2
    assert "&" not in made


def test_only_markup_of_the_package_stays_markup():
    assert join(trusted("<b>"), "<b>", None, 3) == "<b>&lt;b&gt;3"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (points(-0.0123), "\u22121.23"),
        (milliseconds(0.6142), "0.614 ms"),
        (milliseconds(14.26), "14.3 ms"),
        (milliseconds(None), "\u2013"),
        (amount(1_234_567), "1.23 M"),
        (amount(999), "999"),
        (duration(4.21), "4.2 s"),
        (duration(200), "3 min 20 s"),
        (duration(7500), "2 h 05 min"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (Accuracies([0.9]).text(0.91254), "91.25 %"),
        (Accuracies([0.9, 12.0]).text(0.91254), "0.9125"),
    ],
)
def test_numbers_are_written_for_people(said, expected):
    assert said.replace("\u00a0", " ") == expected
