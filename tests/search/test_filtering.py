"""A training-free score decides who is trained: ranking, records, resuming, endings."""

import itertools
from dataclasses import replace

import pytest
from formulas import FormulaExecutor, FormulaPredictor

from mnas.arch import count
from mnas.results import RecordStore
from mnas.search.filtering import FIRST_KEPT, CandidateFilter
from mnas.search.ledger import EvaluationFailuresError
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.search.proposing import Proposal
from mnas.search.warm_start import Earlier, Known
from mnas.training import FilterRule, Score

ACCURACY = Objectives(targets=("cpu",))
FRONT = Objectives(targets=("cpu",), with_latency=True)
REWARD = Objectives(targets=("cpu",), exponent=-0.07, budget_ms=1.0)


def scored(value):
    return Score(accuracy=value, epochs=0, seed=0, seconds=0.0, state="complete")


def scrambled(arch):
    """A score that has nothing to do with size."""
    return scored(float(int(arch.id, 16) % 1009))


def made(score=scrambled, objectives=ACCURACY, keep=0.5):
    return CandidateFilter(FilterRule(score="mine", keep=keep), score, objectives)


@pytest.fixture
def judge(space):
    """Judge networks of the space by given scores, in order; gives the reasons."""
    limits = Limits(predictors={"cpu": FormulaPredictor()})
    networks = sorted(space.enumerate(), key=lambda arch: (count(arch).macs, arch.id))

    def judged(values, *, objectives, keep=0.5, sizes=None):
        values = list(values)
        waiting = iter(values)
        candidate_filter = made(lambda arch: scored(next(waiting)), objectives, keep)
        reasons = []
        for number, (_, size) in enumerate(zip(values, sizes or [0] * len(values), strict=True)):
            arch = networks[size]
            proposal = Proposal(number=number, architecture=arch, choices={}, memory="{}")
            reasons.append(candidate_filter.judge(proposal, limits.assess(arch)).reason)
        return reasons

    return judged


def test_the_first_few_are_kept_whatever_they_score(judge):
    reasons = judge(range(FIRST_KEPT, -1, -1), objectives=ACCURACY)

    assert reasons[:FIRST_KEPT] == [None] * FIRST_KEPT
    assert reasons[FIRST_KEPT] == ("filtered: mine 0 is not among the best 50 % of 9 candidates")


@pytest.mark.parametrize(("keep", "least"), [(0.5, 5), (0.25, 8), (0.9, 1)])
def test_the_best_share_of_the_scores_so_far_is_kept(judge, keep, least):
    before = list(range(9))
    for value in range(10):
        reason = judge([*before, value + 0.5], objectives=ACCURACY, keep=keep)[-1]
        assert (reason is None) == (value + 0.5 > least - 1)


@pytest.mark.parametrize("objectives", [FRONT, REWARD])
def test_a_smaller_network_of_a_lower_score_is_kept_where_latency_counts(judge, objectives):
    values = [*range(10, 20), 5]
    small = [*[90] * 10, 0]

    assert judge(values, objectives=objectives, sizes=small)[-1] is None
    assert judge(values, objectives=ACCURACY, sizes=small)[-1] is not None
    reason = judge(values, objectives=objectives, sizes=[*[0] * 10, 90])[-1]
    assert reason.endswith("of 11 candidates, the other objectives considered")


def test_what_is_turned_away_is_recorded_with_its_reason_and_costs_no_trial(make_loop):
    executor, told = FormulaExecutor(), []
    with RecordStore(":memory:") as store:
        make_loop(
            store,
            trials=20,
            executor=executor,
            observer=told.append,
            candidate_filter=made(),
        ).run()
        filtered = [record for record in store.all() if record.is_filtered]
        trained = {record.id for record in store.all() if not record.is_filtered}

    assert len(trained) == 20
    assert trained == {each[0] for each in executor.performed}
    assert 5 <= len(filtered) <= 40
    assert not trained & {record.id for record in filtered}
    assert {(record.state, record.epochs, record.accuracy) for record in filtered} == {
        ("infeasible", 0, None)
    }
    assert f"{len(filtered)} filtered" in told[-1].text


def without_times(store):
    return [replace(record, seconds=0.0, started="") for record in store.all()]


@pytest.mark.parametrize("sampler", ["greybox", "tpe"])
@pytest.mark.parametrize("dies_after", [0, 8, 13])
def test_killed_search_with_a_filter_resumes_to_the_records_of_an_undisturbed_one(
    make_loop, tmp_path, sampler, dies_after
):
    def search(store, **parts):
        parts |= {"trials": 14, "budget_ms": 0.2, "sampler": sampler}
        make_loop(store, candidate_filter=made(objectives=FRONT), **parts).run()

    with RecordStore(":memory:") as store:
        search(store)
        undisturbed = without_times(store)
    with RecordStore(tmp_path / "records.db") as store:
        with pytest.raises(KeyboardInterrupt, match="kill"):
            search(store, executor=FormulaExecutor(dies_after=dies_after))
        search(store)

        assert without_times(store) == undisturbed
    assert any(record.is_filtered for record in undisturbed)


def test_a_score_that_fails_is_a_failed_trial_and_five_in_a_row_end_the_search(make_loop):
    def failing(arch):
        reason = "exception: the score mine: made to fail"
        return replace(scored(0.0), accuracy=None, state="failed", reason=reason)

    executor = FormulaExecutor()
    with RecordStore(":memory:") as store:
        with pytest.raises(EvaluationFailuresError, match=r"5 .* the score mine: made to fail"):
            make_loop(store, candidate_filter=made(failing), executor=executor).run()

        assert {record.state for record in store.all()} == {"failed"}
    assert executor.performed == []


def test_so_many_in_a_row_end_the_trials_with_words(make_loop, monkeypatch):
    for room in ("standing", "trials"):
        monkeypatch.setattr(f"mnas.search.{room}.FILTERED_IN_A_ROW", 12)
    falling, told = itertools.count(0, -1), []
    with RecordStore(":memory:") as store:
        for _ in range(2):  # going on does not change it
            make_loop(
                store,
                trials=30,
                observer=told.append,
                candidate_filter=made(lambda arch: scored(float(next(falling)))),
            ).run()
        records = store.all()

    assert told[-1].text == "ended early: the filter turned 12 candidates in a row away"
    assert len({record.id for record in records if not record.is_filtered}) == FIRST_KEPT
    assert sum(record.is_filtered for record in records) == 12


def test_scores_of_an_earlier_run_need_no_filter(make_loop, space):
    known = list(space.enumerate())[:12]
    earlier = Earlier(
        first=tuple(known),
        scores={
            (arch.id, 1): Known(score=replace(scored(0.5), epochs=1), run="before")
            for arch in known
        },
    )
    asked = []

    def noting(arch):
        asked.append(arch.id)
        return scrambled(arch)

    with RecordStore(":memory:") as store:
        make_loop(
            store, trials=4, epochs=(1,), earlier=earlier, candidate_filter=made(noting)
        ).run()

    assert len(asked) == 4
    assert not {arch.id for arch in known} & set(asked)
