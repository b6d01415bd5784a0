import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest
from formulas import FormulaExecutor, FormulaPredictor

from mnas.arch import block_counts
from mnas.latency import LatencyTable, TableRow, Target
from mnas.results import RecordStore, RunError
from mnas.search.ledger import EvaluationFailuresError
from mnas.search.samplers import SAMPLERS
from mnas.search.stopping import StopRequest
from mnas.search.warm_start import Earlier, Known
from mnas.space import load_space
from mnas.training import Score


def without_times(store):
    return [replace(record, seconds=0.0, started="") for record in store.all()]


def test_as_many_distinct_architectures_are_started_as_asked(make_loop):
    with RecordStore(":memory:") as store:
        make_loop(store, trials=15).run()

        started = [record for record in store.all() if record.state != "infeasible"]
        assert len({record.id for record in started}) == 15


def test_nothing_is_evaluated_twice(make_loop):
    executor = FormulaExecutor(slots=3)
    with RecordStore(":memory:") as store:
        make_loop(store, trials=40, executor=executor).run()

    assert max(Counter(executor.performed).values()) == 1


def test_candidate_over_the_budget_is_recorded_and_never_trained(make_loop):
    executor = FormulaExecutor()
    with RecordStore(":memory:") as store:
        make_loop(store, trials=10, budget_ms=0.1, executor=executor).run()

        infeasible = [record for record in store.all() if record.state == "infeasible"]
        trained = {each[0] for each in executor.performed}
        assert infeasible
        assert all(record.latency_ms["cpu"] > 0.1 for record in infeasible)
        assert all("latency.cpu" in record.reason for record in infeasible)
        assert not trained & {record.id for record in infeasible}


def test_only_the_better_part_climbs_to_the_next_rung(make_loop):
    with RecordStore(":memory:") as store:
        make_loop(store, trials=30).run()

        first = [record for record in store.all() if record.rung == 0]
        second = [record for record in store.all() if record.rung == 1]
        assert 0 < len(second) < len(first) / 2


# Samplers of ours, and one of somebody else.
EVERY = (*SAMPLERS, "optuna.samplers:TPESampler")


@pytest.fixture
def young_populations(monkeypatch):
    """So that short searches have several generations, and studies that are begun anew."""
    monkeypatch.setattr("mnas.search.conversing.MOST_TRIALS", 12)
    monkeypatch.setattr("mnas.search.conversing.KEPT_TRIALS", 10)
    monkeypatch.setattr("mnas.search.samplers.NSGA2_POPULATION", 4)
    monkeypatch.setattr("mnas.search.evolution.POPULATION", 5)
    monkeypatch.setattr("mnas.search.evolution.TOURNAMENT", 3)
    monkeypatch.setattr("mnas.search.ground.MOST_ASKED", 260)


@pytest.mark.usefixtures("young_populations")
@pytest.mark.parametrize("sampler", EVERY)
def test_same_seed_gives_the_same_records(make_loop, sampler):
    found = []
    for _ in range(2):
        with RecordStore(":memory:") as store:
            make_loop(store, trials=14, budget_ms=0.2, sampler=sampler).run()
            found.append(without_times(store))

    assert found[0] == found[1]


@pytest.mark.usefixtures("young_populations")
@pytest.mark.parametrize("sampler", EVERY)
def test_more_workers_give_an_architecture_the_score_that_one_gives_it(make_loop, sampler):
    scores = []
    for slots in (1, 4):
        with RecordStore(":memory:") as store:
            executor = FormulaExecutor(slots=slots)
            make_loop(store, trials=14, budget_ms=0.2, sampler=sampler, executor=executor).run()
            trained = [record for record in store.all() if record.rung is not None]
            scores.append({(each.id, each.rung): (each.accuracy, each.seed) for each in trained})
            assert len(trained) == len(scores[-1])
    both = scores[0].keys() & scores[1].keys()

    assert len({architecture for architecture, _ in both}) >= 3
    assert {each: scores[0][each] for each in both} == {each: scores[1][each] for each in both}


@pytest.mark.usefixtures("young_populations")
@pytest.mark.parametrize("sampler", EVERY)
@pytest.mark.parametrize("dies_after", [0, 5, 13])
def test_killed_search_resumes_to_the_records_of_an_undisturbed_one(
    make_loop, tmp_path, sampler, dies_after
):
    with RecordStore(":memory:") as store:
        make_loop(store, trials=14, budget_ms=0.2, sampler=sampler).run()
        undisturbed = without_times(store)
    first = FormulaExecutor(dies_after=dies_after)
    second = FormulaExecutor()

    with (
        RecordStore(tmp_path / "records.db") as store,
        pytest.raises(KeyboardInterrupt, match="kill"),
    ):
        make_loop(store, trials=14, budget_ms=0.2, sampler=sampler, executor=first).run()
    with RecordStore(tmp_path / "records.db") as store:
        make_loop(store, trials=14, budget_ms=0.2, sampler=sampler, executor=second).run()
        resumed = without_times(store)

    assert resumed == undisturbed
    assert not set(first.performed) & set(second.performed)


@pytest.mark.usefixtures("young_populations")
@pytest.mark.parametrize("sampler", ["greybox", "evolution", "random"])
def test_killed_search_with_a_table_resumes_alike_also_where_greybox_forgets(
    make_loop, space, tmp_path, sampler, monkeypatch
):
    monkeypatch.setattr("mnas.search.evidence.MOST_KEPT", 8)
    rows = tuple(
        TableRow(block=key, ms=ms, wall_ms=ms, spread=0.0, runs=10, status="measured")
        for key, block in space.reachable_blocks().items()
        for ms in [0.001 + block_counts(block)[1] / 1e6]
    )
    table = LatencyTable(target=Target(), device="made up", runtime_version="0", rows=rows)
    search = {"trials": 24, "budget_ms": 0.2, "sampler": sampler, "predictor": table}
    with RecordStore(":memory:") as store:
        make_loop(store, **search).run()
        undisturbed = without_times(store)

    with RecordStore(tmp_path / "records.db") as store:
        with pytest.raises(KeyboardInterrupt, match="kill"):
            make_loop(store, **search, executor=FormulaExecutor(dies_after=17)).run()
        make_loop(store, **search).run()

        assert without_times(store) == undisturbed


@pytest.mark.parametrize("sampler", ["greybox", "evolution", "random"])
def test_our_samplers_propose_every_network_within_the_limits_and_nothing_else(
    make_loop, space, tmp_path, sampler, monkeypatch
):
    monkeypatch.setattr("mnas.search.evolution.POPULATION", 4)
    monkeypatch.setattr("mnas.search.evolution.TOURNAMENT", 2)
    ms = FormulaPredictor().predict
    budget_ms = sorted(ms(arch).ms for arch in space.enumerate())[7]
    within = {arch.id for arch in space.enumerate() if ms(arch).ms <= budget_ms}
    search = {"trials": 20, "epochs": (1,), "budget_ms": budget_ms, "sampler": sampler}
    with RecordStore(":memory:") as store:
        make_loop(store, **search).run()
        undisturbed = without_times(store)

    assert {record.id for record in undisturbed} == within
    for dies_after in range(len(within)):
        with RecordStore(tmp_path / f"{dies_after}.db") as store:
            with pytest.raises(KeyboardInterrupt, match="kill"):
                make_loop(store, **search, executor=FormulaExecutor(dies_after=dies_after)).run()
            make_loop(store, **search).run()

            assert without_times(store) == undisturbed


def test_full_disk_ends_a_search_which_goes_on_when_there_is_room(make_loop, tmp_path):
    with RecordStore(":memory:") as store:
        make_loop(store, trials=30).run()
        undisturbed = without_times(store)

    with RecordStore(tmp_path / "records.db") as store:
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(RunError, match=r"disk is full. Make room, and the same command goes"):
            make_loop(store, trials=30).run()
        assert 0 < len(store.all()) < len(undisturbed)
    with RecordStore(tmp_path / "records.db") as store:
        make_loop(store, trials=30).run()

        assert without_times(store) == undisturbed


def test_clock_that_jumps_back_and_forth_changes_nothing_but_times(make_loop, monkeypatch):
    found = []
    for _ in range(2):
        with RecordStore(":memory:") as store:
            make_loop(store, trials=20).run()
            found.append(store.all())
        jumps = itertools.cycle(["2031-01-01T00:00:00.000+00:00", "1970-01-01T00:00:00.000+00:00"])
        monkeypatch.setattr("mnas.search.trials.now", lambda jumps=jumps: next(jumps))

    assert len({record.started for record in found[1]}) == 2
    assert [replace(record, started="") for record in found[0]] == [
        replace(record, started="") for record in found[1]
    ]


def test_finished_search_is_extended_by_raising_trials(make_loop):
    executor = FormulaExecutor()
    with RecordStore(":memory:") as store:
        make_loop(store, trials=5).run()
        make_loop(store, trials=8, executor=executor).run()

        ids = {record.id for record in store.all() if record.state == "complete"}
        assert len(ids) == 8
        assert len({each[0] for each in executor.performed}) == 3


def test_failed_training_is_a_record_with_its_reason_and_the_search_goes_on(make_loop):
    rng = random.Random(1)
    doomed = {}

    def fails(arch):
        return doomed.setdefault(arch.id, rng.random() < 0.3)

    with RecordStore(":memory:") as store:
        make_loop(store, trials=20, executor=FormulaExecutor(fails=fails)).run()

        failed = [record for record in store.all() if record.state == "failed"]
        assert failed
        assert {record.reason for record in failed} == {"exception: made to fail"}


def test_failures_in_a_row_end_the_search_with_the_first_reason(make_loop):
    with RecordStore(":memory:") as store:
        loop = make_loop(store, executor=FormulaExecutor(fails=lambda arch: True))

        with pytest.raises(EvaluationFailuresError, match=r"5 trainings in a row .* made to fail"):
            loop.run()

        assert len(store.all()) == 5


def test_request_to_stop_ends_what_runs_and_starts_nothing_new(make_loop):
    stop = StopRequest()
    executor = FormulaExecutor(slots=2)

    def observer(step):
        stop.is_requested = step.done >= 3

    with RecordStore(":memory:") as store:
        make_loop(store, trials=30, executor=executor, observer=observer, stop=stop).run()

        started = {record.id for record in store.all() if record.state != "infeasible"}
        assert 3 <= len(started) <= 6


def test_used_up_space_ends_the_search(make_loop, tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(
        "schema: mnas.space/1\nname: two\ninput: {channels: 1, resolution: 16}\n"
        "norm: {eps: 1e-5, momentum: 0.1}\n"
        "stem: {kernel: [3, 5], stride: 2, out_channels: 8, activation: relu}\n"
        "stages:\n  - {op: conv, kernel: 3, out_channels: 8, stride: 2, activation: relu}\n"
        "head: [{op: pool}]\n"
    )
    two = load_space(path)
    with RecordStore(":memory:") as store:
        make_loop(store, trials=10, space=two).run()

        assert len({record.id for record in store.all()}) == 2


def test_rare_feasible_networks_are_found_when_the_sampler_does_not_propose_them(
    make_loop, space, monkeypatch
):
    monkeypatch.setattr("mnas.search.proposing.REJECTIONS_BEFORE_DIRECT", 20)
    from mnas.arch import count

    rng = random.Random(0)
    rare = sorted(count(space.sample(rng)).macs for _ in range(400))[3] / 1e6
    with RecordStore(":memory:") as store:
        make_loop(store, trials=3, budget_ms=rare, sampler="random").run()

        assert len({r.id for r in store.all() if r.state == "complete"}) == 3


def test_search_whose_front_has_stopped_moving_ends_when_asked_to(make_loop):
    told = []
    with RecordStore(":memory:") as store:
        make_loop(store, trials=60, epochs=(1,), patience=4, observer=told.append).run()
        records = store.all()

    assert len(records) < 60
    front = []
    for record in records:
        cost = record.latency_ms["cpu"], -record.accuracy
        front.append(
            not any(a <= cost[0] and b <= cost[1] for a, b in front_costs(records, record))
        )
    assert front[-5:] == [True, False, False, False, False]
    assert told[-1].text == "ended early: the front has not moved for 4 trials"


def front_costs(records, until):
    before = records[: records.index(until)]
    return [(record.latency_ms["cpu"], -record.accuracy) for record in before]


def test_scores_of_an_earlier_run_are_taken_without_training_and_cost_no_trial(make_loop, space):
    known = list(space.enumerate())[:3]
    earlier = Earlier(
        first=tuple(known),
        scores={(arch.id, 1): Known(score=earlier_score(0.5), run="before") for arch in known},
    )
    executor = FormulaExecutor()
    with RecordStore(":memory:") as store:
        make_loop(store, trials=6, epochs=(1,), earlier=earlier, executor=executor).run()
        records = store.all()

    assert [record.id for record in records[:3]] == [arch.id for arch in known]
    assert {record.reason for record in records[:3]} == {"from an earlier run: before"}
    assert [record.accuracy for record in records[:3]] == [0.5] * 3
    assert len(executor.performed) == 6
    assert not {each[0] for each in executor.performed} & {arch.id for arch in known}


@pytest.mark.parametrize("dies_after", [0, 1, 4])
def test_killed_warm_started_search_resumes_to_the_records_of_an_undisturbed_one(
    make_loop, space, tmp_path, dies_after
):
    known = list(space.enumerate())[:8]
    earlier = Earlier(
        first=(*known, list(space.enumerate())[20]),
        scores={
            (arch.id, 1): Known(score=earlier_score(place / 10), run="before")
            for place, arch in enumerate(known)
        },
    )
    with RecordStore(":memory:") as store:
        make_loop(store, trials=6, earlier=earlier).run()
        undisturbed = without_times(store)
    dying = FormulaExecutor(dies_after=dies_after)
    with RecordStore(tmp_path / "records.db") as store:
        with pytest.raises(KeyboardInterrupt, match="kill"):
            make_loop(store, trials=6, earlier=earlier, executor=dying).run()
        make_loop(store, trials=6, earlier=earlier).run()

        assert without_times(store) == undisturbed


def earlier_score(accuracy):
    return Score(accuracy=accuracy, epochs=1, seed=7, seconds=0.0, state="complete")
