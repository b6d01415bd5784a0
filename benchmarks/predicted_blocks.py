"""Whether the margins of blocks that a table did not measure cover what these blocks take.

Rows of a measured table are held out: at random, its slowest, its fastest, those with the most
channels, and what `--most N` would leave out. The others predict them and state how far they are
off.

Example: python benchmarks/predicted_blocks.py my_table.csv --json
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mnas.arch import PlannedBlock, planned_from_key
from mnas.latency import LatencyTable
from mnas.latency.choosing import choose_blocks
from mnas.latency.missing import fit_missing_model, missing_error_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was stated of held-out blocks and what was true; errors relative to the prediction.

    Attributes:
        held_out: Which.
        blocks: How many.
        outside: Share of them outside of the range of the others.
        mean: Their true mean error.
        stated_mean: The stated one of blocks like the others, with its 90 % interval.
        covered_unwidened: Share within the margin of blocks like the others (90 % wanted).
        covered: Share within their own margins, widened with the distance.
        margin: Median of their margins.
    """

    held_out: str
    blocks: int
    outside: float
    mean: float
    stated_mean: tuple[float, float, float]
    covered_unwidened: float
    covered: float
    margin: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", help="a measured table of some hundred blocks")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rows = [row for row in LatencyTable.load(arguments.table).rows if row.ms is not None]
    blocks = [planned_from_key(row.block) for row in rows]
    times = np.array([row.ms for row in rows])
    found = [_figures(name, blocks, times, outside) for name, outside in _held_out(blocks, times)]
    if arguments.json:
        print(json.dumps([asdict(each) for each in found], indent=1))
        return
    headers = ("held out", "blocks", "outside", "true error", "stated", "covered before", "now")
    print("  ".join(f"{header:<22}" for header in headers))
    for each in found:
        mean, low, high = (100 * value for value in each.stated_mean)
        cells = (
            each.held_out,
            str(each.blocks),
            f"{100 * each.outside:.0f} %",
            f"{100 * each.mean:.1f} %",
            f"{mean:.1f} ({low:.1f} to {high:.1f})",
            f"{100 * each.covered_unwidened:.0f} %",
            f"{100 * each.covered:.0f} %, within {100 * each.margin:.0f} %",
        )
        print("  ".join(f"{cell:<22}" for cell in cells).rstrip())


def _held_out(
    blocks: list[PlannedBlock], times: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    fifth = len(blocks) // 5
    slow, fast = np.argsort(-times, kind="stable"), np.argsort(times, kind="stable")
    wide = np.argsort([-block.in_channels for block in blocks], kind="stable")
    drawn = np.random.default_rng(0).permutation(len(blocks))
    orders = {"a random fifth": drawn, "slowest fifth": slow, "fastest fifth": fast}
    for name, order in {**orders, "most channels, a fifth": wide}.items():
        yield name, np.isin(np.arange(len(blocks)), order[:fifth])
    keyed = {block.key: block for block in blocks}
    shares = dict(zip(keyed, times / times.sum(), strict=True))
    for most in (8, 20, 50, 100):
        if most < len(blocks):
            chosen = choose_blocks(keyed, most, shares)
            yield f"all but {most} chosen", np.array([key not in chosen for key in keyed])


def _figures(
    name: str,
    blocks: list[PlannedBlock],
    times: NDArray[np.float64],
    outside: NDArray[np.bool_],
) -> Figures:
    inside = [block for block, is_out in zip(blocks, outside, strict=True) if not is_out]
    held = [block for block, is_out in zip(blocks, outside, strict=True) if is_out]
    model = fit_missing_model(inside, times[~outside].tolist())
    error = missing_error_of(inside, times[~outside].tolist())
    predicted, distances = model.predict_ms(held), model.distances(held)
    off = np.abs(times[outside] - predicted) / predicted
    margins = np.array([error.margin_at(distance) for distance in distances])
    return Figures(
        held_out=name,
        blocks=len(held),
        outside=float((distances > 0).mean()),
        mean=float(off.mean()),
        stated_mean=(error.mean, error.low, error.high),
        covered_unwidened=float((off <= error.margin).mean()),
        covered=float((off <= margins).mean()),
        margin=float(np.median(margins)),
    )


if __name__ == "__main__":
    main()
