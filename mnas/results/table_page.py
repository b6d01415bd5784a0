"""A latency table as a page: how far it can be trusted, and what the device likes and dislikes."""

import math
import os
from collections import Counter
from pathlib import Path

import numpy as np

from mnas.arch import write_atomically
from mnas.latency import Interval, LatencyTable
from mnas.latency.contrasts import Contrast, contrasts_of
from mnas.results.markup import EMPTY, Child, Html, element, join, paragraph, table
from mnas.results.page import page
from mnas.results.plots import figure_element
from mnas.results.table_figures import (
    agreement_of_networks,
    block_words,
    blocks_figure,
    contrast_words,
    contrasts_figure,
    errors_of_networks,
    signed_error,
)
from mnas.results.wording import counted, percent

_SLOWEST = 15
_MOST_DRIFT = 0.1  # of the reference block; above, the page begins with it
_MOST_RESOLUTIONS = 12  # drawn as boxes side by side
_MARKS = {"trusted": "good", "not trusted": "bad"}


def write_table_page(measured: LatencyTable, path: str | os.PathLike[str]) -> Path:
    """Write a latency table as one page that opens offline.

    Predicted against measured time and errors by resolution where the table is verified; what a
    larger kernel, squeeze-and-excite or another activation costs, the slowest blocks, and how it
    was measured. Whatever the table says is escaped.

    Args:
        measured: Any table, also of another tool.
        path: The file.

    Returns:
        The path written.

    Raises:
        UnwritableFileError: The file cannot be written.
    """
    text = page(
        title=f"{measured.target.name}: an mnas latency table",
        kicker="mnas latency table",
        heading=measured.device,
        facts=_facts(measured),
        sections=[
            ("answer", "", join(_answer(measured), _warnings(measured))),
            *_verification(measured),
            ("costs", "What things cost here", _costs(contrasts_of(measured))),
            ("blocks", "Blocks", _blocks(measured)),
            ("measuring", "How it was measured", _measuring(measured)),
        ],
    )
    write_atomically(path, text)
    return Path(path)


def _facts(measured: LatencyTable) -> str:
    target = measured.target
    facts = [
        f"{target.runtime} {measured.runtime_version}",
        target.dtype,
        counted(target.threads, "thread"),
        f"batch {target.batch}",
        f"space {measured.space['name']}" if measured.space.get("name") else "",
        counted(len(measured.rows), "block"),
        measured.measured_at or "",
    ]
    return " \u00b7 ".join(fact for fact in facts if fact)


def _answer(measured: LatencyTable) -> Html:
    found = measured.verification
    if found is None:
        return _answered(
            "Not verified",
            "Nobody knows how far its sums are from whole networks. Verify it with "
            "mnas latency verify on the device.",
        )
    return _answered(found.verdict.capitalize(), found.reason, mark=_MARKS.get(found.verdict))


def _warnings(measured: LatencyTable) -> Html:
    """What stands in the way of believing the rows, before anything is drawn from them."""
    noisy = sum(row.status == "noisy" for row in measured.rows)
    failed = sum(row.ms is None for row in measured.rows)
    said = [
        "The table was changed after it was measured: its checksum differs."
        if measured.edited
        else "",
        *(f"Merged by force: {each}." for each in measured.forced),
        f"{noisy} of {counted(len(measured.rows), 'block')} never gave the same time twice."
        if noisy
        else "",
        f"{counted(failed, 'block')} failed and is predicted from the others." if failed else "",
        f"The reference block took up to {percent(measured.drift)} longer than at its fastest: the "
        "machine did not keep its speed."
        if measured.drift is not None and measured.drift > _MOST_DRIFT
        else "",
    ]
    return join(*(paragraph(each) for each in said if each))


def _answered(big: str, words: str, mark: str | None = None) -> Html:
    shown: Child = element("mark", big, class_=mark) if mark else big
    return element("div", element("p", shown, class_="big"), paragraph(words), class_="answer")


def _verification(measured: LatencyTable) -> list[tuple[str, str, Html]]:
    found, calibration = measured.verification, measured.calibration
    if found is None or calibration is None:
        return []
    held_out = [one for one in found.networks if not one.fitted]
    sizes = sorted({one.resolution for one in held_out})
    rows: list[list[Child]] = []
    for size in sizes:
        errors = [signed_error(one, calibration) for one in held_out if one.resolution == size]
        ranks = found.spearman_by_resolution.get(size)
        rows.append(
            [
                f"{size} px",
                len(errors),
                percent(float(np.mean(np.abs(errors))), 1),
                f"{100 * float(np.mean(errors)):+.1f} %",
                _correlation(ranks) if ranks else "-",
            ]
        )
    agreement = figure_element(
        agreement_of_networks(measured),
        "Whole networks timed end to end. The correction "
        f"({calibration.scale:.3f} x the sum {calibration.offset_ms:+.4f} ms) was fitted on the "
        "hollow ones; errors are those of the others.",
    )
    spread = figure_element(
        errors_of_networks(measured), "Errors of the networks that were not fitted on.", height=340
    )
    heads: list[Child] = ["", "networks", "mean error", "bias", "rank correlation"]
    figures = table(
        ["", "value (90 % interval)"],
        [
            ["mean error", _percents(found.mape)],
            ["before the correction", _percents(found.mape_raw)],
            ["of MACs with the same correction", _percents(found.macs_mape)],
            ["within 5 %", _percents(found.within_5_percent)],
            ["within 10 %", _percents(found.within_10_percent)],
            ["rank correlation", _correlation(found.spearman)],
            ["of MACs", _correlation(found.macs_spearman)],
            ["noise floor", percent(found.noise_floor, 1)],
        ],
        numbers=1,
    )
    return [
        ("agreement", "Predicted against measured", join(agreement, figures)),
        (
            "resolutions",
            "Errors by resolution",
            join(
                spread if len(sizes) <= _MOST_RESOLUTIONS else EMPTY,
                table(heads, rows, numbers=1),
            ),
        ),
    ]


def _costs(found: tuple[Contrast, ...]) -> Html:
    if not found:
        return paragraph(
            "No measured blocks differ in one field only: there is nothing to compare."
        )
    rows: list[list[Child]] = [
        [
            contrast_words(one),
            f"x {one.ratio:.2f}",
            f"{one.low:.2f} to {one.high:.2f}",
            f"x {one.macs_ratio:.2f}",
            f"{one.added_ms:+.4f} ms",
            one.pairs,
        ]
        for one in found
    ]
    heads: list[Child] = ["change", "time", "middle half", "MACs", "adds (median)", "pairs"]
    return join(
        paragraph(_lesson(found)),
        figure_element(
            contrasts_figure(found),
            "Pairs of blocks that differ in this field and in nothing else: the time of one over "
            "that of the other. The mark is what counting MACs would have said.",
            height=120 + 34 * len(found),
        ),
        table(heads, rows, numbers=1),
    )


def _lesson(found: tuple[Contrast, ...]) -> str:
    """Where this device and a count of MACs disagree most."""
    one = max(found, key=lambda each: abs(math.log(each.ratio / each.macs_ratio)))
    dearer = "more" if one.ratio > one.macs_ratio else "less"
    return (
        f"What MACs get most wrong here: {contrast_words(one)} takes {one.ratio:.2f} times as "
        f"long, {dearer} than the {one.macs_ratio:.2f} that counting MACs says."
    )


def _blocks(measured: LatencyTable) -> Html:
    timed = sorted(
        ((row.ms, row) for row in measured.rows if row.ms is not None),
        key=lambda pair: (-pair[0], pair[1].block),
    )
    rows: list[list[Child]] = [
        [
            join(words[0], element("small", words[1])),
            f"{ms:.4g}\u00a0ms",
            percent(row.spread, 1) if row.spread is not None else "-",
            row.status,
        ]
        for ms, row in timed[:_SLOWEST]
        for words in [block_words(row.block)]
    ]
    return join(
        figure_element(
            blocks_figure(measured),
            "Every measured block that multiplies. Of two at one height the one further left does "
            "less for its time.",
        ),
        element("h3", f"The {len(rows)} slowest"),
        table(["block", "time", "spread", "status"], rows, numbers=1),
    )


def _reorders(measured: LatencyTable) -> list[list[Child]]:
    found = measured.reorders
    if found is None:
        return []
    return [
        ["reordering a map and back", f"{found.ms:.4g}\u00a0ms"],
        ["for each million values more", f"{1e6 * found.ms_per_value:.4g}\u00a0ms"],
    ]


def _measuring(measured: LatencyTable) -> Html:
    states = Counter(row.status.partition(":")[0] for row in measured.rows)
    protocol: list[list[Child]] = [
        [name.replace("_", " "), f"{value:g}"] for name, value in measured.protocol.items()
    ]
    reached: list[list[Child]] = [[name, value] for name, value in measured.where.items()]
    pinned: list[list[Child]] = [[name, str(value)] for name, value in measured.pinned.items()]
    rows: list[list[Child]] = [
        ["blocks", ", ".join(f"{number} {state}" for state, number in sorted(states.items()))],
        ["left to be predicted", "-" if measured.left_out is None else measured.left_out],
        ["an empty call", f"{measured.empty_ms:.4g}\u00a0ms"],
        *_reorders(measured),
        [
            "drift of the reference block",
            "-" if measured.drift is None else percent(measured.drift, 1),
        ],
        ["regime", measured.target.regime],
        *reached,
        *protocol,
        *pinned,
    ]
    edited = paragraph("The table was changed after it was measured: its checksum differs.")
    return join(edited if measured.edited else EMPTY, table(["", ""], rows, numbers=1))


def _percents(found: Interval) -> str:
    return f"{percent(found.value, 1)} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _correlation(found: Interval) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
