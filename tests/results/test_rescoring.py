"""A finished run seen from another device."""

import json
from dataclasses import replace

import pytest

from mnas.arch import plan
from mnas.latency import LatencyTable, TableRow, Target
from mnas.results import Run, RunError, rescore
from mnas.search.experiment import InvalidExperimentError
from mnas.search.run_files import refuse_other_inputs


@pytest.fixture
def run(runs, tmp_path):
    runs.write(tmp_path / "run")
    return Run.load(tmp_path / "run")


@pytest.fixture
def table(run):
    """A device on which only the size of the map counts, so that the order changes."""
    blocks = {
        block.key: 0.001 * block.size**2
        for each in run.documents
        for block in plan(run.architecture(each)).blocks
    }
    rows = tuple(
        TableRow(block=key, ms=ms, wall_ms=ms, spread=0.0, runs=10, status="measured")
        for key, ms in blocks.items()
    )
    return LatencyTable(
        target=Target(name="phone"), device="a phone", runtime_version="0", rows=rows
    )


def test_accuracies_stay_and_latencies_are_those_of_the_table(run, table):
    found = rescore(run, table)

    assert found.run.targets == ("phone",)
    assert len(found.run.evaluations) == len(run.evaluations)
    for before, after in zip(run.evaluations, found.run.evaluations, strict=True):
        assert (after.id, after.accuracy, after.state) == (before.id, before.accuracy, before.state)
        expected = table.predict(run.architecture(after.id)).ms
        assert dict(after.latency_ms) == {"phone": expected}
        assert after.measured_ms == {}


def test_rescored_run_is_a_run_with_front_and_report_and_without_a_verdict(run, table):
    found = rescore(run, table)

    folder = run.directory / "rescored" / "phone"
    assert found.run.directory == folder
    assert (folder / "report.html").is_file()
    assert (folder / "records.csv").is_file()
    assert Run.load(folder).verdict is None
    assert found.front == len(found.run.front()) > 0
    assert LatencyTable.load(folder / "tables" / "phone.csv").digest == table.digest
    assert found.predicted_share == 0.0


def test_front_and_best_keep_the_budget_of_the_other_device(run, table):
    latencies = sorted(table.predict(run.architecture(each)).ms for each in run.documents)
    budget = latencies[len(latencies) // 3]

    found = rescore(run, table, budget_ms=budget)

    assert (found.run.front()["latency_ms.phone"] <= budget).all()
    assert table.predict(found.run.best()).ms <= budget
    assert found.within < len({r.id for r in run.evaluations})


def test_networks_that_only_the_first_device_ruled_out_are_counted(run, table):
    ruled_out = {record.id for record in run.evaluations if record.state == "infeasible"}
    assert ruled_out

    assert rescore(run, table, budget_ms=1e9).untrained == len(ruled_out)


def test_networks_that_a_filter_turned_away_are_not_counted_as_ruled_out_by_the_device(run, table):
    ruled_out = {record.id for record in run.evaluations if record.state == "infeasible"}
    first = min(ruled_out)
    filtered = replace(
        run,
        evaluations=tuple(
            replace(record, reason="filtered: zen 1 is too low") if record.id == first else record
            for record in run.evaluations
        ),
    )

    assert rescore(filtered, table, budget_ms=1e9).untrained == len(ruled_out) - 1


def test_nothing_of_the_first_run_changes_and_rescoring_again_replaces(run, table):
    before = {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}

    rescore(run, table)
    slower = replace(table, empty_ms=5.0)
    again = rescore(run, slower)

    assert {path: path.read_bytes() for path in before} == before
    assert again.run.environment["hashes"]["tables"]["phone"] == slower.digest


def test_folder_that_holds_something_else_is_not_overwritten(run, table, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")

    with pytest.raises(RunError, match="is no rescored run; choose another folder"):
        rescore(run, table, directory=tmp_path / "mine")

    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_search_does_not_go_on_in_a_rescored_run(run, table):
    folder = rescore(run, table).run.directory
    hashes = json.loads((folder / "environment.json").read_text())["hashes"]

    with pytest.raises(InvalidExperimentError, match=r"scored again .*warm_start: \[.*run\]"):
        refuse_other_inputs(folder, {"data": hashes.get("data", "")})
