"""benchmarks/rungs.py: searches replayed from trainings cost what these cost, and no more."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load_module(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.fixture
def pool(load_module):
    return load_module("rungs_pool").load(load_module("rungs").POOL)


def test_every_network_was_trained_twice_and_what_is_seen_is_not_what_judges(pool):
    assert len({arch.id for arch in pool.known}) == pool.space.size().architectures == 128
    for arch in pool.known:
        both = [each.accuracies[-1] for each in pool.trainings[arch.id]]
        assert len(both) == 2
        for seed in range(4):
            assert sorted([pool.seen(arch, 9, seed), pool.judged(arch, seed)]) == sorted(both)


def test_a_rung_that_is_no_stop_costs_no_judging(pool):
    arch = pool.known[0]
    stops = pool.seconds(arch, 1, 0, 0) + pool.seconds(arch, 3, 1, 0) + pool.seconds(arch, 9, 3, 0)
    again = {each.again_s for each in pool.trainings[arch.id]}

    saved = stops - pool.seconds(arch, 9, 0, 0)

    assert any(saved == pytest.approx(2 * each) for each in again)


@pytest.mark.parametrize("setting", ["50", "50+latency", "front"])
def test_a_search_climbs_its_ladder_and_pays_for_every_rung(load_module, pool, setting):
    search = load_module("rungs_search")
    question = search.Question(pool, setting)
    within = {arch.id: arch for arch in question.within}

    trace = question.search(search.Arm((3, 9)), "random", 5, limit_s=40.0)

    spent, before = 0.0, {}
    for each in trace:
        spent += pool.seconds(within[each.name], each.epochs, before.get(each.name, 0), 5)
        assert each.at_s == pytest.approx(spent, abs=1e-3)
        assert each.epochs == {0: 3, 3: 9}[before.get(each.name, 0)]
        before[each.name] = each.epochs
    assert 40 <= spent < 50
    assert {3, 9} == {*before.values()}


def test_a_filter_trains_fewer_and_its_scores_take_their_time(load_module, pool):
    search = load_module("rungs_search")
    question = search.Question(pool, "50")
    within = {arch.id: arch for arch in question.within}

    trace = question.search(search.Arm.read("9+macs:0.3"), "random", 0, limit_s=1e9)

    assert 8 <= len(trace) < 40
    trained = sum(pool.seconds(within[each.name], 9, 0, 0) for each in trace)
    scored = sum(pool.untrained(arch)["macs"][1] for arch in question.within)
    assert trained < trace[-1].at_s <= trained + scored + 1e-3
    assert question.curve(trace, (2, 64))[1] == pytest.approx(question.judge(trace))


def test_a_front_is_chosen_by_what_was_seen_and_judged_by_the_other_training(load_module, pool):
    search = load_module("rungs_search")
    question = search.Question(pool, "front")
    whole = [question.finished(arch, 9, 0) for arch in pool.known]
    lucky = min(whole, key=lambda each: each.ms)._replace(seen=1.0)

    assert 0.5 < question.judge(whole) < 1
    assert question.judge([*whole, lucky]) == question.judge([lucky]) < question.judge(whole)


@pytest.mark.slow
def test_rungs_of_the_formula_agree_with_the_truth_as_asked(load_module):
    synthetic = load_module("rungs_synthetic").SyntheticTrainings((0.3, 0.6, 0.9))
    truths = [synthetic.true(arch) for arch in synthetic.known]

    for epochs, asked in ((1, 0.3), (3, 0.6), (9, 0.9)):
        seen = [synthetic.seen(arch, epochs, 0) for arch in synthetic.known]
        assert np.corrcoef(seen, truths)[0, 1] == pytest.approx(asked, abs=0.03)


def test_ratios_of_time_are_those_of_the_curves(load_module, monkeypatch):
    figures = load_module("rungs_figures")
    monkeypatch.setattr(figures, "RESAMPLES", 50)
    times = np.array(figures.GRID, dtype=float)
    rising = np.log(times)[None, :] + np.random.default_rng(0).normal(0, 0.1, (20, 1))

    assert figures.time_ratio(rising, rising, 16) == pytest.approx((1.0, 1.0, 1.0))
    assert figures.time_ratio(rising, rising + np.log(2), 16) == pytest.approx([0.5] * 3, abs=0.01)
    assert figures.time_ratio(rising, rising - 9, 16) == (np.inf, np.inf, np.inf)


@pytest.mark.parametrize("arm", ["3", "9,3", "2,9", "x", "9+naswit", "9+zen:0"])
def test_an_arm_that_the_pool_does_not_hold_is_refused(load_module, monkeypatch, capsys, arm):
    monkeypatch.setattr(sys, "argv", ["rungs.py", "--arms", arm])

    with pytest.raises(SystemExit, match="2"):
        load_module("rungs").main()

    assert "is no arm" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["0", "101", "50+", "fronts"])
def test_a_setting_that_cannot_be_is_refused(load_module, monkeypatch, capsys, setting):
    monkeypatch.setattr(sys, "argv", ["rungs.py", "--settings", setting])

    with pytest.raises(SystemExit, match="2"):
        load_module("rungs").main()

    assert f"got {setting!r}" in capsys.readouterr().err


@pytest.mark.parametrize("options", ["0.3,0.9", "0,0.5,1", "a,b,c", "0.3,0.6,0.9 --arms 9+zen"])
def test_a_formula_that_cannot_be_is_refused(load_module, monkeypatch, capsys, options):
    monkeypatch.setattr(sys, "argv", ["rungs.py", *f"--pool synthetic:{options}".split()])

    with pytest.raises(SystemExit, match="2"):
        load_module("rungs").main()

    assert "3 correlations above 0" in capsys.readouterr().err
