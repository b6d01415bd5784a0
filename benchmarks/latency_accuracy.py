"""Measure a latency table, verify it on whole networks, and print how right it is.

Example: python benchmarks/latency_accuracy.py small_28 --runtime onnxruntime --json
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from mnas.latency import Interval, LatencyTable, Target, measure_table, verify_table
from mnas.space import load_space


def main() -> None:
    """Measure, verify, print."""
    arguments = _arguments()
    space = load_space(arguments.space)
    target = Target(runtime=arguments.runtime, threads=arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.table or Path(folder) / "table.csv"
        table = measure_table(space, target, out, most=arguments.most, progress=_tell)
        table = verify_table(table, space, arguments.networks, progress=_tell)
    print(json.dumps(_figures(table), indent=1) if arguments.json else _words(table))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("space", help="a search space file, or the name of a shipped one")
    parser.add_argument("--runtime", default="onnxruntime", help="onnxruntime or torch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", type=int, default=70, help="whole networks to time")
    parser.add_argument("--most", type=int, default=None, help="blocks to measure at most")
    parser.add_argument("--table", type=Path, default=None, help="keep the table in this file")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def _tell(done: int, total: int, what: str) -> None:
    if done in (0, total):
        print(f"{what}: {done} of {total}", file=sys.stderr)


def _figures(table: LatencyTable) -> dict[str, object]:
    assert table.verification is not None
    return {
        "device": table.device,
        "runtime_version": table.runtime_version,
        "target": asdict(table.target),
        "blocks": len(table.rows),
        "noisy_blocks": sum(row.status == "noisy" for row in table.rows),
        "failed_blocks": sum(row.ms is None for row in table.rows),
        "empty_ms": table.empty_ms,
        "drift": table.drift,
        "calibration": table.calibration and asdict(table.calibration),
        "verification": asdict(table.verification),
    }


def _words(table: LatencyTable) -> str:
    found = table.verification
    assert found is not None
    lines = [
        f"{table.device}, {table.target.runtime} {table.runtime_version}, "
        f"{table.target.threads} thread(s): {len(table.rows)} blocks",
        f"verdict           {found.verdict}: {found.reason}",
        f"error             {_percent(found.mape)}   before correction {_percent(found.mape_raw)}",
        f"MACs, same fit    {_percent(found.macs_mape)}",
        f"within 5 / 10 %   {_percent(found.within_5_percent)} / "
        f"{_percent(found.within_10_percent)}",
        f"Spearman          {_number(found.spearman)}   MACs {_number(found.macs_spearman)}",
    ]
    lines += [
        f"  at {resolution} px      {_number(interval)}"
        for resolution, interval in found.spearman_by_resolution.items()
    ]
    return "\n".join([*lines, f"noise floor       {found.noise_floor:.1%}"])


def _percent(interval: Interval) -> str:
    return f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def _number(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


if __name__ == "__main__":
    main()
