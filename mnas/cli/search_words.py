"""What a search found, or would cost, in words: the first thing a stranger reads."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.cli.latency_words import run_table_words
from mnas.cli.tables import facts, paragraph, table_of
from mnas.cli.wording import (
    amount,
    counted,
    duration,
    latency_with_margin,
    listed,
    milliseconds,
    percent,
    points,
    span,
    with_interval,
)

if TYPE_CHECKING:
    from mnas.results import Run
    from mnas.search import Preview


def show_result(run: "Run", directory: Path) -> Iterator[str]:
    """Print winner and best baseline, what their difference means, and what to type next."""
    verdict = run.verdict or {}
    winner, baseline = verdict["winner"], verdict.get("baseline")
    columns = [("winner", winner)]
    if baseline is not None:
        columns.append(("best published network", baseline))
    rows = [
        (label, *(cell(entry, verdict) for _, entry in columns)) for label, cell in _ROWS.items()
    ]
    yield ""
    yield from table_of(("", *(title for title, _ in columns)), rows)
    yield ""
    for sentence in sentences(verdict, run.environment.get("tables") or {}):
        yield paragraph(sentence)
    folder = shlex.quote(str(directory))
    yield f"\nreport: {directory / 'report.html'}"
    yield f"next:   mnas train {folder} --pick best"
    yield f"        mnas export {folder}"


def sentences(verdict: Mapping[str, Any], tables: Mapping[str, Any]) -> Iterator[str]:
    """What the figures mean, one claim a sentence.

    Args:
        verdict: Content of `verdict.json`, with a winner.
        tables: What the run's environment says of its latency tables, by target.
    """
    yield _gain_words(verdict)
    yield run_table_words(tables.get(str(verdict.get("target"))) or {})
    yield from _timing_words(verdict)
    dropped = verdict.get("dropped") or []
    slow = [one for one in dropped if one["measured_ms"] is not None]
    if slow:
        names = listed(f"{one['name']} ({milliseconds(one['measured_ms'])})" for one in slow)
        yield f"Dropped, since measured end to end it was over the budget: {names}."
    broken = [one for one in dropped if one["measured_ms"] is None]
    if broken:
        names = listed(f"{one['name']} ({one['reason']})" for one in broken)
        yield f"Dropped, since it could not be timed on {verdict.get('target')}: {names}."
    missing = verdict.get("baselines_without_a_version_in_budget") or []
    if missing:
        yield f"No scaled version meets the budget of the published {listed(missing)}."


def _gain_words(verdict: Mapping[str, Any]) -> str:
    gain, winner = verdict.get("gain"), verdict["winner"]
    if gain is None:
        return "No published network was compared with it."
    interval = f"95 % interval {points(gain['low'])} to {points(gain['high'])}"
    said = (
        f"On test images the winner is {points(gain['value'])} percentage points against the best "
        f"published network scaled to the same budget ({interval})."
    )
    if gain["low"] <= 0 <= gain["high"]:
        images = counted(winner["test_images"], "test image")
        said += f" With {images} this difference cannot be told from chance."
    return said


def _timing_words(verdict: Mapping[str, Any]) -> Iterator[str]:
    """Where the times come from, if not from this machine."""
    found = verdict.get("timed_on") or {}
    if found.get("address") not in (None, "local"):
        yield (
            f"Timed end to end on {verdict.get('target')}: {found['device']}, reached by "
            f"{found['address']}."
        )
    if found.get("waits"):
        yield f"Not every network was timed: {found['waits']}."


def _budget(entry: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    budget = verdict.get("budget_ms")
    return "none" if budget is None else f"{milliseconds(budget)} on {verdict.get('target')}"


def _network(entry: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    return str(entry["name"])


def _test(entry: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    return with_interval(entry.get("test_accuracy"), entry.get("test_low"), entry.get("test_high"))


def _validation(entry: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    seeds = len(entry.get("val_accuracies") or ())
    return f"{percent(entry.get('val_accuracy'))}, mean of {counted(seeds, 'training')}"


def _predicted(entry: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    return latency_with_margin(entry.get("predicted_ms"), entry.get("low_ms"), entry.get("high_ms"))


_ROWS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], str]] = {
    "network": _network,
    "test accuracy (95 %)": _test,
    "validation accuracy": _validation,
    "measured latency": lambda entry, verdict: milliseconds(entry.get("measured_ms")),
    "predicted latency (90 %)": _predicted,
    "latency budget": _budget,
    "parameters": lambda entry, verdict: amount(entry.get("params")),
    "MACs": lambda entry, verdict: amount(entry.get("macs")),
}


def show_preview(preview: "Preview") -> Iterator[str]:
    """Print what a search would cost and whether it can succeed."""
    distinct = "" if preview.architectures is None else f", {preview.architectures:,} networks"
    rows = [
        ("experiment", preview.name),
        ("space", f"{preview.encodings:,} encodings{distinct}"),
        ("parameters", f"{span(*preview.params)}, of random networks"),
        ("MACs", f"{span(*preview.macs)}, of random networks"),
        ("training", f"at most {preview.epochs:,} epochs of {preview.images:,} images"),
    ]
    if preview.trials_seconds is not None and preview.comparison_seconds is not None:
        rows.append(
            (
                "time here",
                f"about {duration(preview.trials_seconds)} for the trials, "
                f"{duration(preview.comparison_seconds)} for the comparison",
            )
        )
    if preview.fastest_ms is not None:
        rows += [
            ("fastest network", f"{milliseconds(preview.fastest_ms)} ({preview.fastest_id})"),
            ("within all limits", f"{percent(preview.feasible_share)} of random networks"),
        ]
    if preview.largest_id is not None:
        rows.append(
            (
                "largest within limits",
                f"{amount(preview.largest_params)} parameters, {milliseconds(preview.largest_ms)} "
                f"({preview.largest_id})",
            )
        )
    for table in preview.tables:
        rows.append((f"table of {table.target}", _table_words(table)))
        if table.address != "local":
            rows.append((f"device of {table.target}", _device_words(table)))
    yield from facts(rows)
    if preview.fastest_ms is None:
        yield "Whether the budget can be met is known once the table is measured."
    yield "Nothing was kept of the few steps of training; nothing was measured or written."


def _device_words(table: Any) -> str:
    """Where a device is, what goes there, and what it makes run."""
    models = [counted(table.blocks, "block")] if table.blocks else []
    models += [counted(table.networks, "whole network")] if table.networks else []
    sent = f"{' and '.join(models) or 'nothing'} as models; the search asks it first"
    if table.address.startswith("cmd:"):
        return f"{sent}. Run here for each model: {table.address.removeprefix('cmd:')}"
    return f"{table.address}, run there by {table.python or 'python3'}: {sent}"


def _table_words(table: Any) -> str:
    if table.path is None:
        blocks = f"{counted(table.blocks, 'block')} to measure"
        return f"{blocks}, about {duration(table.seconds)}" + (
            "" if table.address == "local" else " on a machine like this one"
        )
    return f"{table.path}, {table.verdict or 'not verified'}"
