"""How fast search spaces are: loading, sizes, samples with counts, encodings counted at once.

Everything is timed in one run, in CPU time of one thread, as the median of the repetitions. The
networks that both ways count are compared: the counts must be equal.

Example: python benchmarks/space_speed.py ofa_mobilenet_v3 --json
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from mnas.arch import count
from mnas.space import load_space
from mnas.space.automaton import Automaton
from mnas.space.sizes import size_of

SAMPLES_MARK, ENCODINGS_MARK, LOAD_MARK_MS, SIZE_MARK_S = 20_000, 1_000_000, 50, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured, per second of CPU time of one thread.

    Attributes:
        load_ms: Loading the file, everything imported.
        size_s: Its exact size, nothing remembered.
        samples_per_s: Architectures drawn and counted, one by one.
        draws_per_s: The same without counting.
        compile_s: Compiling the space, once.
        rows_per_s: Encodings drawn at once.
        macs_per_s: Encodings whose MACs are counted at once.
        counts_per_s: Encodings whose parameters, MACs and memory are counted at once.
        mutants_per_s: Encodings mutated at once.
        ratio: Encodings over samples, drawn and counted both.
        differing: Networks of which the two ways count differently.
        compared: Networks compared.
    """

    space: str
    choices: int
    load_ms: float
    size_s: float
    samples_per_s: float
    draws_per_s: float
    compile_s: float
    rows_per_s: float
    macs_per_s: float
    counts_per_s: float
    mutants_per_s: float
    ratio: float
    differing: int
    compared: int


def main() -> None:
    """Measure, print, and end with 1 if the two ways count differently."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "space", nargs="?", default="ofa_mobilenet_v3", help="a shipped name or file"
    )
    parser.add_argument("--samples", type=int, default=20_000, help="drawn one by one")
    parser.add_argument("--rows", type=int, default=500_000, help="encodings at once")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    found = _measure(arguments.space, arguments.samples, arguments.rows, arguments.repeats)
    print(json.dumps(asdict(found), indent=1) if arguments.json else _words(found))
    if found.differing:
        sys.exit(1)


def _measure(name: str, samples: int, rows: int, repeats: int) -> Figures:
    load_space(name)
    load_s = _seconds(lambda: load_space(name), repeats)
    space = load_space(name)
    size_s = _seconds(lambda: size_of(Automaton(space._identified.template)), repeats)
    compile_s = _seconds(space.compile, 1)
    compiled, rng = space.compile(), random.Random(0)
    for _ in range(2000):
        count(space.sample(rng))  # meets the blocks
    draw_s = _seconds(lambda: [space.sample(rng) for _ in range(samples)], repeats)
    sample_s = _seconds(lambda: [count(space.sample(rng)) for _ in range(samples)], repeats)
    dice = np.random.default_rng(0)
    drawn = compiled.sample(rows, dice)
    compiled.params(drawn[:1]), compiled.macs(drawn[:1]), compiled.peak_activation_bytes(drawn[:1])
    rows_s = _seconds(lambda: compiled.sample(rows, dice), repeats)
    macs_s = _seconds(lambda: compiled.macs(drawn), repeats)
    counts_s = macs_s + sum(
        _seconds(lambda work=work: work(drawn), repeats)
        for work in (compiled.params, compiled.peak_activation_bytes)
    )
    mutants_s = _seconds(lambda: compiled.mutate(drawn, dice), repeats)
    some = drawn[:1000]
    one_by_one = [
        (each.params, each.macs, each.peak_activation_bytes)
        for each in (count(compiled.decode(row)) for row in some)
    ]
    at_once = zip(
        compiled.params(some).tolist(),
        compiled.macs(some).tolist(),
        compiled.peak_activation_bytes(some).tolist(),
        strict=True,
    )
    return Figures(
        space=space.name,
        choices=len(space.choices),
        load_ms=1e3 * load_s,
        size_s=size_s,
        samples_per_s=samples / sample_s,
        draws_per_s=samples / draw_s,
        compile_s=compile_s,
        rows_per_s=rows / rows_s,
        macs_per_s=rows / macs_s,
        counts_per_s=rows / counts_s,
        mutants_per_s=rows / mutants_s,
        ratio=(rows / (rows_s + counts_s)) / (samples / sample_s),
        differing=sum(a != b for a, b in zip(one_by_one, at_once, strict=True)),
        compared=len(some),
    )


def _seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.thread_time()
        work()
        times.append(time.thread_time() - begin)
    return float(np.median(times))


def _words(found: Figures) -> str:
    def rate(name: str, value: float, mark: float | None = None) -> str:
        said = "" if mark is None else f"  {'pass' if value >= mark else 'MISS'} (mark {mark:,})"
        return f"{name:28}{value:12,.0f} /s{said}"

    load = "pass" if found.load_ms < LOAD_MARK_MS else "MISS"
    size = "pass" if found.size_s < SIZE_MARK_S else "MISS"
    return "\n".join(
        [
            f"{found.space}: {found.choices} choices",
            f"{'load':28}{found.load_ms:12.1f} ms  {load} (mark {LOAD_MARK_MS} ms)",
            f"{'size, exact':28}{found.size_s:12.3f} s   {size} (mark {SIZE_MARK_S} s)",
            rate("sample and count, one by one", found.samples_per_s, SAMPLES_MARK),
            rate("  sample alone", found.draws_per_s),
            rate("encodings: MACs", found.macs_per_s, ENCODINGS_MARK),
            rate("  parameters, MACs, memory", found.counts_per_s, ENCODINGS_MARK),
            rate("  drawn", found.rows_per_s),
            rate("  mutated", found.mutants_per_s),
            f"{'ratio':28}{found.ratio:12,.0f} times one by one",
            f"{'compiled in':28}{found.compile_s:12.2f} s",
            f"{found.differing} of {found.compared} networks are counted differently",
        ]
    )


if __name__ == "__main__":
    main()
