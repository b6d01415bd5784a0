import itertools
import math
import sys

import pytest

import mnas
from mnas.arch import UnknownNameError, count
from mnas.search.ledger import EvaluationFailuresError
from mnas.search.limits import BudgetError
from mnas.search.optimizing import _Asked
from mnas.search.proposing import Proposer


def macs_ms(arch):
    return count(arch).macs / 1e6


def size(arch):
    return math.log(count(arch).params)


def test_best_is_within_the_budget_and_no_record_beats_it(space):
    run = mnas.optimize(space, size, latency=macs_ms, budget_ms=0.2, trials=30, seed=1)

    best = run.best()
    complete = run.records().query("state == 'complete'")
    assert macs_ms(best) <= 0.2
    assert size(best) == pytest.approx(complete["accuracy"].max())
    assert len(complete) == 30


def test_same_seed_gives_the_same_records_and_another_seed_others(space):
    def ids(seed):
        run = mnas.optimize(space, size, latency=macs_ms, budget_ms=0.2, trials=8, seed=seed)
        return list(run.records()["id"])

    assert ids(3) == ids(3)
    assert ids(3) != ids(4)


def test_without_a_budget_the_front_of_score_and_latency_is_searched(space):
    run = mnas.optimize(space, size, latency=macs_ms, trials=20, sampler="random")

    front = run.front()
    assert len(front) >= 2
    assert front["latency_ms.target"].is_monotonic_increasing
    assert front["accuracy"].is_monotonic_increasing


def test_answers_of_a_latency_function_are_forgotten_one_by_one(space, monkeypatch):
    monkeypatch.setattr("mnas.search.optimizing._MOST_REMEMBERED", 3)
    first, *others = itertools.islice(space.enumerate(), 5)
    asked = []
    predictor = _Asked(function=lambda arch: asked.append(arch) or macs_ms(arch))

    for arch in (first, first, *others, first):
        assert predictor.predict(arch).ms == macs_ms(arch)

    assert asked == [first, *others, first]
    assert len(predictor.known) == 3


def test_latency_is_asked_once_for_each_architecture(space):
    asked = []

    def latency(arch):
        asked.append(arch)
        return macs_ms(arch)

    mnas.optimize(space, size, latency=latency, budget_ms=0.15, trials=20)

    assert len(asked) == len(set(asked))


def test_batch_is_the_number_of_scores_between_two_looks_at_results(space, monkeypatch):
    happened = []
    propose = Proposer.propose
    monkeypatch.setattr(
        Proposer, "propose", lambda proposer: happened.append("propose") or propose(proposer)
    )

    def score(arch):
        happened.append("score")
        return size(arch)

    mnas.optimize(space, score, latency=macs_ms, trials=8, batch=4, sampler="random")

    assert happened == [*["propose"] * 4, *["score"] * 4] * 2


def test_score_that_raises_is_a_record_with_its_reason(space):
    def score(arch):
        if count(arch).macs % 2 == 0 and len(arch.blocks) > 3:
            raise RuntimeError("board unplugged")
        return size(arch)

    run = mnas.optimize(space, score, latency=macs_ms, trials=25, sampler="random")

    failed = run.records().query("state == 'failed'")
    assert len(failed) > 0
    assert set(failed["reason"]) == {"exception: RuntimeError('board unplugged')"}


def test_score_that_is_no_number_is_a_failure(space):
    with pytest.raises(EvaluationFailuresError, match="nan: the score is nan"):
        mnas.optimize(space, lambda arch: math.nan, latency=macs_ms, trials=9)


def test_search_in_a_directory_is_resumed_and_extended(space, tmp_path):
    asked = []

    def score(arch):
        asked.append(arch.id)
        return size(arch)

    mnas.optimize(space, score, latency=macs_ms, budget_ms=0.2, trials=5, directory=tmp_path)
    run = mnas.optimize(space, score, latency=macs_ms, budget_ms=0.2, trials=9, directory=tmp_path)

    assert len(asked) == len(set(asked)) == 9
    assert len(mnas.Run.load(tmp_path).records()) == len(run.records())


def test_first_error_reaches_the_caller_when_the_tables_cannot_be_written_either(
    space, tmp_path, monkeypatch
):
    def full(_):
        raise OSError("no space left")

    def stopped(arch):
        raise KeyboardInterrupt("by the user")

    monkeypatch.setattr("mnas.search.optimizing.write_records_csv", full)

    with pytest.raises(KeyboardInterrupt, match="by the user"):
        mnas.optimize(space, stopped, latency=macs_ms, trials=3, directory=tmp_path / "run")


def test_other_search_in_the_same_directory_is_refused(space, tmp_path):
    mnas.optimize(space, size, latency=macs_ms, trials=2, directory=tmp_path)

    with pytest.raises(mnas.MnasError, match=r"these keys differ: search.seed"):
        mnas.optimize(space, size, latency=macs_ms, trials=2, seed=5, directory=tmp_path)


@pytest.mark.parametrize("latency", [None, 3.0])
def test_latency_that_is_none_is_refused(space, latency):
    with pytest.raises(mnas.MnasError, match=r"latency must be a LatencyTable.*; got (None|3\.0)"):
        mnas.optimize(space, size, latency=latency, trials=2)


def test_a_budget_that_nothing_meets_names_the_milliseconds_of_the_nearest(space):
    said = r"the nearest, \w{12}, has [\d.]+ ms of latency.target \([\d.]+ % over 0.0001 ms\)"
    with pytest.raises(BudgetError, match=said):
        mnas.optimize(space, size, latency=macs_ms, budget_ms=0.0001, trials=2)


def test_unknown_sampler_is_refused_with_the_known_ones(space):
    with pytest.raises(
        UnknownNameError, match=r"unknown sampler 'tpee'.*known: .*greybox.*random, tpe"
    ):
        mnas.optimize(space, size, latency=macs_ms, trials=2, sampler="tpee")


@pytest.mark.parametrize(
    "bad", [{"trials": 0}, {"trials": 1, "batch": 0}, {"trials": 1, "budget_ms": -1.0}]
)
def test_impossible_number_is_refused(space, bad):
    with pytest.raises(mnas.MnasError, match="must be"):
        mnas.optimize(space, size, latency=macs_ms, **bad)


def test_latency_below_zero_is_refused(space):
    with pytest.raises(mnas.MnasError, match="latency must give milliseconds above 0"):
        mnas.optimize(space, size, latency=lambda arch: -1.0, trials=2)


def test_latency_that_is_no_number_is_refused(space):
    with pytest.raises(mnas.MnasError, match=r"latency gave no number for [0-9a-f]{12}: could not"):
        mnas.optimize(space, size, latency=lambda arch: "slow", trials=2)


def test_optimize_needs_neither_ray_nor_torch(tmp_path):
    import subprocess

    code = (
        "import mnas, sys\n"
        "space = mnas.load_space('small_digits')\n"
        "mnas.optimize(space, lambda a: 1.0, latency=lambda a: 1.0, trials=3)\n"
        "print([m for m in ('ray', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
