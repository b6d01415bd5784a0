"""Whole searches with a formula in place of training: every phase, every ending."""

import contextlib
import json
import pickle
from dataclasses import replace

import pytest
from formulas import WeightsExecutor, searched

import mnas
from mnas.arch import UnknownNameError
from mnas.latency import (
    LatencyTable,
    TableMismatchError,
)
from mnas.results import EndToEnd
from mnas.search import BudgetError, InvalidExperimentError, run_search
from mnas.search.confirming import Comparison
from mnas.search.holding import RunHeldError, hold_run
from mnas.search.ledger import EvaluationFailuresError
from mnas.search.tables import table_of_run
from mnas.training import load_data


def test_winner_is_a_candidate_and_is_compared_with_a_published_network(experiment):
    run = searched(experiment)

    verdict = run.verdict
    assert verdict["winner"]["kind"] == "confirm"
    assert verdict["baseline"]["name"].startswith("mobilenet_v3_small")
    assert verdict["winner"]["test_images"] == verdict["baseline"]["test_images"] == 360
    assert len(verdict["winner"]["val_accuracies"]) == 2
    assert verdict["gain"]["low"] <= verdict["gain"]["value"] <= verdict["gain"]["high"]
    assert run.best().id == verdict["winner"]["id"]


def test_run_directory_holds_every_file_of_the_contract(experiment):
    directory = searched(experiment).directory

    names = {path.name for path in directory.iterdir()}
    assert {
        "experiment.yaml",
        "environment.json",
        "records.db",
        "records.csv",
        "front.csv",
        "report.html",
        "networks",
        "checkpoints",
    } <= names
    assert not any(path.suffix == ".tmp" for path in directory.rglob("*"))


def test_confirmation_uses_seeds_that_the_proxy_never_used(experiment):
    records = searched(experiment).records()

    proxy = records[records["rung"].notna()]
    confirmed = records[records["rung"].isna() & (records["state"] == "complete")]
    for name, rows in confirmed.groupby("id"):
        assert not set(rows["seed"]) & set(proxy[proxy["id"] == name]["seed"])
        assert rows["seed"].nunique() == 2


def test_candidates_that_measure_over_the_budget_are_dropped_and_named(experiment, monkeypatch):
    slow = {}

    def measured(self, networks):
        for arch in networks:
            slow.setdefault(arch.id, 1.0 if slow else 60.0)
        return EndToEnd(ms=slow)

    monkeypatch.setattr("mnas.search.confirming.Comparison._measured", measured)

    verdict = searched(experiment).verdict

    first = next(iter(slow))
    assert [each["id"] for each in verdict["dropped"]] == [first]
    assert first not in {each["id"] for each in verdict["confirmed"]}
    assert len([each for each in verdict["confirmed"] if each["kind"] == "confirm"]) == 2


def test_nothing_within_the_budget_when_measured_ends_with_exit_code_3(experiment, monkeypatch):
    monkeypatch.setattr(
        "mnas.search.confirming.Comparison._measured",
        lambda self, networks: EndToEnd(ms={arch.id: 60.0 for arch in networks}),
    )

    with pytest.raises(BudgetError, match=r"no candidate measured within 50\.0 ms") as caught:
        searched(experiment)

    assert caught.value.exit_code == 3
    run = mnas.Run.load(experiment.parent / "run")
    assert run.verdict["winner"] is None
    assert run.verdict["reason"] == "over_budget"
    assert len(run.verdict["dropped"]) >= 6
    with pytest.raises(mnas.MnasError, match="measured over the budget"):
        run.best()


def test_budget_that_no_network_can_meet_names_the_fastest_and_its_latency(experiment):
    with pytest.raises(
        BudgetError, match=r"no network of tiny meets 0.1 ms .* 0\.\d+ ms"
    ) as caught:
        searched(experiment, "targets.0.budget_ms=0.1")

    assert caught.value.exit_code == 3


def test_failing_confirmations_end_with_exit_code_4_and_leave_a_report(experiment):
    class Failing(WeightsExecutor):
        def _score(self, task):
            self._fails = lambda arch: task.stage == "confirm"
            return super()._score(task)

    with pytest.raises(EvaluationFailuresError, match="no candidate was confirmed"):
        searched(experiment, executor=Failing())

    assert (experiment.parent / "run" / "report.html").is_file()


def test_killed_in_any_phase_and_resumed_gives_the_records_of_an_undisturbed_run(
    experiment, tmp_path
):
    def rows(run):
        return run.records().drop(columns=["seconds", "started", "measured_ms.this-cpu"])

    undisturbed = rows(searched(experiment, out=tmp_path / "undisturbed"))
    performed = []
    for dies_after in (2, 4, 3, 1, 2, None):
        executor = WeightsExecutor(dies_after=dies_after)
        with contextlib.suppress(KeyboardInterrupt):
            run = searched(experiment, executor=executor, out=tmp_path / "killed")
        performed += executor.performed

    assert len(performed) == len(set(performed))
    assert rows(run).equals(undisturbed)


def test_different_experiment_in_the_same_folder_is_refused_with_the_keys(experiment):
    searched(experiment)

    with pytest.raises(InvalidExperimentError, match=r"these keys differ: confirm.seeds, proxy"):
        searched(experiment, "confirm.seeds=3", "proxy.learning_rate=0.01")


def _seed(experiment):
    return ["search.seed=5"]


def _space(experiment):
    path = experiment.parent / "tiny.yaml"
    path.write_text(path.read_text().replace("kernel: {each: [3, 5]}", "kernel: 3"))
    return []


def _table(experiment):
    path = experiment.parent / "table.csv"
    replace(LatencyTable.load(path), measured_at="later").save(path)
    return []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_seed, r"holds a run of a different experiment; these keys differ: search\.seed"),
        (_space, r"was begun with other content: space was"),
        (_table, r"was begun by another process .* with another table for this-cpu .*same command"),
    ],
)
def test_run_that_began_and_was_killed_while_this_one_measured_is_not_mixed_with_it(
    experiment, monkeypatch, change, said
):
    folder = experiment.parent / "run"

    def content():
        return {path: path.read_bytes() for path in folder.rglob("*.*") if "lock" not in path.name}

    def measured_meanwhile(*arguments, **options):
        monkeypatch.setattr("mnas.search.searching.table_of_run", table_of_run)
        table = table_of_run(*arguments, **options)
        with pytest.raises(KeyboardInterrupt, match="as kill -9 would"):
            searched(experiment, *change(experiment), executor=WeightsExecutor(dies_after=2))
        others.update(content())
        return table

    others = {}
    monkeypatch.setattr("mnas.search.searching.table_of_run", measured_meanwhile)
    with pytest.raises(InvalidExperimentError, match=said):
        searched(experiment)

    assert folder / "experiment.yaml" in others
    assert content() == others


def test_run_that_another_driver_holds_is_refused(experiment):
    directory = experiment.parent / "run"
    directory.mkdir()
    with hold_run(directory), pytest.raises(RunHeldError, match="is being driven by process"):
        searched(experiment)


def test_table_of_another_runtime_is_refused_with_both_sides(experiment):
    with pytest.raises(TableMismatchError, match=r"onnxruntime.*torch"):
        searched(experiment, "targets.0.runtime=torch")

    assert not (experiment.parent / "run").exists()


def test_table_of_another_device_is_searched_with_and_nothing_is_timed_here(experiment):
    table = LatencyTable.load(experiment.parent / "table.csv")
    replace(table, device="a small board").save(experiment.parent / "board.csv")

    steps = []
    verdict = searched(experiment, "targets.0.table=board.csv", observer=steps.append).verdict

    told = [step.text for step in steps if step.phase == "timing"]
    assert told
    assert all(
        text.startswith("measured latency is not available here: the table is of a small board")
        and text.endswith("budgets hold by the table alone")
        for text in told
    )
    assert verdict["winner"]["measured_ms"] is None
    assert verdict["winner"]["predicted_ms"] > 0
    assert not (experiment.parent / "run" / "timing.json").exists()


def test_refused_budget_leaves_no_folder_and_a_raised_one_is_accepted(experiment):
    with pytest.raises(BudgetError, match="no network of tiny meets"):
        searched(experiment, "targets.0.budget_ms=0.1")
    assert not (experiment.parent / "run").exists()

    assert searched(experiment, "targets.0.budget_ms=40").verdict["winner"]


def test_constraint_that_no_network_can_meet_names_the_smallest(experiment):
    with pytest.raises(BudgetError, match=r"no network of tiny has at most 10 params: .* has \d"):
        searched(experiment, "constraints.params=10")


def test_edited_space_is_refused_on_resume(experiment):
    searched(experiment)
    space = experiment.parent / "tiny.yaml"
    space.write_text(space.read_text().replace("kernel: {each: [3, 5]}", "kernel: {each: [3, 7]}"))

    with pytest.raises(InvalidExperimentError, match=r"begun with other content: space was"):
        searched(experiment, "search.trials=9")


def test_failed_confirmation_is_not_trained_again_on_resume(experiment):
    class FailingOnce(WeightsExecutor):
        def _score(self, task):
            self._fails = lambda arch: task.stage == "confirm"
            return super()._score(task)

    with pytest.raises(EvaluationFailuresError, match="no candidate was confirmed"):
        searched(experiment, executor=FailingOnce())
    healthy = WeightsExecutor()
    with pytest.raises(EvaluationFailuresError, match="no candidate was confirmed"):
        searched(experiment, executor=healthy)

    assert healthy.performed == []


def test_test_images_are_not_read_again_when_a_finished_run_is_run_again(experiment, monkeypatch):
    first = searched(experiment).verdict
    monkeypatch.setattr(
        "mnas.search.confirming.Comparison._test_shares",
        lambda *_: pytest.fail("test was read again"),
    )

    assert searched(experiment).verdict == first


def test_repeated_baseline_is_refused(experiment):
    with pytest.raises(InvalidExperimentError, match="baselines: names must differ"):
        searched(experiment, "baselines=[mobilenet_v2, mobilenet_v2]")


def test_first_error_reaches_the_person_when_the_report_fails_too(experiment, monkeypatch):
    monkeypatch.setattr("mnas.search.session.write_report", lambda run: 1 / 0)
    monkeypatch.setattr(
        "mnas.search.confirming.Comparison._measured",
        lambda self, networks: EndToEnd(ms={arch.id: 60.0 for arch in networks}),
    )

    with pytest.raises(BudgetError, match="no candidate measured within"):
        searched(experiment)


@pytest.mark.parametrize(
    ("override", "error", "said"),
    [
        ("search.sampler=tpee", UnknownNameError, r"unknown sampler 'tpee' .*did you mean 'tpe'"),
        ("proxy.filter={score: zenn}", UnknownNameError, "score 'zenn' .*did you mean 'zen'"),
        ("baselines=[mobilenet_v9]", UnknownNameError, "mobilenet_v9"),
        ("space=nowhere", ValueError, "nowhere"),
        ("data={source: idx, path: /nonexistent}", ValueError, "/nonexistent"),
        ("data={source: digitz}", ValueError, "digitz"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_written(experiment, override, error, said):
    with pytest.raises(error, match=said):
        searched(experiment, override)

    assert not (experiment.parent / "run").exists()


def test_training_free_score_filters_candidates_and_report_and_status_count_them(experiment):
    from mnas.cli.run_status import status_of

    wanted = "search.trials=12", "objectives=[accuracy]", "proxy.filter={score: params, keep: 0.3}"
    run = searched(experiment, *wanted)

    trials = [record for record in run.evaluations if record.kind == "trial"]
    filtered = [record for record in trials if record.is_filtered]
    assert filtered
    assert all(record.reason.startswith("filtered: params ") for record in filtered)
    assert all(f"params {record.params:.6g} is" in record.reason for record in filtered)
    assert len({record.id for record in trials if not record.is_filtered}) == 12
    status = status_of(run.directory)
    assert (status.filtered, status.infeasible, status.trials) == (len(filtered), 0, 12)
    report = (run.directory / "report.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert f"{len(filtered)} candidate" in report
    assert "turned away by the training-free filter" in report


def test_table_that_changes_under_a_run_does_not_reach_it(experiment):
    first = searched(experiment)
    (experiment.parent / "table.csv").write_text("gone")

    again = searched(experiment, "search.trials=8")

    assert first.environment["hashes"]["tables"] == again.environment["hashes"]["tables"]


def test_workers_never_get_test_images(experiment):
    given = []

    def make(bench, experiment, directory):
        given.append(bench.data)
        return WeightsExecutor()

    run_search(experiment, out=experiment.parent / "run", make_executor=make)

    assert given[0].test is None


class PoisonedSplit:
    """Test images that end whoever reads them too early."""

    def __init__(self, split):
        self._split = split
        self.may_be_read = False
        self.reads = 0

    def __len__(self):
        return len(self._split)  # how many there are is no secret

    def __getattr__(self, name):
        assert self.may_be_read, f"test.{name} was read before the winner was chosen"
        self.reads += name == "resized"
        return getattr(self._split, name)

    def __reduce__(self):
        raise AssertionError("test images were sent to somebody")


def test_test_images_are_read_once_for_two_networks_after_the_winner_is_chosen(
    experiment, monkeypatch
):
    poisoned = []

    def load_poisoned(*arguments, **options):
        data = load_data(*arguments, **options)
        poisoned.append(PoisonedSplit(data.test))
        return replace(data, test=poisoned[-1])

    def read_test(self, winner, baseline, contenders, data_at):
        assert winner["id"]
        assert winner["test_accuracy"] is None
        poisoned[-1].may_be_read = True
        gain = original(self, winner, baseline, contenders, data_at)
        poisoned[-1].may_be_read = False
        return gain

    original = Comparison._read_test
    monkeypatch.setattr("mnas.search.preparing.load_data", load_poisoned)
    monkeypatch.setattr("mnas.search.confirming.Comparison._read_test", read_test)

    def make(bench, experiment, directory):
        pickle.dumps(bench.data)  # as Ray does
        return WeightsExecutor()

    run = run_search(experiment, out=experiment.parent / "run", make_executor=make)

    verdict = run.verdict
    marked = [each["id"] for each in verdict["confirmed"] if each["test_accuracy"] is not None]
    assert sorted(marked) == sorted([verdict["winner"]["id"], verdict["baseline"]["id"]])
    assert len(verdict["confirmed"]) == 3
    assert 2 <= poisoned[0].reads <= 4  # the data's and the network's resolution, for two networks
    with pytest.raises(AssertionError, match="was read before the winner was chosen"):
        _ = poisoned[0].images


def test_environment_says_with_what_and_where_it_was_done(experiment):
    directory = searched(experiment).directory

    environment = json.loads((directory / "environment.json").read_text())
    assert environment["versions"]["optuna"]
    assert environment["hashes"]["data"]
    assert environment["command"].startswith("mnas search ")
    assert set(environment["seconds"]) >= {"search", "confirm"}


def test_soft_reward_trains_over_the_budget_and_compares_only_within_it(experiment):
    median = 0.55  # of the 0.1 ms blocks: some networks of the space have more, some fewer
    run = searched(
        experiment,
        "objectives={reward: mnasnet, exponent: 0, exponent_over: -1, budget: soft}",
        f"targets.0.budget_ms={median}",
        "search.trials=12",
        "search.sampler=tpe",  # which learns the reward; greybox knows it, and stays below at once
        "baselines=[]",
    )

    trained = [record for record in run.evaluations if record.kind == "trial"]
    assert {record.state for record in trained} == {"complete"}
    assert max(record.latency_ms["this-cpu"] for record in trained) > median
    confirmed = [record for record in run.evaluations if record.kind == "confirm"]
    assert max(record.latency_ms["this-cpu"] for record in confirmed) <= median
    assert (run.front()["latency_ms.this-cpu"] <= median).all()


def test_search_starts_from_the_scores_of_an_earlier_run(experiment, tmp_path):
    first = searched(experiment, out=tmp_path / "first")
    executor = WeightsExecutor()

    run = searched(
        experiment, f"warm_start=[{tmp_path}/first]", executor=executor, out=tmp_path / "second"
    )

    old = [record.id for record in first.evaluations if record.rung == 0]
    adopted = [record for record in run.evaluations if record.reason is not None]
    assert [record.id for record in adopted if record.rung == 0] == old
    assert {record.reason for record in adopted} == {"from an earlier run: first"}
    fresh = {r.id for r in run.evaluations if r.kind == "trial" and r.reason is None}
    assert len(fresh) == 6
    assert not fresh & set(old)


def test_earlier_run_with_another_recipe_is_refused(experiment, tmp_path):
    searched(experiment, "proxy.batch_size=32", out=tmp_path / "first")

    with pytest.raises(InvalidExperimentError, match=r"warm_start: .*first .* its recipe is"):
        searched(experiment, f"warm_start=[{tmp_path}/first]", out=tmp_path / "second")

    assert not (tmp_path / "second").exists()
