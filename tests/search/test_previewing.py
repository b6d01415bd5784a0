"""What a dry run tells before anything is spent."""

import random

import pytest

from mnas.arch import count
from mnas.latency import LatencyTable, TableRow, Target, describe_device, reachable_blocks
from mnas.search import preview_search
from mnas.search.experiment import load_experiment
from mnas.search.pace import Pace, try_pace
from mnas.search.preparing import prepare

EXPERIMENT = """\
schema: mnas.experiment/1
name: formula
space: tiny.yaml
data: {source: digits}
proxy: {epochs: [1, 3], samples: 300, recalibration_images: 240}
targets: [{name: this-cpu, table: table.csv, budget_ms: 0.65}]
objectives: [accuracy, latency]
search: {trials: 9}
confirm: {top: 2, seeds: 2, epochs: 4}
workers: {address: inline}
"""


@pytest.fixture
def experiment(space, tmp_path):
    rows = tuple(
        TableRow(block=key, ms=0.1, wall_ms=0.1, spread=0.0, runs=10, status="measured")
        for key in reachable_blocks(space)
    )
    table = LatencyTable(target=Target(), device=describe_device(), runtime_version="0", rows=rows)
    table.save(tmp_path / "table.csv")
    (tmp_path / "formula.yaml").write_text(EXPERIMENT)
    return tmp_path / "formula.yaml"


def test_dry_run_tells_size_share_fastest_largest_and_time(experiment, space):
    preview = preview_search(experiment)

    every = list(space.enumerate())
    table = LatencyTable.load(experiment.parent / "table.csv")
    within = [arch for arch in every if table.predict(arch).ms <= 0.65]
    assert preview.architectures == len(every)
    assert 0 < preview.feasible_share < 1
    assert preview.fastest_ms == pytest.approx(min(table.predict(arch).ms for arch in every))
    assert preview.largest_params == max(count(arch).params for arch in within)
    assert preview.largest_ms <= 0.65
    assert preview.trials_seconds > 0
    assert preview.comparison_seconds > 0
    assert not (experiment.parent / "results").exists()


def test_time_of_the_trials_counts_what_the_ladder_lets_through(experiment):
    loaded = load_experiment(experiment)
    data = prepare(loaded).data
    judged = (240 + len(data.val)) / 3

    seconds = Pace(seconds_per_image=0.01).seconds_of_trials(loaded, data)

    assert seconds == pytest.approx(9 * 0.01 * (300 + judged + (2 * 300 + judged) / 3))
    assert Pace(seconds_per_image=0.01).seconds_of_comparison(loaded, data) == pytest.approx(
        4 * 0.01 * (4 * 300 + judged)
    )


def test_time_of_the_trials_includes_the_scores_of_a_filter(experiment):
    loaded = load_experiment(experiment, ["proxy.filter.score=synflow", "proxy.filter.keep=0.25"])
    prepared = prepare(loaded)

    pace = try_pace(prepared.space.sample(random.Random(0)), prepared.data, loaded)

    assert pace.seconds_per_score > 0
    assert pace.seconds_of_filter(loaded) == pytest.approx(4 * 9 * pace.seconds_per_score)
    assert pace.seconds_of_filter(load_experiment(experiment)) == 0
