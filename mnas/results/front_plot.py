"""The front of a run as a figure: accuracy over latency, with everything it competes with."""

import itertools
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from mnas.results.candidates import (
    Candidate,
    at_rung,
    candidates,
    confirmed,
    front_of,
    rungs,
)
from mnas.results.frames import option_text
from mnas.results.plots import BLUE, GREEN, GREY, INK, ORANGE
from mnas.results.record import Record
from mnas.results.runs import Run
from mnas.results.verdicts import Verdict
from mnas.results.wording import Accuracies, amount, epochs_text, milliseconds

_MOST_CHOICES = 40  # in a hover
_SYMBOLS = ("square", "triangle-up", "pentagon", "cross", "x", "triangle-down", "hourglass")


def front_figure(
    run: Run, verdict: Verdict | None, target: str, accuracies: Accuracies
) -> go.Figure:
    """Accuracy over latency: trials, front, confirmed networks, baselines, budget.

    Args:
        run: With at least one complete record.
        verdict: Of its confirmation, if it has one.
        target: The device on the horizontal axis.
        accuracies: How scores are written.
    """
    figure = go.Figure()
    ladder = rungs(run.evaluations)
    for epochs in ladder:
        trials = [one for one in at_rung(run.evaluations, epochs) if _has(one, target)]
        is_top = epochs == ladder[-1]
        name = f"trial, {epochs_text(epochs)}" + (" (line: front)" if is_top else "")
        figure.add_scatter(
            **_points(trials, verdict, target, accuracies, measured=False),
            mode="markers",
            name=name,
            visible=True if is_top else "legendonly",
            legendrank=1 if is_top else 9,
            marker={"color": BLUE if is_top else GREY, "size": 8, "opacity": 0.85},
        )
        if is_top and trials:
            _add_front(figure, front_of(trials, [target]), target, accuracies)
    found = confirmed(run.evaluations)
    _add_confirmed(figure, found, verdict, target, accuracies)
    for one, symbol in zip(_baselines(run.evaluations), itertools.cycle(_SYMBOLS), strict=False):
        words = f"{_short_name(run, one.id)}, published, {epochs_text(one.record.epochs)}"
        figure.add_scatter(
            **_points([one], verdict, target, accuracies, measured=True),
            error_y=_seeds([one], accuracies, ORANGE),
            mode="markers",
            name=escape(words),
            legendrank=3,
            marker={"color": ORANGE, "size": 10, "symbol": symbol},
        )
    budget = run.budgets.get(target)
    if budget is not None:
        figure.add_vline(
            x=budget,
            line={"color": INK, "width": 1, "dash": "dash"},
            annotation={
                "text": f"budget {milliseconds(budget)}",
                "xanchor": "right",
                "yanchor": "bottom",
                "y": 0,
                "bgcolor": "rgba(255,255,255,.85)",
            },
        )
    figure.update_xaxes(title=f"latency on {escape(target)} (ms)", rangemode="normal")
    figure.update_yaxes(title=accuracies.axis)
    return figure


def _baselines(records: Sequence[Record]) -> list[Candidate]:
    """Published networks by the longest training they had: confirmed, or only by the proxy."""
    rows = [row for row in records if row.kind == "baseline" and row.state == "complete"]
    longest = max((row.epochs for row in rows if row.rung is None), default=None)
    if longest is not None:
        return candidates(row for row in rows if row.rung is None)
    return candidates(rows)


def _add_front(
    figure: go.Figure, front: Sequence[Candidate], target: str, accuracies: Accuracies
) -> None:
    figure.add_scatter(
        x=[one.record.latency_ms[target] for one in front],
        y=[accuracies.scaled(one.accuracy) for one in front],
        mode="lines",
        line={"color": BLUE, "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
        showlegend=False,
    )


def _add_confirmed(
    figure: go.Figure,
    found: Sequence[Candidate],
    verdict: Verdict | None,
    target: str,
    accuracies: Accuracies,
) -> None:
    if not found:
        return
    winner = verdict.winner.id if verdict and verdict.winner else None
    figure.add_scatter(
        **_points(found, verdict, target, accuracies, measured=True),
        error_y=_seeds(found, accuracies, GREEN),
        mode="markers",
        name=f"confirmed, {epochs_text(found[0].record.epochs)}",
        legendrank=2,
        marker={
            "color": GREEN,
            "opacity": 1,
            "size": [17 if one.id == winner else 10 for one in found],
            "symbol": ["star" if one.id == winner else "diamond" for one in found],
        },
    )


def _points(
    found: Sequence[Candidate],
    verdict: Verdict | None,
    target: str,
    accuracies: Accuracies,
    *,
    measured: bool,
) -> dict[str, Any]:
    """Coordinates, margins and hover of candidates; measured latency has no margin to show."""
    xs, minus, plus = [], [], []
    for one in found:
        record = one.record
        predicted = record.latency_ms[target]
        x = record.measured_ms.get(target, predicted) if measured else predicted
        low, high = margin_of(record, target, verdict) or (predicted, predicted)
        has_margin = x == predicted
        xs.append(x)
        minus.append(max(0.0, predicted - low) if has_margin else 0.0)
        plus.append(max(0.0, high - predicted) if has_margin else 0.0)
    error_x = {
        "type": "data",
        "symmetric": False,
        "array": plus,
        "arrayminus": minus,
        "thickness": 0.8,
        "width": 0,
        "color": "rgba(0,114,178,.35)",
    }
    return {
        "x": xs,
        "y": [accuracies.scaled(one.accuracy) for one in found],
        "error_x": error_x,
        "hovertext": [_hover(one, verdict, target, accuracies) for one in found],
        "hoverinfo": "text",
    }


def margin_of(record: Record, target: str, verdict: Verdict | None) -> tuple[float, float] | None:
    """(low, high) milliseconds around a prediction.

    Where the record does not hold it, the relative margin of the confirmed networks is used: the
    table's interval is relative to the prediction, hence the same for all that it covers whole.
    """
    if target in record.margin_ms:
        return record.margin_ms[target]
    if verdict is None or verdict.target not in (None, target):
        return None
    ratios = [
        (one.low_ms / one.predicted_ms, one.high_ms / one.predicted_ms)
        for one in verdict.confirmed
        if one.predicted_ms and one.low_ms is not None and one.high_ms is not None
    ]
    if not ratios:
        return None
    lows, highs = sorted(low for low, _ in ratios), sorted(high for _, high in ratios)
    middle, predicted = len(ratios) // 2, record.latency_ms[target]
    return predicted * lows[middle], predicted * highs[middle]


def _hover(one: Candidate, verdict: Verdict | None, target: str, accuracies: Accuracies) -> str:
    """Plotly reads a little markup in a hover, so everything from the run is escaped."""
    record = one.record
    margin = margin_of(record, target, verdict)
    predicted = milliseconds(record.latency_ms[target])
    lines = [
        f"<b>{escape(one.id)}</b> ({record.kind} {record.number})",
        f"accuracy {accuracies.text(one.accuracy)}, {epochs_text(record.epochs)}, "
        f"{len(one.accuracies)} seed{'s' if len(one.accuracies) > 1 else ''}",
        f"predicted {predicted}"
        + (f" (90 %: {milliseconds(margin[0])} to {milliseconds(margin[1])})" if margin else ""),
    ]
    if target in record.measured_ms:
        lines.append(f"measured {milliseconds(record.measured_ms[target])}")
    lines.append(f"{amount(record.params)} parameters, {amount(record.macs)} MACs")
    choices = [f"{name} = {option_text(option)}" for name, option in record.choices.items()]
    if len(choices) > _MOST_CHOICES:
        choices = [*choices[:_MOST_CHOICES], f"and {len(choices) - _MOST_CHOICES} more"]
    for start in range(0, len(choices), 3):
        lines.append(escape(" \u00b7 ".join(choices[start : start + 3])))
    return "<br>".join(lines)


def _seeds(found: Sequence[Candidate], accuracies: Accuracies, color: str) -> dict[str, Any]:
    spread = [(max(one.accuracies) - min(one.accuracies)) / 2 for one in found]
    return {
        "type": "data",
        "symmetric": False,
        "array": [accuracies.scaled(max(one.accuracies) - one.accuracy) for one in found],
        "arrayminus": [accuracies.scaled(one.accuracy - min(one.accuracies)) for one in found],
        "color": color,
        "thickness": 1.2,
        "width": 4,
        "visible": any(spread),
    }


def _short_name(run: Run, architecture_id: str) -> str:
    name = run.architecture(architecture_id).name
    return name if len(name) <= 32 else name[:31] + "\u2026"


def _has(one: Candidate, target: str) -> bool:
    return target in one.record.latency_ms
