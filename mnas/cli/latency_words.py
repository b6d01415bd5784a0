"""A latency table in words, for a terminal."""

import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mnas.arch import plan
from mnas.cli.tables import facts, paragraph, table_of
from mnas.cli.wording import counted, milliseconds, percent

if TYPE_CHECKING:
    from mnas.arch import Architecture
    from mnas.latency import Interval, LatencyTable, MissingError

_MOST_SHOWN_FIELDS = 60  # characters of a block's other fields


def show_table(table: "LatencyTable", *, slowest: int) -> Iterator[str]:
    """Print target, rows by status, the slowest blocks, and the verification."""
    target = table.target
    states = Counter(row.status.partition(":")[0] for row in table.rows)
    rows = [
        ("table", str(table.source)),
        ("device", table.device),
        *([("reached by", table.where["address"])] if "address" in table.where else []),
        ("runtime", f"{target.runtime} {table.runtime_version}"),
        (
            "target",
            f"{target.dtype}, {counted(target.threads, 'thread')}, batch {target.batch}, "
            f"{target.regime}",
        ),
        ("measured", table.measured_at or "-"),
        ("space", table.space.get("name", "-")),
        ("blocks", ", ".join(f"{number:,} {state}" for state, number in sorted(states.items()))),
        *_left_out(table),
        ("empty call", milliseconds(table.empty_ms)),
        *_reorders(table),
        (
            "drift",
            f"the reference block took up to {percent(table.drift)} longer than at its fastest",
        ),
    ]
    yield from facts(rows)
    yield from warnings_of(table)
    measured = [(row.ms, row) for row in table.rows if row.ms is not None]
    measured.sort(key=lambda pair: (-pair[0], pair[1].block))
    yield f"\nThe {min(slowest, len(measured))} slowest blocks:"
    cells = [
        (*_block_words(json.loads(row.block)), milliseconds(ms), percent(row.spread), row.status)
        for ms, row in measured[:slowest]
    ]
    headers = ("op", "takes", "fields", "latency", "spread", "status")
    yield from table_of(headers, cells)
    yield ""
    yield paragraph(verification_words(table))


def warnings_of(table: "LatencyTable") -> Iterator[str]:
    """Print what every command that uses a table has to say of it."""
    if table.edited:
        yield paragraph(f"{table.source} was changed after it was measured: its checksum differs.")
    for said in table.forced:
        yield paragraph(f"Merged by force: {said}.")


def _reorders(table: "LatencyTable") -> Iterator[tuple[str, str]]:
    if table.reorders is not None:
        yield (
            "reorders",
            f"{milliseconds(table.reorders.ms)} and "
            f"{milliseconds(1e6 * table.reorders.ms_per_value)} for each million values, to bring "
            "a map into the runtime's layout and back",
        )


def _left_out(table: "LatencyTable") -> Iterator[tuple[str, str]]:
    """What predicting the blocks costs that were left out, as it was asked for."""
    if table.left_out is None:
        yield "predicted", "nobody knows how many more: the merged tables do not tell"
    elif table.left_out:
        error = table.missing_error()
        yield (
            "predicted",
            f"{counted(table.left_out, 'block')} more, from these; left-out blocks are off by "
            f"{_mean_error(error)}, 90 % of them by less than {percent(error.margin)}",
        )


def _mean_error(error: "MissingError") -> str:
    """With its interval, which is wide where few blocks were measured."""
    low, high = 100 * error.low, 100 * error.high
    return f"{percent(error.mean)} on average (90 % interval {low:.1f} to {high:.1f})"


def predicted_words(
    table: "LatencyTable", arch: "Architecture", blocks: Mapping[str, float]
) -> Iterator[str]:
    """Print which blocks of a network were predicted, and what that may cost."""
    share = sum(blocks.values()) / table.predict_raw_ms(arch)
    error = table.missing_error()
    yield paragraph(
        f"{percent(share)} of it is of {counted(len(blocks), 'block')} that the table did not "
        f"measure; blocks like the measured ones are off by {_mean_error(error)}:"
    )
    beyond = _margins_beyond(table, arch, blocks)
    if beyond:
        yield paragraph(
            f"Outside the range of what was measured errors grow, and the margin with them: "
            f"{counted(len(beyond), 'block')} of these, off by up to {percent(max(beyond))}."
        )
    yield from table_of(
        ("", "", ""),
        [
            (f"  {place}", milliseconds(ms), f"{op}, takes {takes}, {said}")
            for (place, ms), (op, takes, said) in zip(
                blocks.items(), _words_of_places(arch, blocks), strict=True
            )
        ],
    )


def _margins_beyond(
    table: "LatencyTable", arch: "Architecture", places: Container[str]
) -> list[float]:
    planned = plan(arch)
    found = (
        table.margin_beyond(block)
        for place, block in zip(planned.places, planned.blocks, strict=True)
        if place in places
    )
    return [margin for margin in found if margin is not None]


def _words_of_places(
    arch: "Architecture", places: Container[str]
) -> Iterator[tuple[str, str, str]]:
    planned = plan(arch)
    for place, block in zip(planned.places, planned.blocks, strict=True):
        if place in places:
            yield _block_words(json.loads(block.key))


def show_verification(table: "LatencyTable", space: str) -> Iterator[str]:
    """Print what verifying gave, with the intervals that so few networks allow."""
    found = table.verification
    assert found is not None, "a verified table has a verification"
    rows = [
        ("mean error", _interval(found.mape)),
        ("  before correction", _interval(found.mape_raw)),
        ("  of MACs instead", _interval(found.macs_mape)),
        ("within 5 %", _interval(found.within_5_percent)),
        ("within 10 %", _interval(found.within_10_percent)),
        ("rank correlation", _correlation(found.spearman)),
        ("  of MACs instead", _correlation(found.macs_spearman)),
        ("noise floor", percent(found.noise_floor)),
    ]
    rows += [
        (f"  at {side} px", _correlation(each))
        for side, each in found.spearman_by_resolution.items()
    ]
    yield from facts(rows)
    yield ""
    yield paragraph(verification_words(table))
    yield f"next: mnas latency predict {table.source} ARCH.json"


def verification_words(table: "LatencyTable") -> str:
    """One paragraph on how far a table can be trusted."""
    found = table.verification
    if found is None:
        name = table.space.get("name", "SPACE")
        return (
            "Not verified: nobody knows how far its sums are from whole networks. "
            f"Verify it with: mnas latency verify {table.source} {name}"
        )
    return f"Verdict: {found.verdict}: {found.reason.rstrip('.')}.{_other_networks(table)}"


def _other_networks(table: "LatencyTable") -> str:
    """That a table was held against networks which it was not measured for."""
    found = table.verification
    if found is None or not found.predicted_share:
        return ""
    return (
        f" {percent(found.predicted_share)} of the networks it was verified with "
        f"(space {found.space.get('name', 'unknown')}) was predicted from other blocks."
    )


def run_table_words(facts_of_table: Mapping[str, Any]) -> str:
    """The same in one sentence, from what a run keeps of its table."""
    found = facts_of_table.get("verification")
    if not isinstance(found, Mapping):
        return "The latency table is not verified: its predictions have no margin."
    reason = str(found.get("reason", "no reason is given")).rstrip(".")
    return f"The latency table is {found.get('verdict')}: {reason}."


def block_words(key: str) -> str:
    """A block of a table in one line."""
    return "  ".join(_block_words(json.loads(key)))


def _block_words(document: dict[str, Any]) -> tuple[str, str, str]:
    op = str(document.pop("op", document.pop("kind", "block")))
    channels, size = document.pop("in_channels", "?"), document.pop("size", None)
    said = " ".join(
        f"{name}={_short(value)}" for name, value in document.items() if value not in (None, False)
    )
    cut = said if len(said) <= _MOST_SHOWN_FIELDS else f"{said[: _MOST_SHOWN_FIELDS - 3]}..."
    return op, f"{channels} x {size} x {size}" if size else f"{channels}", cut


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if not isinstance(value, str) else value


def _interval(found: "Interval") -> str:
    low, high = 100 * found.low, 100 * found.high
    return f"{percent(found.value)} (90 % interval {low:.1f} to {high:.1f})"


def _correlation(found: "Interval") -> str:
    return f"{found.value:.3f} (90 % interval {found.low:.3f} to {found.high:.3f})"
