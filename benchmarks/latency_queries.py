"""How many networks a second a latency table predicts, one by one and from encodings.

Both ways are timed in one run, on the same networks, in CPU time of the one thread they need; and
they are compared with each other, as numbers and as decisions about budgets.

Example: python benchmarks/latency_queries.py ofa_mobilenet_v3 --json
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mnas.arch import Architecture, plan
from mnas.latency import LatencyTable, TableRow, Target
from mnas.space import load_space

ONE_BY_ONE_MARK, COMPILED_MARK, AGREEMENT_MARK = 50_000, 5_000_000, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured; rates are per second of CPU time, the median of the repetitions.

    Attributes:
        first_per_s: Networks met for the first time, of blocks that were met before.
        again_per_s: The same networks once more.
        planned_per_s: What planning each and adding up its blocks would give.
        compiled_per_s: Encodings.
        compile_s: Seconds to compile the space and the table, once.
        largest_difference: Between the two ways, relative.
        decisions: Budgets times networks on which both decided.
        disagreements: Of these.
    """

    space: str
    choices: int
    blocks: int
    first_per_s: float
    again_per_s: float
    planned_per_s: float
    compiled_per_s: float
    compile_s: float
    largest_difference: float
    decisions: int
    disagreements: int


def main() -> None:
    """Measure, print, and end with 1 if the two ways differ."""
    arguments = _arguments()
    found = _measure(arguments.space, arguments.networks, arguments.rows, arguments.repeats)
    print(json.dumps(asdict(found), indent=1) if arguments.json else _words(found))
    if found.disagreements or found.largest_difference > AGREEMENT_MARK:
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "space", nargs="?", default="ofa_mobilenet_v3", help="a space file, or a shipped name"
    )
    parser.add_argument("--networks", type=int, default=20_000, help="predicted one by one")
    parser.add_argument("--rows", type=int, default=1_000_000, help="predicted from encodings")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def _measure(name: str, networks: int, encodings: int, repeats: int) -> Figures:
    space = load_space(name)
    table = _table(space.reachable_blocks())
    begin = time.thread_time()
    compiled, latency = space.compile(), table.compile(space)
    compile_s = time.thread_time() - begin
    rng = np.random.default_rng(0)
    rows = compiled.sample(encodings, rng)
    archs = [compiled.decode(row) for row in compiled.sample(networks, rng)]
    half = len(archs) // 2
    _one_by_one(table, archs[:half])  # meets the blocks
    first = _rate(lambda: _one_by_one(table, archs[half:]), len(archs) - half, 1)
    again = _rate(lambda: _one_by_one(table, archs), len(archs), repeats)
    planned = _rate(lambda: [_planned(table, arch) for arch in archs], len(archs), 1)
    vectorised = _rate(lambda: latency(rows), len(rows), repeats)
    checked = rows[: min(networks, len(rows))]
    alone = np.array([table.predict(compiled.decode(row)).ms for row in checked])
    together = latency(checked)
    budgets = [*alone[:500], *np.quantile(alone, np.linspace(0, 1, 101))]
    wrong = sum(int(((alone <= each) != (together <= each)).sum()) for each in budgets)
    return Figures(
        space=space.name,
        choices=len(compiled.names),
        blocks=len(table.rows),
        first_per_s=first,
        again_per_s=again,
        planned_per_s=planned,
        compiled_per_s=vectorised,
        compile_s=compile_s,
        largest_difference=float(np.abs(together / alone - 1).max()),
        decisions=len(budgets) * len(alone),
        disagreements=wrong,
    )


def _table(blocks: Sequence[str] | dict[str, object]) -> LatencyTable:
    """A table of made-up times: how fast it answers does not depend on them."""
    rng = random.Random(0)
    rows = tuple(
        TableRow(
            block=key,
            ms=rng.lognormvariate(-3, 1),
            wall_ms=None,
            spread=None,
            runs=1,
            status="measured",
        )
        for key in blocks
    )
    return LatencyTable(
        target=Target(), device="none", runtime_version="0", rows=rows, empty_ms=0.005
    )


def _one_by_one(table: LatencyTable, archs: Sequence[Architecture]) -> None:
    for arch in archs:
        table.predict(arch)


def _planned(table: LatencyTable, arch: Architecture) -> float:
    return sum(table.block_ms(block) for block in plan(arch).blocks)


def _rate(work: Callable[[], object], items: int, repeats: int) -> float:
    rates = []
    for _ in range(repeats):
        begin = time.thread_time()
        work()
        rates.append(items / (time.thread_time() - begin))
    return float(np.median(rates))


def _words(found: Figures) -> str:
    agrees = found.largest_difference <= AGREEMENT_MARK and not found.disagreements
    return "\n".join(
        [
            f"{found.space}: {found.choices} choices, {found.blocks} blocks",
            f"predict, met before   {found.again_per_s:12,.0f} /s  "
            f"{_mark(found.again_per_s, ONE_BY_ONE_MARK)}",
            f"predict, first time   {found.first_per_s:12,.0f} /s  "
            f"{_mark(found.first_per_s, ONE_BY_ONE_MARK)}",
            f"  planning each anew  {found.planned_per_s:12,.0f} /s  "
            f"(predict is {found.again_per_s / found.planned_per_s:.1f} times that)",
            f"compiled              {found.compiled_per_s:12,.0f} /s  "
            f"{_mark(found.compiled_per_s, COMPILED_MARK)}",
            f"  ratio               {found.compiled_per_s / found.again_per_s:12,.0f} "
            f"times predict; compiled in {found.compile_s:.2f} s",
            f"largest difference    {found.largest_difference:12.1e}  (mark {AGREEMENT_MARK:g})",
            f"decisions             {found.disagreements:12,} of {found.decisions:,} differ: "
            f"{'pass' if agrees else 'MISS'}",
        ]
    )


def _mark(value: float, mark: float) -> str:
    return f"{'pass' if value >= mark else 'MISS'} (mark {mark:,})"


if __name__ == "__main__":
    main()
