"""A run directory read back: tables, front, best, and folders that are no run."""

import csv
import json
import shutil

import pandas
import pytest

from mnas.arch import Architecture, InvalidFileError, UnknownNameError
from mnas.results import (
    RecordStore,
    Run,
    RunError,
    write_front_csv,
    write_network,
    write_records_csv,
)
from mnas.results.record import FILTERED

CONTRACT = [
    "number", "id", "kind", "rung", "epochs", "seed", "state", "reason", "accuracy",
    "latency_ms.this-cpu", "measured_ms.this-cpu", "params", "macs", "peak_activation_bytes",
    "seconds", "started",
]  # fmt: skip


@pytest.fixture
def copied_run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture
def run_of(make_record):
    """A run in memory from (network, fields) pairs."""

    def make(*rows, experiment=None, verdict=None):
        return Run(
            experiment=experiment or {"targets": [{"name": "this-cpu", "budget_ms": 9.0}]},
            environment={},
            evaluations=tuple(make_record(arch, **fields) for arch, fields in rows),
            documents={arch.id: arch.to_json() for arch, _ in rows},
            verdict=verdict,
        )

    return make


def test_the_table_has_the_promised_columns_and_then_the_choices_in_file_order(finished_run):
    columns = list(Run.load(finished_run).records().columns)

    assert columns[: len(CONTRACT)] == CONTRACT
    assert columns[len(CONTRACT) :] == [
        "width",
        *(
            f"stages.{stage}.{name}"
            for stage in range(3)
            for name in (
                "depth",
                "se",
                *(f"layers.{n}.{what}" for n in range(3) for what in ("kernel", "expansion")),
            )
        ),
    ]


def test_a_target_that_was_not_measured_has_no_measured_column(run_of, networks):
    columns = run_of((networks[0], {})).records().columns

    assert "latency_ms.this-cpu" in columns
    assert "measured_ms.this-cpu" not in columns


def test_the_table_has_one_row_for_each_evaluation_with_its_figures(finished_run):
    run = Run.load(finished_run)
    frame = run.records()

    assert len(frame) == len(run.evaluations)
    assert set(frame["state"]) == {"complete", "infeasible", "failed"}
    assert set(frame["kind"]) == {"trial", "baseline", "confirm"}
    assert frame["accuracy"].isna().equals(frame["state"] != "complete")
    assert frame["latency_ms.this-cpu"].tolist() == [
        record.latency_ms["this-cpu"] for record in run.evaluations
    ]


def test_an_inactive_choice_is_missing_and_a_null_option_is_none(run_of, networks):
    run = run_of(
        (networks[0], {"choices": {"depth": 1, "se": None}}),
        (networks[1], {"choices": {"depth": 2, "se": "quarter", "kernel": 3}}),
    )

    frame = run.records()

    assert frame["se"].tolist() == [None, "quarter"]
    assert pandas.isna(frame["kernel"][0])
    assert frame["kernel"][1] == 3
    assert type(frame["kernel"][1]) is int


def test_records_csv_holds_the_same_figures_exactly(copied_run):
    run = Run.load(copied_run)

    with write_records_csv(run).open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert list(rows[0]) == list(run.records().columns)
    for row, record in zip(rows, run.evaluations, strict=True):
        assert row["accuracy"] == ("" if record.accuracy is None else repr(record.accuracy))
        assert float(row["latency_ms.this-cpu"]) == record.latency_ms["this-cpu"]
        assert row["width"] == str(record.choices.get("width", ""))
        if "stages.0.se" in record.choices:
            assert row["stages.0.se"] == (record.choices["stages.0.se"] or "null")


def test_the_front_is_of_the_highest_rung_and_from_the_fastest(finished_run):
    run = Run.load(finished_run)
    front, frame = run.front(), run.records()
    top = frame[(frame["kind"] == "trial") & (frame["epochs"] == 9) & frame["accuracy"].notna()]

    assert list(front.columns) == [c for c in frame.columns if c in set(front.columns)]
    assert front["latency_ms.this-cpu"].is_monotonic_increasing
    assert front["accuracy"].is_monotonic_increasing
    for _, row in top.iterrows():
        as_fast = front[front["latency_ms.this-cpu"] <= row["latency_ms.this-cpu"]]
        assert as_fast["accuracy"].max() >= row["accuracy"]


def test_front_csv_holds_the_front(copied_run):
    run = Run.load(copied_run)

    with write_front_csv(run).open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == run.front()["id"].tolist()


def test_a_network_is_written_under_its_id(copied_run):
    run = Run.load(copied_run)
    best = run.best()

    path = write_network(run, best.id)

    assert path == copied_run / "networks" / f"{best.id}.json"
    assert Architecture.from_json(path.read_text()) == best


def test_an_id_cannot_leave_the_folder(copied_run):
    with pytest.raises(RunError, match="12 hex digits"):
        write_network(Run.load(copied_run), "../../escaped")


def test_a_run_in_memory_has_nowhere_to_write(run_of, networks):
    with pytest.raises(RunError, match="only in memory"):
        write_records_csv(run_of((networks[0], {})))


def test_the_best_is_the_winner_of_the_verdict(finished_run):
    run = Run.load(finished_run)

    assert run.verdict is not None
    assert run.best().id == run.verdict["winner"]["id"]


def test_the_best_has_the_highest_mean_over_the_seeds(run_of, networks):
    lucky, steady = networks[:2]
    run = run_of(
        (lucky, {"kind": "confirm", "seed": 1, "accuracy": 0.99}),
        (lucky, {"kind": "confirm", "seed": 2, "accuracy": 0.80}),
        (steady, {"kind": "confirm", "seed": 1, "accuracy": 0.91}),
        (steady, {"kind": "confirm", "seed": 2, "accuracy": 0.92}),
    )

    assert run.best() == steady


def test_confirmation_counts_before_the_proxy_and_more_epochs_before_fewer(run_of, networks):
    first, second, third = networks[:3]
    quick = (first, {"epochs": 1, "accuracy": 0.99})
    longer = (second, {"epochs": 9, "rung": 2, "accuracy": 0.90})
    confirmed = (third, {"kind": "confirm", "epochs": 20, "accuracy": 0.85})

    assert run_of(quick).best() == first
    assert run_of(quick, longer).best() == second
    assert run_of(quick, longer, confirmed).best() == third


def test_a_lower_rung_is_asked_when_nothing_higher_is_fast_enough(run_of, networks):
    fast, promoted = networks[:2]
    run = run_of(
        (fast, {"accuracy": 0.8, "latency_ms": {"this-cpu": 0.5}}),
        (promoted, {"accuracy": 0.9, "epochs": 9, "rung": 2, "latency_ms": {"this-cpu": 2.0}}),
    )

    assert run.best() == promoted
    assert run.best(latency_ms=1.0) == fast


def test_a_network_whose_seeds_are_not_all_trained_is_not_confirmed(run_of, networks):
    experiment = {"targets": [{"name": "this-cpu"}], "confirm": {"seeds": 2}}
    run = run_of(
        (networks[0], {"accuracy": 0.8}),
        (networks[1], {"kind": "confirm", "accuracy": 0.99}),
        experiment=experiment,
    )

    assert run.best() == networks[0]


def test_baselines_failures_and_what_measured_over_the_budget_cannot_be_the_best(run_of, networks):
    slow, published, broken, good = networks[:4]
    run = run_of(
        (slow, {"kind": "confirm", "accuracy": 0.99}),
        (published, {"kind": "baseline", "accuracy": 0.98}),
        (broken, {"kind": "confirm", "state": "failed", "reason": "NaN", "accuracy": None}),
        (good, {"kind": "confirm", "accuracy": 0.90}),
        verdict={"dropped": [{"id": slow.id, "name": slow.id, "measured_ms": 10.0}]},
    )

    assert run.best() == good


def test_a_tighter_latency_goes_by_what_was_measured_and_else_by_what_was_predicted(
    run_of, networks
):
    flattered, honest, proxy = networks[:3]
    run = run_of(
        (
            flattered,
            {
                "kind": "confirm",
                "accuracy": 0.95,
                "latency_ms": {"this-cpu": 1.0},
                "measured_ms": {"this-cpu": 1.2},
            },
        ),
        (honest, {"kind": "confirm", "accuracy": 0.93, "latency_ms": {"this-cpu": 1.0}}),
        (proxy, {"accuracy": 0.80, "latency_ms": {"this-cpu": 0.5}}),
    )

    assert run.best() == flattered
    assert run.best(latency_ms=1.1) == honest
    assert run.best(latency_ms=0.6, target="this-cpu") == proxy


def test_no_network_within_the_latency_is_an_error_that_counts_what_there_is(run_of, networks):
    run = run_of(
        (networks[0], {}),
        (networks[1], {"state": "infeasible", "reason": "slow", "accuracy": None}),
    )

    with pytest.raises(
        RunError, match=r"within 0.001 ms on this-cpu: 1 evaluations complete, 1 infeasible"
    ):
        run.best(latency_ms=0.001)


def test_what_the_filter_turned_away_does_not_count_as_infeasible(run_of, networks):
    turned_away = {"state": "infeasible", "reason": f"{FILTERED}synflow", "accuracy": None}
    run = run_of((networks[0], {}), (networks[1], turned_away))

    with pytest.raises(RunError, match="0 infeasible, 0 failed, 1 turned away by the filter"):
        run.best(latency_ms=0.001)


def test_an_unknown_target_is_told_with_the_known_ones(run_of, networks):
    with pytest.raises(UnknownNameError, match="unknown target 'phone'; known: this-cpu"):
        run_of((networks[0], {})).best(latency_ms=1.0, target="phone")


def test_with_several_targets_a_latency_needs_its_target(run_of, networks):
    both = {"phone": 3.0, "watch": 9.0}
    run = run_of(
        (networks[0], {"latency_ms": both}),
        experiment={"targets": [{"name": name} for name in both]},
    )

    with pytest.raises(RunError, match="targets of this run: phone, watch"):
        run.best(latency_ms=5.0)

    assert run.best(latency_ms=5.0, target="phone") == networks[0]


def test_with_several_targets_a_network_is_on_the_front_if_it_wins_on_one(run_of, networks):
    targets = {"targets": [{"name": "phone"}, {"name": "watch"}]}
    latencies = [(1.0, 3.0), (3.0, 1.0), (3.0, 3.0)]
    run = run_of(
        *(
            (arch, {"latency_ms": {"phone": phone, "watch": watch}})
            for arch, (phone, watch) in zip(networks[:3], latencies, strict=True)
        ),
        experiment=targets,
    )

    assert run.front()["id"].tolist() == [arch.id for arch in networks[:2]]
    assert "latency_ms.watch" in run.front().columns


def test_a_run_without_scores_has_an_empty_front(run_of, networks):
    run = run_of((networks[0], {"state": "failed", "reason": "NaN", "accuracy": None}))

    assert run.front().empty
    assert list(run.front().columns)[:2] == ["number", "id"]


def test_an_unknown_architecture_is_told(finished_run):
    with pytest.raises(RunError, match="no architecture 'ffffffffffff'"):
        Run.load(finished_run).architecture("ffffffffffff")


def test_a_document_that_is_not_of_its_id_is_told(run_of, networks):
    run = run_of((networks[0], {}))
    swapped = Run(
        experiment=run.experiment,
        environment={},
        evaluations=run.evaluations,
        documents={networks[0].id: networks[1].to_json()},
    )

    with pytest.raises(RunError, match=f"damaged: what it keeps as '{networks[0].id}'"):
        swapped.best()


def test_a_moved_run_is_read_where_it_lies_now(finished_run, tmp_path):
    moved = shutil.copytree(finished_run, tmp_path / "elsewhere" / "run")

    assert Run.load(moved).best() == Run.load(finished_run).best()


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RunError, match="there is no such folder"):
        Run.load(tmp_path / "nothing")


def test_a_folder_that_is_no_run_is_told_with_all_that_it_lacks(tmp_path):
    (tmp_path / "environment.json").write_text("{}")

    with pytest.raises(RunError, match=r"no experiment\.yaml .*, no records\.db") as caught:
        Run.load(tmp_path)

    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["{", "[1]", "\x00\xff"])
def test_a_damaged_environment_is_named(copied_run, text):
    (copied_run / "environment.json").write_text(text, encoding="latin-1")

    with pytest.raises(RunError, match=r"environment\.json"):
        Run.load(copied_run)


def test_a_damaged_experiment_is_named(copied_run):
    (copied_run / "experiment.yaml").write_text("name: [")
    with pytest.raises(InvalidFileError, match=r"experiment\.yaml"):
        Run.load(copied_run)

    (copied_run / "experiment.yaml").write_text("- just\n- a list\n")
    with pytest.raises(RunError, match=r"experiment\.yaml must hold keys"):
        Run.load(copied_run)


def test_a_damaged_store_is_named(copied_run):
    (copied_run / "records.db").write_text("no database" * 100)

    with pytest.raises(RunError, match=r"records\.db is damaged"):
        Run.load(copied_run)


def test_a_run_that_has_only_begun_can_be_loaded(tmp_path, runs):
    runs.write_experiment(tmp_path)
    RecordStore(tmp_path / "records.db").close()

    run = Run.load(tmp_path)

    assert run.records().empty
    assert run.verdict is None
    assert json.loads((tmp_path / "environment.json").read_text()) == run.environment
    with pytest.raises(RunError, match="no scored feasible network: 0 evaluations"):
        run.best()
