"""The figures of benchmarks/training_free_scores.py say what they claim to say."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    module = importlib.import_module("training_free_scores")
    monkeypatch.setattr(module, "_RESAMPLES", 100)
    return module


def test_what_a_score_adds_is_told_from_what_it_repeats(benchmark):
    rng = np.random.default_rng(0)
    params, macs, beyond, noise = rng.normal(size=(4, 200))
    truths = params + macs + beyond + 0.1 * noise
    scores = {
        "params": params,
        "macs": macs,
        "copy": np.exp(params),
        "both": params + macs,
        "telling": truths,
        "constant": np.ones(200),
    }

    found = benchmark.worth(scores, truths, seed=0)

    assert found["params"]["given_params"] is None
    assert found["macs"]["given_both"] is None
    assert found["copy"]["over_params"] == [0.0, 0.0, 0.0]
    assert found["copy"]["given_params"] == [0.0, 0.0, 0.0]
    assert found["both"]["given_params"][1] > 0.4
    assert abs(found["both"]["given_both"][0]) < 0.3
    assert found["telling"]["rho"] == [1.0, 1.0, 1.0]
    assert found["telling"]["given_both"][1] > 0.9
    assert found["telling"]["kept_of_best"] == [1.0, 1.0, 1.0]
    assert found["constant"]["rho"] == [0.0, 0.0, 0.0]
    told = benchmark.words(found, dict.fromkeys(scores, 0.1)).splitlines()
    assert [line.split()[0] for line in told[1:]] == list(scores)


@pytest.mark.parametrize("option", ["--networks=29", "--macs-percentile=0"])
def test_too_few_networks_and_an_impossible_limit_are_refused(
    benchmark, monkeypatch, capsys, option
):
    monkeypatch.setattr(sys, "argv", ["training_free_scores.py", "scores.json", option])

    with pytest.raises(SystemExit, match="2"):
        benchmark.main()

    assert "must be" in capsys.readouterr().err
