"""Measure a latency table, hold it against whole networks, and print how right it is beside marks.

One run measures the blocks of a space, times whole networks of all its resolutions and then of one,
and compares. With --table the table is kept: a measurement that was ended goes on, and a table that
is there already is only verified. A mark is `pass` where the value meets it, `MISS` where even the
better end of its 90 % bootstrap interval does not, and `open` between.

Example: python benchmarks/latency_accuracy.py benchmarks/diverse.yaml --runtime onnxruntime --json
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnas.arch import Architecture, PlannedBlock
from mnas.latency import (
    Interval,
    LatencyTable,
    Settings,
    Target,
    Verification,
    measure_table,
    verify_table,
)
from mnas.latency.accuracy import held_out_errors
from mnas.space import SearchSpace, load_space

MAPE_MARKS = {"onnxruntime": 0.03, "torch": 0.025}
WITHIN_10_MARK, SPEARMAN_MARK, SPEARMAN_WITHIN_MARK = 0.95, 0.99, 0.93
MACS_RATIO_MARK, RAW_BIAS_MARK, SMALL_PIXELS = 0.6, 0.05, 64
MOST_FLOOR = 0.03
_RESAMPLES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A figure beside what it ought to be."""

    name: str
    value: float
    low: float
    high: float
    mark: float
    at_most: bool

    @property
    def verdict(self) -> str:
        best = self.low if self.at_most else self.high
        met = (self.value <= self.mark) if self.at_most else (self.value >= self.mark)
        possible = (best <= self.mark) if self.at_most else (best >= self.mark)
        return "pass" if met else "open" if possible else "MISS"


@dataclass(frozen=True, slots=True)
class AtOneResolution:
    """The networks of a space that have one resolution."""

    space: SearchSpace
    resolution: int

    @property
    def name(self) -> str:
        return self.space.name

    @property
    def digest(self) -> str:
        return self.space.digest

    def reachable_blocks(self) -> Mapping[str, PlannedBlock]:
        return self.space.reachable_blocks()

    def sample(self, rng: random.Random) -> Architecture:
        while True:
            arch = self.space.sample(rng)
            if arch.input.resolution == self.resolution:
                return arch


def main() -> None:
    """Measure, verify twice, print."""
    arguments = _arguments()
    space = load_space(arguments.space)
    target = Target(runtime=arguments.runtime, threads=arguments.threads, dtype=arguments.dtype)
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.table or Path(folder) / "table.csv"
        table = _table(space, target, out, arguments)
        mixed = verify_table(
            table, space, arguments.networks, rounds=arguments.rounds, progress=_tell
        )
    resolution = arguments.resolution or _middle(space)
    one = mixed
    if len(_resolutions(space)) > 1:
        one = verify_table(
            replace(mixed, source="the table"),  # the file keeps what all resolutions gave
            AtOneResolution(space, resolution),
            arguments.networks_at_one,
            rounds=arguments.rounds,
            progress=_tell,
            seed=1,
        )
    found = _figures(space, mixed, one, resolution)
    print(json.dumps(found, indent=1) if arguments.json else _words(found))


def _table(
    space: SearchSpace, target: Target, out: Path, arguments: argparse.Namespace
) -> LatencyTable:
    if out.is_file():
        table = LatencyTable.load(out)
        table.require(target)
        return table.without_verification()
    return measure_table(
        space, target, out, most=arguments.most, progress=_tell, settings=Settings()
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    diverse = str(Path(__file__).parent / "diverse.yaml")
    parser.add_argument(
        "space", nargs="?", default=diverse, help="a search space file, or a shipped one's name"
    )
    parser.add_argument("--runtime", default="onnxruntime", help="as of `mnas latency measure`")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", type=int, default=70, help="whole networks to time")
    parser.add_argument(
        "--networks-at-one", type=int, default=50, help="further ones, at one resolution"
    )
    parser.add_argument("--resolution", type=int, default=None, help="that one, in pixels")
    parser.add_argument("--rounds", type=int, default=6, help="how often each is timed")
    parser.add_argument("--most", type=int, default=None, help="blocks to measure at most")
    parser.add_argument("--table", type=Path, default=None, help="keep the table in this file")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def _tell(done: int, total: int, what: str) -> None:
    if done in (0, total) or done % 200 == 0:
        print(f"{done} of {total}: {what[:60]}", file=sys.stderr)


def _resolutions(space: SearchSpace) -> list[int]:
    rng = random.Random(0)
    return sorted({space.sample(rng).input.resolution for _ in range(300)})


def _middle(space: SearchSpace) -> int:
    sides = _resolutions(space)
    return sides[len(sides) // 2]


def _marks(mixed: Verification, one: Verification, runtime: str, largest: int) -> list[Mark]:
    errors, macs_errors = held_out_errors(mixed.networks)
    ratio = _bootstrap(
        lambda rows: np.abs(errors[rows]).mean(-1) / np.abs(macs_errors[rows]).mean(-1),
        len(errors),
    )
    found = [
        _mark("MAPE", mixed.mape, MAPE_MARKS.get(runtime, 0.03), at_most=True),
        _mark("within 10 %", mixed.within_10_percent, WITHIN_10_MARK, at_most=False),
        _mark("Spearman", mixed.spearman, SPEARMAN_MARK, at_most=False),
        _mark("Spearman, one res.", one.spearman, SPEARMAN_WITHIN_MARK, at_most=False),
        _mark("error / MACs' error", ratio, MACS_RATIO_MARK, at_most=True),
    ]
    if largest <= SMALL_PIXELS:
        held_out = [each for each in mixed.networks if not each.fitted]
        raw = np.array([each.predicted_ms / each.measured_ms for each in held_out])
        bias = _bootstrap(lambda rows: np.abs(np.median(raw[rows], axis=-1) - 1), len(raw))
        found.append(_mark("bias uncorrected", bias, RAW_BIAS_MARK, at_most=True))
    return found


def _mark(name: str, found: Interval, mark: float, *, at_most: bool) -> Mark:
    return Mark(
        name=name, value=found.value, low=found.low, high=found.high, mark=mark, at_most=at_most
    )


def _bootstrap(
    statistic: Callable[[NDArray[np.intp]], NDArray[np.float64]], count: int
) -> Interval:
    rows = np.random.default_rng(0).integers(count, size=(_RESAMPLES, count))
    low, high = np.quantile(statistic(rows), [0.05, 0.95])
    value = statistic(np.arange(count)[None])[0]
    return Interval(value=float(value), low=float(low), high=float(high))


def _figures(
    space: SearchSpace, mixed: LatencyTable, one: LatencyTable, resolution: int
) -> dict[str, object]:
    assert mixed.verification is not None
    assert one.verification is not None
    marks = _marks(
        mixed.verification, one.verification, mixed.target.runtime, max(_resolutions(space))
    )
    raw = [
        each.predicted_ms / each.measured_ms
        for each in mixed.verification.networks
        if not each.fitted
    ]
    return {
        "space": space.name,
        "device": mixed.device,
        "runtime_version": mixed.runtime_version,
        "target": asdict(mixed.target),
        "blocks": dict(Counter(row.status.partition(":")[0] for row in mixed.rows)),
        "left_out": mixed.left_out,
        "empty_ms": mixed.empty_ms,
        "drift": mixed.drift,
        "calibration": mixed.calibration and asdict(mixed.calibration),
        "sum_over_measured": float(np.median(raw)),
        "marks": [{**asdict(mark), "verdict": mark.verdict} for mark in marks],
        "verification": asdict(mixed.verification),
        "resolution": resolution,
        "verification_at_one": asdict(one.verification),
    }


def _words(found: Mapping[str, object]) -> str:
    mixed, one = found["verification"], found["verification_at_one"]
    marks, target = found["marks"], found["target"]
    assert isinstance(mixed, dict)
    assert isinstance(one, dict)
    assert isinstance(target, dict)
    assert isinstance(marks, list)
    lines = [
        f"{found['space']}: {found['device']}, {target['runtime']} {found['runtime_version']}, "
        f"{target['dtype']}, {target['threads']} thread(s)",
        f"blocks              {found['blocks']}, drift {found['drift']:.1%}",
        f"noise floor         {mixed['noise_floor']:.1%} (at {found['resolution']} px "
        f"{one['noise_floor']:.1%})",
        f"verdict             {mixed['verdict']}: {mixed['reason']}",
        f"sum over measured   {found['sum_over_measured']:.3f} before any correction",
        "",
    ]
    if mixed["noise_floor"] > MOST_FLOOR:
        lines.append(
            f"The noise floor is above {MOST_FLOOR:.0%}: a mark that is not met here says more of "
            "this machine than of the table."
        )
    for mark in marks:
        unit = _percent if mark["at_most"] and "/" not in mark["name"] else _plain
        unit = _percent if mark["name"] == "within 10 %" else unit
        sign = "<=" if mark["at_most"] else ">="
        lines.append(
            f"{mark['name']:19} {unit(mark['value'])} ({unit(mark['low'])} to "
            f"{unit(mark['high'])})  {sign} {unit(mark['mark'])}  {mark['verdict']}"
        )
    lines += ["", *_further(mixed, one, found)]
    return "\n".join(lines)


def _further(
    mixed: Mapping[str, object], one: Mapping[str, object], found: Mapping[str, object]
) -> list[str]:
    def said(which: Mapping[str, object], name: str) -> str:
        interval = which[name]
        assert isinstance(interval, dict)
        unit = _plain if "spearman" in name else _percent
        return f"{unit(interval['value'])} ({unit(interval['low'])} to {unit(interval['high'])})"

    lines = [
        f"before correction   {said(mixed, 'mape_raw')}",
        f"MACs, same fit      {said(mixed, 'macs_mape')}, Spearman {said(mixed, 'macs_spearman')}",
        f"within 5 %          {said(mixed, 'within_5_percent')}",
        f"at {found['resolution']} px          error {said(one, 'mape')}, "
        f"MACs {said(one, 'macs_mape')}, their Spearman {said(one, 'macs_spearman')}",
    ]
    by_resolution = mixed["spearman_by_resolution"]
    assert isinstance(by_resolution, Mapping)
    return lines + [
        f"  Spearman at {side} px {_plain(each['value'])} ({_plain(each['low'])} to "
        f"{_plain(each['high'])})"
        for side, each in by_resolution.items()
    ]


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _plain(value: float) -> str:
    return f"{value:.3f}"


if __name__ == "__main__":
    main()
