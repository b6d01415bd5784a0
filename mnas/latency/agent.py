"""Times the models of a job folder on the machine it runs on, and says each time at once.

`mnas latency plan SPACE -o job/` copies this file into the folder. It needs Python 3.9 or newer,
its standard library, and the one runtime that `job.json` names (none where that names a command):

    python3 agent.py            times what `rows.jsonl` lacks, and adds to that file
    python3 agent.py --about    says as JSON what is here: device, runtime, models, free space
    python3 agent.py --stream   takes earlier rows on stdin and gives new ones on stdout

The models are timed in a process of their own: one that ends it, or hangs, is a row with its
reason. It is one file, longer than others here, because it travels alone.
The protocol is that of `mnas.latency.measuring`, in plain Python.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import importlib
import json
import math
import os
import platform
import random
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

EMPTY, REFERENCE = "empty", "reference"
MOST_FAILURES = 2  # one may be bad luck
BLOCKS_BETWEEN_CHECKS = 20
FAILED_BEFORE_ASKING = 5  # models that fail one after another: is the device still there?
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
CACHE_UNITS = {"K": 1 << 10, "M": 1 << 20}
LEAST_FILLING, MOST_FILLING = 32 << 20, 256 << 20  # bytes; of unnamed caches, of large servers
DEFECT, NO_RUNTIME, BUSY, GONE = 1, 3, 4, 5  # exit codes

Run = Callable[[], object]
Clock = Callable[[], float]


# --- the device


def describe_device(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name this machine's processor, or the board where it names itself, and its logical cores.

    Args:
        cpuinfo: The kernel's description of the processor, where there is one.

    Returns:
        Such as `Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores`.
    """
    cores = os.cpu_count() or 1
    name = _cpu_model(cpuinfo) or _board() or platform.processor() or platform.machine()
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"


def _cpu_model(cpuinfo: Path) -> str:
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    return ""


def _board(file: Path = Path("/proc/device-tree/model")) -> str:
    """What an Arm board calls itself, such as `Raspberry Pi 4 Model B Rev 1.4`."""
    try:
        return " ".join(file.read_text(encoding="utf-8", errors="replace").strip("\0 \n").split())
    except OSError:
        return ""


# --- runtimes: each makes one file ready to run


def prepare_onnxruntime(model: str | bytes, shape: list[int], threads: int) -> Run:
    """ONNX Runtime on the CPU, sequential, all graph optimisations, input and output bound."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (entry,), (output,) = session.get_inputs(), session.get_outputs()
    image: Any = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    if entry.type == "tensor(uint8)":
        image = np.clip(np.rint(image * 32 + 128), 0, 255).astype(np.uint8)
    binding = session.io_binding()
    binding.bind_ortvalue_input(entry.name, onnxruntime.OrtValue.ortvalue_from_numpy(image))
    binding.bind_output(output.name, "cpu")
    session.run_with_iobinding(binding)
    (first,) = binding.get_outputs()
    binding.clear_binding_outputs()
    binding.bind_ortvalue_output(output.name, first)
    return lambda: session.run_with_iobinding(binding)


def prepare_openvino(model: str | bytes, shape: list[int], threads: int) -> Run:
    """OpenVINO on the CPU, one stream, in fp32 also where the processor would rather use bf16."""
    import numpy as np
    import openvino

    core = openvino.Core()
    read = core.read_model(model)
    if read.input(0).partial_shape.is_dynamic:
        read.reshape(shape)
    compiled = core.compile_model(read, "CPU", pinned_openvino(threads))
    found = compiled.get_property("INFERENCE_PRECISION_HINT")
    if found != openvino.Type.f32:
        raise RuntimeError(f"OpenVINO was told to compute in f32 and says it uses {found}")
    request = compiled.create_infer_request()
    image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    request.set_input_tensor(openvino.Tensor(image))
    return lambda: request.infer()


def prepare_litert(model: str | bytes, shape: list[int], threads: int) -> Run:
    """LiteRT on the CPU with the XNNPACK delegate; of the shape only the batch is looked at."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    given = {"model_path": model} if isinstance(model, str) else {"model_content": model}
    interpreter = Interpreter(**given, num_threads=threads)
    (entry,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    sides = [shape[0], *(int(side) for side in entry["shape"][1:])]
    if sides[0] != entry["shape"][0]:
        interpreter.resize_tensor_input(entry["index"], sides)
    interpreter.allocate_tensors()
    parts = [each for each in interpreter._get_ops_details() if each["op_name"] == "DELEGATE"]
    if len(parts) != 1 or not (
        entry["index"] in parts[0]["inputs"] and output["index"] in parts[0]["outputs"]
    ):
        raise RuntimeError("XNNPACK does not run the whole model, as LiteRT was set to")
    image = np.random.default_rng(0).standard_normal(sides, dtype=np.float32)
    interpreter.set_tensor(entry["index"], image)
    return lambda: interpreter.invoke()


def pinned_onnxruntime(threads: int) -> dict[str, Any]:
    """What the session options above say."""
    return {
        "intra_op_threads": threads,
        "inter_op_threads": 1,
        "execution_mode": "sequential",
        "graph_optimizations": "all",
    }


def pinned_openvino(threads: int) -> dict[str, Any]:
    """Properties a model is compiled with."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }


def pinned_litert(threads: int) -> dict[str, Any]:
    """What the interpreter is made with; XNNPACK computes in fp32 unless it is told otherwise."""
    return {"num_threads": threads, "delegate": "XNNPACK", "precision": "fp32"}


class AgentRuntime(NamedTuple):
    """What runs files here.

    Attributes:
        prepare: Makes a file (or its bytes) ready to run, for a shape and a number of threads.
        pinned: What it is set to, for a number of threads.
        module: That must be importable.
        distribution: That holds the module.
        suffix: Of its files.
    """

    prepare: Callable[[str | bytes, list[int], int], Run]
    pinned: Callable[[int], dict[str, Any]]
    module: str
    distribution: str
    suffix: str


RUNTIMES: dict[str, AgentRuntime] = {
    "onnxruntime": AgentRuntime(
        prepare_onnxruntime, pinned_onnxruntime, "onnxruntime", "onnxruntime", ".onnx"
    ),
    "openvino": AgentRuntime(prepare_openvino, pinned_openvino, "openvino", "openvino", ".onnx"),
    "litert": AgentRuntime(
        prepare_litert, pinned_litert, "ai_edge_litert", "ai-edge-litert", ".tflite"
    ),
}


def cpu_clock_of(runtime: str) -> Clock:
    """CPU time of what runs the network: some runtimes do not run in the thread that calls them."""
    return time.thread_time if runtime == "onnxruntime" else time.process_time


# --- a command in place of a runtime

_NUMBER = r"([0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)"
_UNIT_MS = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3, "ns": 1e-6}
# What is looked for, in this order, and the unit of its number where the output names none.
_FORMS = (
    (re.compile(r'"ms"\s*:\s*' + _NUMBER), "ms"),
    (re.compile(r"^\s*ms\s*[=:]\s*" + _NUMBER + r"\s*$", re.MULTILINE), "ms"),
    (re.compile(r"Inference \(avg\):\s*" + _NUMBER), "us"),  # LiteRT's benchmark_model
    (
        re.compile(r"Average inference time cost(?: total)?:\s*" + _NUMBER + r"\s*ms"),
        "ms",
    ),  # ONNX Runtime's
    (re.compile(r"Median:\s*" + _NUMBER + r"\s*ms"), "ms"),  # OpenVINO's benchmark_app
    (re.compile(r"^\s*" + _NUMBER + r"\s*(ms|us|µs|ns|s)?\s*\Z", re.MULTILINE), "ms"),  # last line
)


def milliseconds_in(output: str) -> float | None:
    """The time that a benchmark's output tells; None where it tells none, or more than one."""
    for form, unit in _FORMS:
        found = list(form.finditer(output.rstrip()))
        if found:
            named = found[0].groups()[1] if form.groups > 1 else None
            ms = float(found[0].group(1)) * _UNIT_MS[named or unit]
            return ms if len(found) == 1 and math.isfinite(ms) and ms > 0 else None
    return None


def run_command(template: str, job: dict[str, Any], model: dict[str, Any], folder: Path) -> float:
    """Run the command for one model; its milliseconds.

    Raises:
        RuntimeError: It failed, hung, or told no time.
    """
    values = {
        "model": str(folder / model["file"]),
        "file": model["file"],
        "threads": str(job["target"]["threads"]),
        "runs": str(job["settings"]["runs"]),
        "warm_ups": str(job["settings"]["warm_ups"]),
    }
    line = re.sub(r"\{(\w+)\}", lambda m: _filled(values, m), template)
    process = subprocess.Popen(
        ["/bin/sh", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=job["timeout_s"])[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the command gave no answer in {job['timeout_s']:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said = " ".join(output.split())[-160:] or "nothing"
    if process.returncode:
        raise RuntimeError(f"the command ended with {_ending(process.returncode)}: it said {said}")
    ms = milliseconds_in(output)
    if ms is None:
        raise RuntimeError(f"the command's output holds no one time: it said {said}")
    return ms


def _filled(values: dict[str, str], match: re.Match[str]) -> str:
    """A placeholder's value; other braces belong to the shell."""
    value = values.get(match.group(1))
    return match.group(0) if value is None else shlex.quote(value)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


# --- statistics: those of mnas.latency.timing, without numpy


def time_pass(
    run: Run,
    target: dict[str, Any],
    settings: dict[str, float],
    cpu_clock: Clock,
    wall_clock: Clock,
) -> tuple[float, float]:
    """Warm up and time one prepared thing: lower quartiles, in milliseconds, by CPU and wall."""
    is_cold = target["regime"] == "cold"
    fastest = math.inf
    for _ in range(int(settings["warm_ups"])):
        start = wall_clock()
        run()
        fastest = min(fastest, wall_clock() - start)
    group = 1 if is_cold else max(1, math.ceil(settings["group_ms"] / 1e3 / max(fastest, 1e-7)))
    cpu, wall = [], []
    for _ in range(int(settings["runs"])):
        if is_cold:
            fill_caches()
        cpu_start, wall_start = cpu_clock(), wall_clock()
        for _ in range(group):
            run()
        cpu.append((cpu_clock() - cpu_start) / group * 1e3)
        wall.append((wall_clock() - wall_start) / group * 1e3)
    wall_ms = _at(sorted(wall), (len(wall) - 1) / 4)
    return (_at(sorted(cpu), (len(cpu) - 1) / 4) if target["threads"] == 1 else wall_ms), wall_ms


def fill_caches() -> None:
    """Fill every level of cache with something else, so that the next run begins cold."""
    there, here = _filling()
    there[:] = here


@functools.lru_cache(maxsize=1)
def _filling() -> tuple[memoryview, memoryview]:
    """Two buffers, each twice as large as the largest cache that the kernel names."""
    named = (path.read_text().strip() for path in CACHES.glob("index*/size"))
    sizes = [int(size[:-1]) * CACHE_UNITS.get(size[-1], 0) for size in named if size[:-1].isdigit()]
    size = min(max(LEAST_FILLING, *(2 * size for size in sizes), 0), MOST_FILLING)
    return memoryview(bytearray(size)), memoryview(b"\1" * size)  # of zeros there is one page


def lower_quartile(values: list[float]) -> float:
    """Of passes, by Weibull's plotting position: of three the fastest."""
    return _at(sorted(values), (len(values) + 1) / 4 - 1)


def _at(ordered: list[float], position: float) -> float:
    position = min(max(position, 0.0), len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


class Rows:
    """What was timed so far."""

    def __init__(self) -> None:
        self.passes: dict[str, list[tuple[float, float]]] = {}
        self.failures: dict[str, int] = {}

    def take(self, row: dict[str, Any]) -> None:
        if "failed" in row:
            self.failures[row["key"]] = self.failures.get(row["key"], 0) + 1
        elif "key" in row:
            self.passes.setdefault(row["key"], []).append((row["ms"], row["wall_ms"]))
            if row["key"] == EMPTY:
                self.failures.pop(EMPTY, None)  # it answers again

    def has_failed(self, key: str) -> bool:
        return self.failures.get(key, 0) >= MOST_FAILURES

    def is_settled(self, key: str, job: dict[str, Any]) -> bool:
        """Whether a block has enough passes, which agree and differ from an empty call."""
        settings, passes = job["settings"], self.passes.get(key, [])
        if len(passes) < settings["passes"]:
            return False
        empty = self.passes.get(EMPTY, [(0.0, 0.0)])
        empty_ms, empty_wall_ms = (lower_quartile([p[i] for p in empty]) for i in (0, 1))
        resolution_ms = settings["resolution_ms"]
        least_ms = max(settings["agreement"] * empty_ms, resolution_ms)
        times = sorted(p[0] for p in passes)
        ms = max(lower_quartile(times) - empty_ms, least_ms)
        wall_ms = max(lower_quartile([p[1] for p in passes]) - empty_wall_ms, least_ms)
        differ_ms = times[len(times) - 1 - len(times) // 4] - times[0]
        agrees = differ_ms <= max(settings["agreement"] * ms, resolution_ms)
        waited_ms = wall_ms - settings["contention"] * ms
        waits = job["target"]["threads"] == 1 and waited_ms > resolution_ms
        return bool(ms > least_ms and agrees and not waits)


# --- the worker: times in passes of random order


def work(job: dict[str, Any], folder: Path, rows: Rows, out: IO[str]) -> None:
    """Time everything that is not settled; `out` gets a line before and after each model."""
    models = {model["key"]: model for model in job["models"]}
    blocks = [key for key, model in models.items() if model["role"] == "block"]
    pass_throughs = [key for key, model in models.items() if model["role"] == "pass_through"]
    rng = random.Random(job["seed"])
    timer = _timer(job, folder)

    failed_in_a_row = 0

    def visit(key: str, model: dict[str, Any]) -> bool:
        nonlocal failed_in_a_row
        _put(out, {"begin": key})
        try:
            ms, wall_ms = timer(model)
        except Exception as error:  # whatever a runtime raises for one model, the others go on
            said = f"{type(error).__name__}: {error}" if job["command"] is None else str(error)
            row: dict[str, Any] = {"key": key, "failed": " ".join(said.split())[:300]}
        else:
            row = {"key": key, "ms": ms, "wall_ms": wall_ms}
        rows.take(row)
        _put(out, row)
        failed_in_a_row = failed_in_a_row + 1 if "failed" in row else 0
        return "failed" not in row

    def check() -> None:
        for key, model in (
            (EMPTY, models[EMPTY]),
            *((key, models[key]) for key in pass_throughs),
            (REFERENCE, models[job["reference"]]),
        ):
            if not rows.has_failed(key):
                visit(key, model)

    def require_life() -> None:
        """End rather than fail everything: a device that is gone runs not even an empty model."""
        if rows.has_failed(EMPTY):
            raise SystemExit(GONE)
        while not visit(EMPTY, models[EMPTY]):
            if rows.has_failed(EMPTY):
                raise SystemExit(GONE)

    require_life()
    for number in range(1, int(job["settings"]["most_passes"]) + 1):
        unfinished = [
            key
            for key in blocks
            if len(rows.passes.get(key, ())) < number
            and not rows.has_failed(key)
            and not rows.is_settled(key, job)
        ]
        rng.shuffle(unfinished)
        for index, key in enumerate(unfinished):
            if index % BLOCKS_BETWEEN_CHECKS == 0:
                check()
            visit(key, models[key])
            if failed_in_a_row == FAILED_BEFORE_ASKING:
                require_life()
        if unfinished:
            check()
    networks = [key for key, model in models.items() if model["role"] == "network"]
    for number in range(1, job["rounds"] + 1):
        for key in rng.sample(networks, len(networks)):
            if len(rows.passes.get(key, ())) < number and not rows.has_failed(key):
                visit(key, models[key])
                if failed_in_a_row == FAILED_BEFORE_ASKING:
                    require_life()
    if failed_in_a_row:
        require_life()  # the last ones may have failed because the device is gone


def _timer(job: dict[str, Any], folder: Path) -> Callable[[dict[str, Any]], tuple[float, float]]:
    if job["command"] is not None:

        def by_command(model: dict[str, Any]) -> tuple[float, float]:
            ms = run_command(job["command"], job, model, folder)
            return ms, ms

        return by_command
    runtime, threads = job["target"]["runtime"], job["target"]["threads"]
    prepare = RUNTIMES[runtime].prepare

    def by_runtime(model: dict[str, Any]) -> tuple[float, float]:
        run = prepare(str(folder / model["file"]), model["shape"], threads)
        clock = cpu_clock_of(runtime)
        return time_pass(run, job["target"], job["settings"], clock, time.perf_counter)

    return by_runtime


def _own_stdout() -> IO[str]:
    """Where rows go. Whatever else is printed here, by a runtime or in C, goes to stderr.

    It stays open until the process ends: its end is what tells the supervisor so.
    """
    rows = os.fdopen(os.dup(1), "w", encoding="utf-8", closefd=False)
    os.dup2(2, 1)
    return rows


# --- the supervisor: keeps the worker alive and the rows


def supervise(folder: Path, job: dict[str, Any], past: list[str], out: IO[str]) -> None:
    """Run workers until everything is timed; each row goes to `out` at once."""
    rows = _tried_again(past)
    if not any('"about"' in line for line in rows[:1]):
        rows[:0] = [_put(out, {"about": about(job)})]
    while True:
        worker = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--work", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            begun, reason = _follow(worker, job, rows, out)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            code = worker.wait()
            if worker.stdout is not None:
                worker.stdout.close()
        if code == 0 and begun is None:
            break
        if begun is None:
            raise SystemExit(code if code > 0 else DEFECT)
        said = reason or f"the runtime ended the process with {_ending(code)}"
        rows.append(_put(out, {"key": begun, "failed": said}))
    _put(out, {"done": True})


def _tried_again(past: list[str]) -> list[str]:
    """Earlier rows, with at most one failure of each model: what failed then is tried again."""
    kept: dict[str, str] = {}
    for index, line in enumerate(past):
        row = json.loads(line) if line.strip() else {"done": True}
        if "done" not in row:
            kept[f"failed {row['key']}" if "failed" in row else str(index)] = line
    return list(kept.values())


def _follow(
    worker: subprocess.Popen[bytes], job: dict[str, Any], rows: list[str], out: IO[str]
) -> tuple[str | None, str | None]:
    """Take rows until the worker ends or hangs: what it was at then, and why if it hung."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.write("".join(f"{line}\n" for line in rows).encode())
        worker.stdin.close()
    begun: str | None = None
    buffer = b""
    limit_s = job["timeout_s"] + (30 if job["command"] is not None else 0)
    with selectors.DefaultSelector() as waiting:
        waiting.register(worker.stdout, selectors.EVENT_READ)
        while True:
            if not waiting.select(limit_s):
                return begun, f"no answer in {limit_s:g} s"
            data = os.read(worker.stdout.fileno(), 65536)
            if not data:
                return begun, None
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                row = _row_in(line)
                if row is None:
                    continue
                begun = row.get("begin")
                if begun is None:
                    rows.append(_put(out, row))


def _row_in(line: bytes) -> dict[str, Any] | None:
    """A worker's row; None for what a program that the runtime started wrote between them."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _put(out: IO[str], row: dict[str, Any]) -> str:
    line = json.dumps(row)
    out.write(line + "\n")
    out.flush()
    return line


def about(job: dict[str, Any]) -> dict[str, Any]:
    """Device, runtime, version and what is pinned; exits where the runtime is not there."""
    if job["command"] is not None:
        return {"device": job["device"] or f"behind {job['command']}", "runtime_version": "unknown"}
    runtime = job["target"]["runtime"]
    found = RUNTIMES[runtime]
    module, distribution = found.module, found.distribution
    try:
        importlib.import_module(module)
        version = str(getattr(sys.modules[module], "__version__", ""))
        if not version:
            from importlib.metadata import version as version_of

            version = version_of(distribution)
    except ImportError as error:
        sys.stderr.write(
            f"{sys.executable} has no {runtime} ({error}): install it there with "
            f"`{sys.executable} -m pip install {distribution}`, or name another Python\n"
        )
        raise SystemExit(NO_RUNTIME) from None
    return {
        "device": job["device"] or describe_device(),
        "runtime_version": version,
        "pinned": found.pinned(job["target"]["threads"]),
    }


@contextlib.contextmanager
def alone(job: dict[str, Any], out: IO[str]) -> Iterator[None]:
    """Hold this machine's lock, as `mnas.arch.machine_lock` does; a command's device is another."""
    with contextlib.ExitStack() as held:
        if job["command"] is None:
            given = os.environ.get("MNAS_LOCK_FOLDER")
            shared = Path("/run/lock")
            writable = shared.is_dir() and os.access(shared, os.W_OK | os.X_OK)
            usual = shared if writable and shared.stat().st_mode & 0o002 else None
            place = Path(given).expanduser() if given else usual or Path(tempfile.gettempdir())
            for name in ("mnas.turn", "mnas.lock"):
                file = held.enter_context(_opened_for_all(place / name))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    _put(out, {"waiting": "waiting until nothing else trains or measures there"})
                    fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _opened_for_all(path: Path) -> Iterator[int]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        os.fchmod(file, 0o666)
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def only_one(folder: Path, *, instead: bool) -> Iterator[None]:
    """Let one agent run in a folder; with `instead`, end the one that lost its connection."""
    with (folder / "agent.pid").open("a+") as file:
        for _ in range(100):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                pid = file.read().strip()
                if not instead or not pid.isdecimal():
                    sys.stderr.write(f"another agent (process {pid}) runs in {folder}\n")
                    raise SystemExit(BUSY) from None
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGTERM)
                time.sleep(0.1)
        else:
            sys.stderr.write(f"another agent (process {pid}) runs in {folder} and does not end\n")
            raise SystemExit(BUSY)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def inventory(folder: Path) -> dict[str, Any]:
    """The models that are here, with their sizes, and the space that is left."""
    models = folder / "models"
    files = sorted(models.iterdir()) if models.is_dir() else []
    return {
        "files": {f"models/{file.name}": file.stat().st_size for file in files},
        "free_bytes": shutil.disk_usage(folder).free,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the models of a job folder.")
    parser.add_argument("--about", action="store_true", help="say what is here")
    parser.add_argument("--stream", action="store_true", help="earlier rows in, new rows out")
    parser.add_argument("--folder", help="the job; the folder of this file unless it is said")
    parser.add_argument("--work", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    out = _own_stdout()
    folder = Path(arguments.work or arguments.folder or Path(__file__).resolve().parent)
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    if arguments.work:
        rows = Rows()
        for line in sys.stdin:
            rows.take(json.loads(line))
        work(job, folder, rows, out)
        return
    if arguments.about:
        _put(out, {**about(job), **inventory(folder)})
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the worker ends too
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    if arguments.stream:
        past = sys.stdin.read().splitlines()
        with only_one(folder, instead=True), alone(job, out):
            supervise(folder, job, past, out)
        return
    with only_one(folder, instead=False), alone(job, sys.stderr):
        kept = folder / "rows.jsonl"
        past = _sound_lines(kept)
        with kept.open("a", encoding="utf-8") as rows_here:
            supervise(folder, job, past, rows_here)
        sys.stderr.write(f"done: bring {kept} back, or the whole folder\n")


def _sound_lines(path: Path) -> list[str]:
    """Earlier rows; a torn last line is cut off."""
    if not path.exists():
        return []
    data = path.read_bytes()
    kept = data[: data.rfind(b"\n") + 1]
    if len(kept) < len(data):
        with path.open("rb+") as file:
            file.truncate(len(kept))
    return kept.decode("utf-8", errors="replace").splitlines()


if __name__ == "__main__":
    main()
