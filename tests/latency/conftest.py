"""A small space, and a runtime whose costs are known exactly because its clock is virtual."""

import contextlib
import hashlib
import itertools
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence

import pytest
from fake_devices import fake_ssh

from mnas.arch import (
    SE,
    Architecture,
    BatchNorm,
    DepthwiseSeparable,
    HeadConv,
    HeadPool,
    Input,
    InvertedResidual,
    PlannedBlock,
    Stem,
    layer_macs,
    plan,
)
from mnas.latency import Clock, Target, plan_job

CALL_MS = 0.005


class SmallSpace:
    """Kernel, expansion and SE of each of four blocks, at three resolutions."""

    name = "small"
    resolutions = (16, 24, 32)
    kernels = (3, 5)
    expansions = (2, 4)
    squeezes = (False, True)

    @property
    def digest(self) -> str:
        parts = [self.resolutions, self.kernels, self.expansions, self.squeezes]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def architecture(self, resolution: int, picks: Sequence[tuple[int, int, bool]]) -> Architecture:
        blocks, channels = [], 8
        for (kernel, expansion, squeeze), out_channels, stride in zip(
            picks, (16, 16, 24, 24), (2, 1, 2, 1), strict=True
        ):
            blocks.append(
                InvertedResidual(
                    kernel=kernel,
                    stride=stride,
                    expanded_channels=channels * expansion,
                    out_channels=out_channels,
                    activation="hard_swish",
                    expand=True,
                    se=SE(channels=8, activation="relu", gate="hard_sigmoid") if squeeze else None,
                    residual=stride == 1,
                )
            )
            channels = out_channels
        first = DepthwiseSeparable(
            kernel=3,
            stride=1,
            out_channels=8,
            activation="relu",
            pointwise_activation=None,
            se=None,
            residual=True,
        )
        return Architecture(
            name="small",
            input=Input(channels=3, resolution=resolution),
            num_classes=10,
            padding="symmetric",
            norm=BatchNorm(eps=1e-3, momentum=0.1),
            dropout=0.1,
            stem=Stem(kernel=3, stride=1, out_channels=8, activation="relu"),
            blocks=(first, *blocks),
            head=(HeadConv(out_channels=64, norm=True, bias=False, activation="relu"), HeadPool()),
        )

    def sample(self, rng: random.Random) -> Architecture:
        options = list(itertools.product(self.kernels, self.expansions, self.squeezes))
        return self.architecture(
            rng.choice(self.resolutions), [rng.choice(options) for _ in range(4)]
        )

    def reachable_blocks(self) -> dict[str, PlannedBlock]:
        options = list(itertools.product(self.kernels, self.expansions, self.squeezes))
        networks = (
            self.architecture(resolution, [option] * 4)
            for resolution in self.resolutions
            for option in options
        )
        return {block.key: block for network in networks for block in plan(network).blocks}


class TinySpace(SmallSpace):
    """The same at one resolution without SE or expansions: few blocks, for real runtimes."""

    name = "tiny"
    resolutions = (16,)
    expansions = (2,)
    squeezes = (False,)


class VirtualMachine:
    """A runtime and its clock: running a block moves the clock by that block's cost.

    Attributes:
        cost_ms: Milliseconds of each block beyond the call itself.
        disturb: Gives extra CPU and wall milliseconds of a run, for the number of the run.
        bias: Multiplies the blocks of whole networks: what isolated blocks get wrong.
        failing: Keys of blocks that cannot be run.
        prepared: Keys in the order in which they were made ready.
    """

    version = "1.0"
    dtypes = ("fp32",)
    file_format = None

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = 0.0
        self.cost_ms: Callable[[PlannedBlock], float] = lambda block: (
            0.01 + sum(map(layer_macs, block.layers)) * 1e-7
        )
        self.disturb: Callable[[str], tuple[float, float]] = lambda key: (0.0, 0.0)
        self.bias: Callable[[Sequence[PlannedBlock]], float] = lambda blocks: 1.0
        self.failing: Mapping[str, str] = {}
        self.prepared: list[str] = []
        self.runs = 0

    @property
    def clock(self) -> Clock:
        return Clock(cpu=lambda: self.cpu_s, wall=lambda: self.wall_s)

    def pinned(self, target: Target) -> Mapping[str, int]:
        return {"threads": target.threads}

    def hold(self, target: Target) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def prepare(self, blocks: Sequence[PlannedBlock], target: Target) -> Callable[[], object]:
        key = "+".join(block.key for block in blocks)
        if key in self.failing:
            raise RuntimeError(self.failing[key])
        self.prepared.append(key)
        cost = CALL_MS + self.bias(blocks) * sum(map(self.cost_ms, blocks))

        def run() -> None:
            extra_cpu, extra_wall = self.disturb(key)
            self.runs += 1
            self.cpu_s += (cost + extra_cpu) / 1e3
            self.wall_s += (cost + extra_cpu + extra_wall) / 1e3

        return run


@pytest.fixture(autouse=True)
def own_machine_lock(tmp_path_factory, monkeypatch) -> None:
    """A training elsewhere on this machine does not hold up a test: timings do not matter here."""
    monkeypatch.setenv("MNAS_LOCK_FOLDER", str(tmp_path_factory.mktemp("lock")))


@pytest.fixture
def space() -> SmallSpace:
    return SmallSpace()


@pytest.fixture
def tiny_space() -> TinySpace:
    return TinySpace()


@pytest.fixture
def machine() -> VirtualMachine:
    return VirtualMachine()


@pytest.fixture(scope="session")
def job_text(tmp_path_factory):
    """What a sound `job.json` says."""
    folder = tmp_path_factory.mktemp("job")
    plan_job(TinySpace(), Target(), folder, networks=0)
    return (folder / "job.json").read_text()


@pytest.fixture
def ssh_home(tmp_path, monkeypatch):
    home = fake_ssh(tmp_path)
    monkeypatch.setenv("FAKE_SSH_HOME", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return home
