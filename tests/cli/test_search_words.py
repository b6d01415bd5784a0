from pathlib import Path

import pytest

from mnas.cli.search_words import sentences, show_result
from mnas.results import Run

TABLES = {"cpu": {"verification": {"verdict": "trusted", "reason": "error 2.9% on 60 networks."}}}


def entry(name, **changed):
    return {
        "id": "0123456789ab",
        "name": name,
        "val_accuracy": 0.97,
        "val_accuracies": [0.96, 0.98],
        "test_accuracy": 0.95,
        "test_low": 0.92,
        "test_high": 0.97,
        "test_images": 360,
        "predicted_ms": 0.3,
        "low_ms": 0.28,
        "high_ms": 0.32,
        "measured_ms": 0.31,
        "params": 70_600,
        "macs": 1_230_000,
        **changed,
    }


def verdict(**changed):
    return {
        "winner": entry("0123456789ab"),
        "baseline": entry("mobilenet_v2 x0.35 @32", test_accuracy=0.94),
        "target": "cpu",
        "budget_ms": 0.35,
        "gain": {"value": 0.01, "low": -0.02, "high": 0.04},
        "dropped": [],
        **changed,
    }


def said(**changed):
    return " ".join(sentences(verdict(**changed), TABLES))


def shown(**changed):
    run = Run(
        experiment={},
        environment={"tables": TABLES},
        evaluations=(),
        documents={},
        verdict=verdict(**changed),
    )
    return "\n".join(show_result(run, Path("results/my run")))


def test_a_gain_that_could_be_chance_is_called_so():
    assert "+1.0 percentage points" in said()
    assert "With 360 test images this difference cannot be told from chance." in said()


@pytest.mark.parametrize(("low", "high"), [(0.002, 0.018), (-0.03, -0.01)])
def test_a_resolved_difference_is_not_called_chance(low, high):
    assert "chance" not in said(gain={"value": (low + high) / 2, "low": low, "high": high})


def test_the_table_tells_its_own_error():
    assert "The latency table is trusted: error 2.9% on 60 networks." in said()


def test_an_unverified_table_is_named_as_such():
    words = " ".join(sentences(verdict(), {"cpu": {"verification": None}}))

    assert "not verified" in words


def test_what_measured_over_the_budget_is_named():
    words = said(dropped=[{"id": "ff", "name": "ffff00001111", "measured_ms": 0.41}])

    assert "over the budget: ffff00001111 (0.410 ms)." in words


def test_a_published_network_that_does_not_fit_is_named():
    words = said(baselines_without_a_version_in_budget=["mobilenet_v2"])

    assert "No scaled version meets the budget of the published mobilenet_v2." in words


def test_the_summary_has_accuracy_with_interval_and_both_latencies():
    text = shown()

    for figure in ("95.0 % (92.0 to 97.0)", "0.300 ms (0.280 to 0.320)", "0.310 ms", "70.6 k"):
        assert figure in text
    assert "97.0 %, mean of 2 trainings" in text
    assert "mobilenet_v2 x0.35 @32" in text


def test_the_summary_ends_with_commands_that_can_be_pasted():
    assert shown().endswith(
        "next:   mnas train 'results/my run' --pick best\n        mnas export 'results/my run'"
    )


def test_without_a_baseline_no_gain_is_claimed():
    text = shown(baseline=None, gain=None)

    assert "No published network was compared with it." in text
    assert "percentage points" not in text
