"""The report: one file, everything escaped, and the truth for a run in any state."""

import base64
import hashlib
import html.parser
import json
import re
import subprocess
import sys

import pytest

from mnas.results import RecordStore, Run, RunError, write_report

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\'&amp;'


class Page(html.parser.HTMLParser):
    """What a browser would find: elements, attributes, words, scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.scripts, self.data = [], [], [], []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag == "script":
            is_data = attributes.get("type") == "application/json"
            (self.data if is_data else self.scripts).append(data)
        elif tag != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    @property
    def figures(self):
        return [json.loads(data.replace("\\u00a0", " ")) for data in self.data]


def page_of(folder):
    return Page(write_report(Run.load(folder)).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(finished_run):
    return page_of(finished_run)


def traces(page):
    return [trace for figure in page.figures for trace in figure["data"]]


def axis_titles(page):
    layouts = [figure["layout"] for figure in page.figures]
    return [layout[axis]["title"]["text"] for layout in layouts for axis in ("xaxis", "yaxis")
            if "title" in layout[axis]]  # fmt: skip


def test_the_sections_come_in_the_order_of_their_importance(page):
    assert [attributes["id"] for tag, attributes in page.tags if tag == "section"] == [
        "answer",
        "front",
        "confirmed",
        "progress",
        "importance",
        "time",
        "proxy",
        "table",
        "winner",
        "reproduce",
        "environment",
    ]


def test_the_headline_is_the_gain_with_its_interval(page, finished_run):
    winner = Run.load(finished_run).verdict["winner"]

    assert "+1.23 points of test accuracy" in page.text
    assert "95 % interval +0.71 to +1.75 points leaves 0 out" in page.text
    assert f"{winner['id']}, the network found, reaches 91.87 % on test" in page.text
    assert "mobilenet_v3_small x0.35 @28, the best scaled published network" in page.text


def test_latencies_that_are_not_equal_are_told(page):
    assert "They are not equally fast" in page.text
    assert "a part of the gain is bought with time" in page.text


def test_a_gain_whose_interval_holds_zero_is_not_called_one(tmp_path, runs):
    text = page_of(runs.write(tmp_path / "run", trials=14, distinguishable=False)).text

    assert "Not distinguishable with 10,000 test images" in text
    assert "interval \u22120.31 to +0.73 points holds 0" in text


def test_what_measured_over_the_budget_is_named(page, finished_run):
    (dropped,) = Run.load(finished_run).verdict["dropped"]

    assert "1 network measured over the budget" in page.text
    assert f"{dropped['name']} 0.458 ms +9.0 %" in page.text


def test_the_front_shows_trials_confirmed_and_published_networks_and_the_budget(page):
    front = page.figures[0]
    names = [trace.get("name") for trace in front["data"]]

    assert {"trial, 9 epochs (line: front)", "confirmed, 20 epochs"} < set(names)
    assert any(name and name.startswith("mobilenet_v2 x0.35 @28") for name in names)
    assert front["layout"]["shapes"][0]["x0"] == 0.42
    assert "22 proposals over a budget or a constraint" in page.text


def test_a_point_tells_its_id_choices_counts_and_latency_with_margin(page):
    top = next(t for t in page.figures[0]["data"] if "9 epochs" in t.get("name", ""))
    hover = top["hovertext"][0]

    assert re.search(r"<b>[0-9a-f]{12}</b>", hover)
    assert "stages.0.depth = " in hover
    assert re.search(r"predicted 0\.\d+\sms \(90 %: 0\.\d+\sms to 0\.\d+\sms\)", hover)
    assert re.search(r"parameters, .* MACs", hover)
    assert min(top["error_x"]["array"]) > 0


def test_every_axis_with_a_number_says_its_unit(page):
    titles = axis_titles(page)

    assert len(titles) >= 10
    assert all("(" in title for title in titles)


def test_the_trust_in_proxy_and_table_is_shown_with_its_basis(page):
    assert "proxy, 1 epoch against proxy, 3 epochs" in page.text
    assert "too few (fewer than 10)" in page.text
    assert "trusted error 2.1%" in page.text
    assert "mean error of MACs with the same correction 6.1 % (5.1 % to 7.2 %)" in page.text
    assert "whole networks held out 60" in page.text


def test_the_winner_is_drawn_block_by_block(page, finished_run):
    blocks = Run.load(finished_run).best().blocks
    drawn = [attributes for tag, attributes in page.tags if tag == "svg"]

    # one silhouette for each block, stem, two head items, classifier; one for the gain
    assert len(drawn) == len(blocks) + 4 + 1
    assert "3\u00d73" in page.text
    assert "28 \u00d7 28 px" in page.text


def test_the_commands_name_the_folder_safely(finished_run, tmp_path, runs):
    folder = runs.write(tmp_path / "it's a $(run)", trials=14)
    text = page_of(folder).text

    assert f"mnas train '{tmp_path}/it'\"'\"'s a $(run)'" in text
    assert f"mnas train {finished_run}" in page_of(finished_run).text


def test_the_page_is_one_file_with_plotly_in_it_once(page):
    sources = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "srcset", "action")
        if name in attributes
    ]

    assert sources == []
    assert sum("plotly.js v" in script for script in page.scripts) == 1


def test_the_browser_may_run_the_two_scripts_of_the_page_and_load_nothing(page):
    policy = next(
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in page.scripts]

    assert policy.startswith("default-src 'none'; ")
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert len(digests) == 2


def test_hostile_names_stay_words(tmp_path, runs):
    folder = runs.write(
        tmp_path / "run",
        name=HOSTILE,
        target=HOSTILE,
        baseline_name=HOSTILE,
        space=HOSTILE,
        trials=14,
    )
    hostile = page_of(folder)
    honest = page_of(runs.write(tmp_path / "honest", trials=14))

    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in honest.tags]
    assert not any(name.startswith("on") for _, attributes in hostile.tags for name in attributes)
    assert len(hostile.scripts) == 2
    assert hostile.text.count(HOSTILE) > 5


def test_hostile_names_are_escaped_for_plotly_too(tmp_path, runs):
    folder = runs.write(
        tmp_path / "run", target=HOSTILE, baseline_name='<a href="//x">', space=HOSTILE, trials=14
    )
    page = page_of(folder)
    texts = [
        text
        for trace in traces(page)
        for key in ("name", "hovertext", "y", "text")
        for text in (trace[key] if isinstance(trace.get(key), list) else [trace.get(key)])
        if isinstance(text, str)
    ]

    assert texts
    for text in [*texts, *axis_titles(page)]:
        assert re.findall(r"<(?!br>|b>|/b>)", text) == []


def test_an_interrupted_search_claims_nothing(tmp_path, runs, finished_run):
    folder = runs.write(tmp_path / "run", trials=20)
    (folder / "verdict.json").unlink()

    text = page_of(folder).text

    assert "so far, no verdict" in text
    assert "so nothing is claimed here" in text
    assert f"mnas search {folder}/experiment.yaml --out {folder}" in text
    assert "not finished" in text


def test_a_run_without_a_baseline_says_that_no_gain_is_known(tmp_path, runs):
    folder = runs.write(tmp_path / "run", trials=14)
    runs.write_experiment(folder)
    verdict = json.loads((folder / "verdict.json").read_text())
    verdict |= {"baseline": None, "gain": None}
    (folder / "verdict.json").write_text(json.dumps(verdict))

    text = page_of(folder).text

    assert "No published network was compared (the experiment names no baselines)" in text
    assert "points of test accuracy" not in text


def test_a_run_whose_networks_all_measured_over_says_so(tmp_path, runs):
    folder = runs.write(tmp_path / "run", trials=14)
    verdict = json.loads((folder / "verdict.json").read_text())
    verdict |= {"winner": None, "gain": None}
    (folder / "verdict.json").write_text(json.dumps(verdict))

    assert "No network kept the budget" in page_of(folder).text


def test_a_run_of_failures_gives_the_first_reason(tmp_path, runs, networks, make_record):
    runs.write_experiment(tmp_path)
    with RecordStore(tmp_path / "records.db") as store:
        for arch in networks[:4]:
            reason = f"{HOSTILE}: out of memory"
            store.add(make_record(arch, state="failed", reason=reason, accuracy=None), arch)

    page = page_of(tmp_path)

    assert "No network was scored" in page.text
    assert "4 evaluations failed" in page.text
    assert "out of memory" in page.text
    assert page.figures == []
    assert len(page.scripts) == 2


def test_a_run_that_has_only_begun_has_a_report(tmp_path, runs):
    runs.write_experiment(tmp_path)
    RecordStore(tmp_path / "records.db").close()

    assert "The search has only begun" in page_of(tmp_path).text


def test_each_of_several_targets_has_its_front(tmp_path, runs, networks, make_record):
    runs.write_experiment(tmp_path, more_targets=("phone",))
    with RecordStore(tmp_path / "records.db") as store:
        for number, arch in enumerate(networks):
            latencies = {"this-cpu": 0.2 + 0.01 * number, "phone": 3 - 0.1 * number}
            accuracy = 0.8 + 0.002 * (number % 7)
            choices = {"width": number % 3}
            store.add(
                make_record(
                    arch,
                    number=number,
                    latency_ms=latencies,
                    accuracy=accuracy,
                    choices=choices,
                    measured_ms={},
                ),
                arch,
            )
    page = page_of(tmp_path)

    titles = axis_titles(page)
    assert "latency on this-cpu (ms)" in titles
    assert "latency on phone (ms)" in titles


def test_importance_is_not_given_for_a_handful_of_trials(tmp_path, runs, networks, make_record):
    runs.write_experiment(tmp_path)
    with RecordStore(tmp_path / "records.db") as store:
        for arch in networks[:9]:
            store.add(make_record(arch), arch)

    assert "9 trials scored: below 10 a forest would explain noise" in page_of(tmp_path).text


def test_importance_of_noise_is_not_given_either(tmp_path, runs, networks, make_record):
    runs.write_experiment(tmp_path)
    with RecordStore(tmp_path / "records.db") as store:
        for number, arch in enumerate(networks):
            accuracy = 0.9 + 0.001 * ((number * 7919) % 13)
            choices = {"width": number % 2, "depth": number // 10}
            store.add(make_record(arch, accuracy=accuracy, choices=choices), arch)

    assert "a ranking of choices would be noise" in page_of(tmp_path).text


def test_ones_own_score_is_not_called_a_percentage(tmp_path, runs, networks, make_record):
    runs.write_experiment(tmp_path)
    with RecordStore(tmp_path / "records.db") as store:
        for number, arch in enumerate(networks[:4]):
            store.add(make_record(arch, accuracy=-12.5 - number, epochs=0), arch)

    page = page_of(tmp_path)

    assert "-12.5 so far" in page.text or "\u221212.5 so far" in page.text
    assert "score (higher is better)" in axis_titles(page)


def test_an_unverified_table_is_told_to_be_one(tmp_path, runs):
    folder = runs.write(tmp_path / "run", trials=14)
    environment = json.loads((folder / "environment.json").read_text())
    environment["tables"] = {"this-cpu": {"device": "a phone", "verification": None}}
    (folder / "environment.json").write_text(json.dumps(environment))

    assert "never verified against whole networks: its error is unknown" in page_of(folder).text


def test_a_damaged_verdict_is_told_place_by_place(tmp_path, runs):
    folder = runs.write(tmp_path / "run", trials=14)
    (folder / "verdict.json").write_text('{"gain": {"value": "much"}, "confirmed": 3}')

    with pytest.raises(RunError, match=r"gain\.value: .*; gain\.low: .*confirmed"):
        write_report(Run.load(folder))


def test_a_run_in_memory_has_no_report(finished_run):
    run = Run(experiment={}, environment={}, evaluations=(), documents={})

    with pytest.raises(RunError, match="only in memory"):
        write_report(run)


def test_tables_and_report_are_written_without_torch_optuna_and_ray(finished_run):
    code = (
        "import sys, mnas.results as r\n"
        "run = r.Run.load(sys.argv[1])\n"
        "run.records(), run.front(), run.best(), r.write_records_csv(run), r.write_report(run)\n"
        "print([name for name in ('torch', 'optuna', 'ray', 'onnx') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, finished_run], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_the_room_itself_loads_no_pandas_and_no_plotly():
    code = (
        "import sys, mnas.results\n"
        "print([name for name in ('pandas', 'plotly', 'torch') if name in sys.modules])\n"
        "print(all(hasattr(mnas.results, name) for name in mnas.results.__all__))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split("\n")[:2] == ["[]", "True"]
