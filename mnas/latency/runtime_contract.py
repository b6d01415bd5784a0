"""The tests that every runtime passes; one that a package adds inherits them."""

import json
import time
from typing import ClassVar

from mnas.arch import (
    SE,
    Architecture,
    BatchNorm,
    DepthwiseSeparable,
    FusedInvertedResidual,
    HeadConv,
    HeadLinear,
    HeadPool,
    Input,
    InvertedResidual,
    MnasError,
    Padding,
    PlannedBlock,
    Stem,
    UniversalInvertedBottleneck,
    plan,
)
from mnas.latency.runtime import Runtime, runtime_for, runtime_problems
from mnas.latency.target import Target
from mnas.latency.timing import Clock, Settings, time_pass

_QUICK = Settings(warm_ups=1, runs=2, passes=1, most_passes=1, group_ms=0.001)


class RuntimeContract:
    """What mnas relies on in a runtime, as tests for pytest.

    Inherit it under a name that begins with `Test` and give the runtime's name:

        class TestMyRuntime(RuntimeContract):
            name = "my-runtime"

    Attributes:
        name: By which `mnas.runtimes` (or mnas itself) knows it.
    """

    name: ClassVar[str] = ""

    @property
    def runtime(self) -> Runtime:
        """What the name stands for."""
        return runtime_for(self.target)

    @property
    def target(self) -> Target:
        """One thread in fp32."""
        return Target(runtime=self.name)

    def test_it_is_a_runtime_with_a_version(self) -> None:
        assert runtime_problems(self.runtime) == []
        assert isinstance(self.runtime.version, str)
        assert self.runtime.version

    def test_it_computes_in_fp32(self) -> None:
        assert "fp32" in self.runtime.dtypes

    def test_what_it_pins_can_stand_in_a_table(self) -> None:
        pinned = dict(self.runtime.pinned(self.target))
        assert pinned
        assert json.loads(json.dumps(pinned)) == pinned

    def test_the_empty_model_runs(self) -> None:
        with self.runtime.hold(self.target):
            run = self.runtime.prepare((), self.target)
            for _ in range(3):
                run()

    def test_every_kind_of_block_runs_alone(self) -> None:
        for dtype in self.runtime.dtypes:
            target = Target(runtime=self.name, dtype=dtype)
            with self.runtime.hold(target):
                for block in {block.key: block for block in _blocks()}.values():
                    self.runtime.prepare((block,), target)()

    def test_a_whole_network_runs_again_and_again(self) -> None:
        with self.runtime.hold(self.target):
            run = self.runtime.prepare(plan(example("same")).blocks, self.target)
            for _ in range(3):
                run()

    def test_other_targets_run_or_are_refused(self) -> None:
        for target in (
            Target(runtime=self.name, threads=2),
            Target(runtime=self.name, batch=2),
        ):
            try:
                assert self.runtime.pinned(target)
            except MnasError:
                continue
            with self.runtime.hold(target):
                self.runtime.prepare(plan(example("symmetric")).blocks, target)()

    def test_holding_gives_a_clock_that_sees_the_network(self) -> None:
        with self.runtime.hold(self.target) as own:
            run = self.runtime.prepare(plan(example("symmetric")).blocks, self.target)
            found = time_pass(run, self.target, _QUICK, own or Clock())
        assert 0 < found.ms < 1e4
        assert found.wall_ms > 0

    def test_waiting_is_no_time_of_the_network(self) -> None:
        with self.runtime.hold(self.target) as own:
            cpu = (own or Clock()).cpu
            before = cpu()
            time.sleep(0.05)
            assert cpu() - before < 0.05

    def test_holding_can_be_repeated(self) -> None:
        for _ in range(2):
            with self.runtime.hold(self.target):
                self.runtime.prepare((), self.target)()


def example(padding: Padding, resolution: int = 16) -> Architecture:
    """A small network with every operator, activation and gate, and a squeeze of each kind.

    At 16 px a map's sides and channels agree in places, where a runtime that broadcasts along the
    wrong axis would go unnoticed by its shapes alone.
    """
    return Architecture(
        name="contract",
        input=Input(channels=3, resolution=resolution),
        num_classes=10,
        padding=padding,
        norm=BatchNorm(eps=1e-3, momentum=0.1),
        dropout=0.2,
        stem=Stem(kernel=3, stride=2, out_channels=8, activation="hard_swish"),
        blocks=(
            DepthwiseSeparable(
                kernel=3, stride=1, out_channels=8, activation="relu6",
                pointwise_activation=None, se=SE(channels=4, activation="relu", gate="sigmoid"),
                residual=True,
            ),
            InvertedResidual(
                kernel=5, stride=2, expanded_channels=16, out_channels=12,
                activation="hard_swish", expand=True,
                se=SE(channels=4, activation="relu", gate="hard_sigmoid"), residual=False,
            ),
            FusedInvertedResidual(
                kernel=3, stride=1, expanded_channels=16, out_channels=12, activation="silu",
                se=SE(channels=8, activation="silu", gate="sigmoid"), residual=True,
            ),
            UniversalInvertedBottleneck(
                start_kernel=3, kernel=5, stride=2, expanded_channels=24, out_channels=16,
                activation="gelu", residual=False,
            ),
        ),
        head=(
            HeadConv(out_channels=24, norm=True, bias=False, activation="relu"),
            HeadPool(),
            HeadConv(out_channels=20, norm=False, bias=True, activation="hard_swish"),
            HeadLinear(out_features=16, norm=False, bias=True, activation="hard_swish"),
        ),
    )  # fmt: skip


def _blocks() -> tuple[PlannedBlock, ...]:
    paddings: tuple[Padding, ...] = ("symmetric", "same")
    return tuple(block for padding in paddings for block in plan(example(padding)).blocks)
