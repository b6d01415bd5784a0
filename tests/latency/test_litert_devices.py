"""TFLite models for other devices: in a job folder, and behind adb with benchmark_model."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_devices import QUICK

from mnas.latency import LatencyTable, Target, measure_on, plan_job, read_job, run_job

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(
        importlib.util.find_spec("ai_edge_litert") is None, reason="no ai-edge-litert"
    ),
]
PAGE = Path(__file__).parents[2] / "docs" / "devices.md"
LITERT = Target(runtime="litert")
# What the tool prints for a small model: TensorFlow's tools/benchmark, and LiteRT's after it.
BENCHMARK_MODEL = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [{threads}]
INFO: Graph: [{graph}]
INFO: Signature to run: []
INFO: #threads used for CPU inference: [{threads}]
INFO: Use xnnpack: [1]
INFO: Loaded model {graph}
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by \
the delegate.
INFO: The input model file size (MB): 0.004448
INFO: Initialized session in 0.855ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if \
exceeding 150 seconds.
INFO: count=1500 first=490 curr=336 min=328 max=490 avg=348.251 std=39

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if \
exceeding 150 seconds.
INFO: count=3010 first=328 curr=339 min=326 max=340 avg={us} std=4

INFO: Inference timings in us: Init: 855, First inference: 490, Warmup (avg): 348.251, \
Inference (avg): {us}
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only \
APPROXIMATE to the actual memory footprint of the model at runtime. Take the information at your \
discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=0 overall=12.8672
"""
ADB = f"""#!{sys.executable}
import pathlib, shlex, shutil, sys

phone = pathlib.Path(__file__).parent / "phone"
if sys.argv[1] == "push":
    shutil.copy(sys.argv[2], phone / pathlib.Path(sys.argv[3]).name)
    (phone / "pushed").write_text(sys.argv[2])
    print("1 file pushed, 0 skipped.")
    sys.exit(0)
program, *flags = shlex.split(" ".join(sys.argv[2:]))
assert program == "/data/local/tmp/benchmark_model", program
given = dict(flag.removeprefix("--").split("=") for flag in flags)
model = (phone / pathlib.Path(given["graph"]).name).read_bytes()
assert model[4:8] == b"TFL3", "no TFLite model"
us = 5.25 if "empty" in (phone / "pushed").read_text() else 332.094
print({BENCHMARK_MODEL!r}.format(threads=given["num_threads"], graph=given["graph"], us=us))
"""


def test_a_job_measures_and_verifies_where_it_was_copied_to(tiny_space, tmp_path):
    plan_job(tiny_space, LITERT, tmp_path / "job", networks=3, settings=QUICK)
    (tmp_path / "job").rename(tmp_path / "usb")
    agent = tmp_path / "usb" / "agent.py"
    subprocess.run([sys.executable, agent], capture_output=True, check=True)

    table = run_job(read_job(tmp_path / "usb"), tmp_path / "t.csv")

    models = list((tmp_path / "usb" / "models").iterdir())
    assert {path.suffix for path in models} == {".tflite"}
    assert table.pinned == {"num_threads": 1, "delegate": "XNNPACK", "precision": "fp32"}
    assert all(row.ms is not None for row in table.rows)
    assert table.verification is not None
    assert LatencyTable.load(tmp_path / "t.csv") == table


def test_the_documented_command_times_tflite_models_on_a_phone(tiny_space, tmp_path, monkeypatch):
    (tmp_path / "phone").mkdir()
    adb = tmp_path / "adb"
    adb.write_text(ADB)
    adb.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (command,) = re.findall(r"--target '(cmd:adb push .*benchmark_model.*)'", PAGE.read_text())

    table = measure_on(
        command, tiny_space, LITERT, tmp_path / "t.csv", settings=QUICK, device="Phone"
    )

    assert table.empty_ms == pytest.approx(5.25e-3)
    assert [row.ms for row in table.rows] == pytest.approx([0.326844] * len(table.rows))
    assert table.target.runtime == "litert"
