import dataclasses
import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mnas import Architecture, count, load_space
from mnas.arch import read_timm_text
from mnas.cli.answers import answering, to_plain
from mnas.space import load_published


@pytest.mark.parametrize(
    ("argv", "keys"),
    [
        (("space", "show", "SPACE"), {"name", "size", "choices", "params", "reachable_blocks"}),
        (("space", "check", "SPACE"), {"name", "faults", "warnings"}),
        (("count", "NETWORK", "--no-thop"), {"params", "macs", "peak_activation_bytes", "blocks"}),
        (("latency", "plan", "SPACE"), {"target", "blocks", "seconds"}),
        (("latency", "predict", "TABLE", "NETWORK"), {"ms", "low_ms", "high_ms"}),
        (("latency", "show", "TABLE"), {"target", "rows", "verification", "calibration"}),
        (("search", "EXPERIMENT", "--dry-run"), {"encodings", "feasible_share", "tables"}),
    ],
)
def test_json_is_one_document_whose_keys_are_attribute_names(
    mnas, argv, keys, space_file, network_file, table_file, experiment_file
):
    files = {
        "SPACE": space_file,
        "NETWORK": network_file,
        "TABLE": table_file,
        "EXPERIMENT": experiment_file,
    }

    ended = mnas(*(files.get(each, each) for each in argv), "--json")

    assert ended.code == 0, ended.err
    assert keys <= json.loads(ended.out).keys()


def test_json_stays_pure_when_a_library_prints(capsys):
    with answering(True) as answer:
        print("a library says hello")
        answer.give({"ms": 1.0}, list)

    said = capsys.readouterr()
    assert json.loads(said.out) == {"ms": 1.0}
    assert "hello" in said.err


def test_a_whole_process_writes_nothing_but_the_document_to_stdout(network_file):
    found = subprocess.run(
        [sys.executable, "-m", "mnas", "count", str(network_file), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )

    document = json.loads(found.stdout)
    thop = document["thop"]
    assert (thop["macs"], thop["params"]) == (document["macs"], document["params"])
    assert thop["block_macs"] == [block["macs"] for block in document["blocks"]]
    assert found.stderr == ""


def test_samples_are_documents_that_can_be_read_back(mnas, space_file):
    lines = mnas("space", "sample", space_file, "-n", 3, "--seed", 1).out.splitlines()

    drawn = [Architecture.from_json(line) for line in lines]
    assert len(drawn) == 3
    assert json.loads(mnas("space", "sample", space_file, "-n", 3, "--seed", 1, "--json").out) == [
        json.loads(line) for line in lines
    ]


def test_counts_are_shown_block_by_block_with_the_second_opinion(mnas):
    shown = mnas("count", "mobilenet_v2").out

    assert "3,504,872" in shown
    assert "300,774,272 MACs: the same" in shown
    assert "327,550,720" in shown
    assert "blocks.16" in shown


def test_the_range_of_latencies_is_shown_with_a_table(mnas, space_file, table_file):
    shown = mnas("space", "show", space_file, "--table", table_file, "--budget-ms", 1000).out

    assert re.search(r"^latency +[0-9.]+ ms to [0-9.]+ ms, predicted$", shown, re.MULTILINE)
    assert re.search(r"^within 1000 ms +100.0 %", shown, re.MULTILINE)
    assert "Not verified" in shown


def test_the_ranges_are_those_of_the_whole_space_and_the_skeleton_is_drawn(mnas, space_file):
    counts = [count(arch) for arch in load_space(space_file).enumerate()]
    ended = mnas("space", "show", space_file, "--json")
    shown = json.loads(ended.out)
    assert shown["params"] == [min(c.params for c in counts), max(c.params for c in counts)]
    assert shown["macs"] == [min(c.macs for c in counts), max(c.macs for c in counts)]
    drawn = mnas("space", "show", space_file).out
    assert re.search(r"# +stages.0 +6 +16 +inverted_residual, stride 2, kernel 3 5", drawn)
    assert "432^5" in mnas("space", "show", "mnasnet").out


def test_distinct_samples_are_drawn_on_request(mnas, space_file):
    drawn = mnas("space", "sample", space_file, "-n", 40, "--distinct").out.splitlines()
    assert len({Architecture.from_json(line) for line in drawn}) == 4


def test_an_unverified_table_says_so_and_how_to_verify_it(mnas, table_file, network_file):
    assert "Not verified" in mnas("latency", "show", table_file).out
    assert "not verified" in mnas("latency", "predict", table_file, network_file).out


def test_the_data_of_a_plan_is_carried_into_the_next_command(mnas, space_file):
    shown = mnas("latency", "plan", space_file, "--num-classes", 7, "--threads", 2).out

    assert "--threads 2" in shown
    assert "--num-classes 7" in shown


@dataclass(frozen=True)
class Sample:
    path: Path
    share: float
    hidden: int = field(repr=False)


def test_values_become_json_without_hidden_attributes_and_nan():
    value = Sample(path=Path("a/b"), share=math.nan, hidden=3)

    assert to_plain({1: (value,)}) == {"1": [{"path": "a/b", "share": None}]}


def test_timm_s_notation_is_the_whole_answer(mnas):
    shown = mnas("count", "mobilenet_v2", "--timm").out
    assert read_timm_text(shown).blocks[0] == load_published("mobilenet_v2").blocks[0]
    told = json.loads(mnas("count", "mobilenet_v2", "--timm", "--json").out)
    assert told["timm"] == shown
    assert told["thop"]["macs"] == told["macs"]  # JSON has the figures too
    assert json.loads(mnas("count", "mobilenet_v2", "--no-thop", "--json").out)["timm"] is None


def test_a_network_that_timm_cannot_say_is_bad_input(mnas, small_network, tmp_path):
    other = dataclasses.replace(
        small_network, stem=dataclasses.replace(small_network.stem, stride=1)
    )
    (tmp_path / "other.json").write_text(other.to_json())

    ended = mnas("count", tmp_path / "other.json", "--timm")

    assert ended.code == 2
    assert "cannot be said in timm's notation: stem.stride is always 2" in ended.err


def test_faults_of_a_broken_space_are_one_document_too(mnas, tmp_path):
    (tmp_path / "broken.yaml").write_text("schema: mnas.space/1\nname: x\nstages: {}\nkernal: 3\n")

    ended = mnas("space", "check", tmp_path / "broken.yaml", "--json")

    assert ended.code == 2
    document = json.loads(ended.out)
    assert document["warnings"] == []
    assert {"kernal", "stages"} <= {fault["place"] for fault in document["faults"]}
    assert all(fault["line"] for fault in document["faults"] if fault["place"] == "kernal")
    assert "kernal" in ended.err
