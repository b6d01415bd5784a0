"""The page of a latency table: one file, everything escaped, no claim without a verification."""

import json
import random
import re
from dataclasses import replace

import pytest

from mnas.latency import (
    Calibration,
    LatencyTable,
    TableRow,
    Target,
    VerifiedNetwork,
)
from mnas.latency.accuracy import judge
from mnas.results import write_table_page
from mnas.space import load_space

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\'&amp;'


def rows_of(space):
    rng = random.Random(0)
    return tuple(
        TableRow(
            block=key,
            ms=0.05 * (1.5 if json.loads(key).get("se") else 1) * rng.uniform(0.9, 1.1),
            wall_ms=0.1,
            spread=0.01,
            runs=30,
            status="measured",
        )
        for key in sorted(space.reachable_blocks())
    )


@pytest.fixture(scope="module")
def table():
    space = load_space("small_64")
    networks = tuple(
        VerifiedNetwork(
            id=f"{n:012}",
            resolution=48 if n % 2 else 64,
            macs=n * 1_000_000,
            predicted_ms=n / 10,
            measured_ms=n / 10 * (1 + 0.01 * (n % 5 - 2)),
            fitted=n % 6 == 0,
        )
        for n in range(1, 61)
    )
    return LatencyTable(
        target=Target(name=HOSTILE),
        device=f"A device {HOSTILE}",
        runtime_version=HOSTILE,
        rows=rows_of(space),
        space={"name": HOSTILE, "digest": "0"},
        calibration=Calibration(scale=1.0, offset_ms=0.0),
        verification=judge(networks, noise_floor=0.01),
    )


def written(table, tmp_path):
    return write_table_page(table, tmp_path / "t.html").read_text(encoding="utf-8")


def figures_in(page):
    found = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    return [json.loads(each) for each in found]


def test_the_page_is_one_file_that_loads_nothing_and_escapes_everything(table, tmp_path):
    page = written(table, tmp_path)

    assert HOSTILE not in page
    assert "<img" not in page
    assert "alert(1)" in page
    assert re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page.partition("<script")[0]) is None
    assert page.count("<script>") == 2  # plotly and what draws the figures
    assert [path.name for path in tmp_path.iterdir()] == ["t.html"]


def test_every_verified_network_is_on_the_plot_and_every_resolution_in_the_table(table, tmp_path):
    page = written(table, tmp_path)

    agreement = figures_in(page)[0]["data"]
    points = [x for trace in agreement if trace["mode"] == "markers" for x in trace["x"]]
    assert sorted(points) == sorted(one.measured_ms for one in table.verification.networks)
    assert "<td>48 px</td>" in page
    assert "<td>64 px</td>" in page
    assert "Trusted" in page


def test_what_squeeze_and_excite_costs_is_told_beside_what_macs_say(table, tmp_path):
    page = written(table, tmp_path)

    line = re.search(r"<tr><td>SE with hard sigmoid instead of none.*?</tr>", page)
    time, macs = re.findall(r"x (\d\.\d\d)<", line[0])
    assert float(time) == pytest.approx(1.5, abs=0.1)
    assert float(macs) < 1.2
    assert "kernel 5 instead of 3" in page


def test_the_slowest_blocks_are_listed_slowest_first(table, tmp_path):
    page = written(table, tmp_path)

    slowest = max(table.rows, key=lambda row: row.ms)
    assert f"{slowest.ms:.4g}\u00a0ms" in page.partition("slowest</h3>")[2][:2000]


def test_an_unverified_table_claims_nothing(table, tmp_path):
    page = written(table.without_verification(), tmp_path)

    assert "Not verified" in page
    assert 'id="agreement"' not in page
    assert 'id="costs"' in page


def test_a_table_with_one_block_has_a_page(table, tmp_path):
    one = LatencyTable(target=Target(), device="d", runtime_version="1", rows=(table.rows[0],))

    assert "there is nothing to compare" in written(one, tmp_path)


def test_the_page_begins_with_what_stands_in_the_way_of_believing_it(table, tmp_path):
    rows = (replace(table.rows[0], status="noisy"), *table.rows[1:])
    page = written(replace(table, rows=rows, forced=("device is A and B",), drift=1.068), tmp_path)
    above = page[: page.index("What things cost here")]

    assert "Merged by force: device is A and B." in above
    assert "never gave the same time twice" in above
    assert "did not keep its speed" in above


def test_the_page_says_what_counting_macs_gets_most_wrong(table, tmp_path):
    assert "What MACs get most wrong here" in written(table, tmp_path)
