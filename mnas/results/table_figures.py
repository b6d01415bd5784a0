"""The figures of a latency table's page."""

import json
from collections.abc import Iterator, Sequence
from html import escape

import plotly.graph_objects as go

from mnas.arch import planned_from_key
from mnas.latency import Calibration, LatencyTable, TableRow, VerifiedNetwork
from mnas.latency.contrasts import Contrast
from mnas.latency.reachable import macs_of
from mnas.results.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE
from mnas.results.wording import amount, milliseconds

_COLORS = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", INK, GREY)
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "pentagon", "star", "x")


def agreement_of_networks(table: LatencyTable) -> go.Figure:
    """Predicted over measured time of every verified network, and the line of agreement."""
    assert table.verification is not None
    assert table.calibration is not None
    figure = go.Figure()
    for resolution, color, symbol, own in _by_resolution(table.verification.networks):
        for fitted in (False, True):
            shown = [one for one in own if one.fitted == fitted]
            figure.add_scatter(
                x=[one.measured_ms for one in shown],
                y=[table.calibration.apply(one.predicted_ms) for one in shown],
                mode="markers",
                name=f"{resolution} px",
                legendgroup=str(resolution),
                showlegend=not fitted,
                marker={
                    "color": color,
                    "symbol": f"{symbol}-open" if fitted else symbol,
                    "size": 8,
                    "opacity": 0.85,
                },
                text=[_words_of_network(one, table.calibration) for one in shown],
                hovertemplate="%{text}<extra></extra>",
            )
    measured = [one.measured_ms for one in table.verification.networks]
    ends = [min(measured) * 0.95, max(measured) * 1.05]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": INK, "width": 1}, hoverinfo="skip",
        showlegend=False,
    )  # fmt: skip
    figure.update_xaxes(title="measured end to end (ms)")
    figure.update_yaxes(title="predicted (ms)")
    return figure


def errors_of_networks(table: LatencyTable) -> go.Figure:
    """The signed error of every held-out network, by resolution."""
    assert table.verification is not None
    assert table.calibration is not None
    figure = go.Figure()
    held_out = [one for one in table.verification.networks if not one.fitted]
    for resolution, color, _, own in _by_resolution(held_out):
        figure.add_box(
            y=[100 * signed_error(one, table.calibration) for one in own],
            name=f"{resolution} px",
            marker={"color": color, "size": 6},
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            fillcolor="rgba(0,0,0,0)",
            line={"width": 1.5},
            text=[_words_of_network(one, table.calibration) for one in own],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    figure.update_yaxes(title="predicted against measured (%)")
    return figure


def contrasts_figure(found: Sequence[Contrast]) -> go.Figure:
    """What each change multiplies a block's time by, with the middle half of the pairs."""
    shown = list(found)[::-1]
    labels = [escape(contrast_words(one)) for one in shown]
    figure = go.Figure()
    figure.add_scatter(
        x=[one.macs_ratio for one in shown],
        y=labels,
        mode="markers",
        name="MACs",
        marker={"color": ORANGE, "size": 9, "symbol": "line-ns-open", "line": {"width": 2}},
        hovertemplate="%{y}: MACs x %{x:.2f}<extra></extra>",
    )
    figure.add_scatter(
        x=[one.ratio for one in shown],
        y=labels,
        mode="markers",
        name="time (line: middle half of the pairs)",
        marker={"color": BLUE, "size": 10},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [one.high - one.ratio for one in shown],
            "arrayminus": [one.ratio - one.low for one in shown],
            "color": BLUE,
            "thickness": 2,
            "width": 0,
        },
        hovertemplate="%{y}: time x %{x:.2f}<extra></extra>",
    )
    figure.add_vline(x=1, line={"color": INK, "width": 1})
    figure.update_xaxes(title="times as slow")
    figure.update_yaxes(type="category", showgrid=False)
    return figure


def blocks_figure(table: LatencyTable) -> go.Figure:
    """Time over multiply-accumulates of every measured block: who is slower than it counts."""
    figure = go.Figure()
    groups: dict[str, list[tuple[TableRow, int]]] = {}
    for row in table.rows:
        macs = macs_of(planned_from_key(row.block))
        if row.ms is not None and macs:  # a pool has none
            document = json.loads(row.block)
            name = str(document["op"]) + (" with SE" if document.get("se") else "")
            groups.setdefault(name, []).append((row, macs))
    for (name, rows), color in zip(sorted(groups.items()), _cycled(_COLORS), strict=False):
        figure.add_scatter(
            x=[macs / 1e6 for _, macs in rows],
            y=[row.ms for row, _ in rows],
            mode="markers",
            name=escape(name.replace("_", " ")),
            marker={"color": color, "size": 6, "opacity": 0.6},
            text=[
                f"{'<br>'.join(map(escape, block_words(row.block)))}"
                f"<br>{row.ms:.4g} ms, {amount(macs)} MACs"
                for row, macs in rows
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_xaxes(title="multiply-accumulates (millions)", type="log", dtick=1)
    figure.update_yaxes(title="time (ms)", type="log", dtick=1)
    return figure


def contrast_words(one: Contrast) -> str:
    """`kernel 5 instead of 3`."""
    if one.field == "se":
        return f"{one.after} instead of {one.before.removeprefix('no SE') or 'none'}"
    return f"{one.field.replace('_', ' ')} {one.after} instead of {one.before}"


def block_words(block: str) -> tuple[str, str]:
    """A block's operator with what comes in, and its other fields, in words."""
    document = json.loads(block)
    op = str(document.pop("op")).replace("_", " ")
    channels, size = document.pop("in_channels"), document.pop("size")
    document.pop("padding", None)
    squeeze = document.pop("se", None)
    words = [
        name.replace("_", " ") if value is True else f"{name.replace('_', ' ')} {value}"
        for name, value in document.items()
        if value not in (None, False)
    ]
    words += [f"SE {squeeze['channels']}"] if squeeze else []
    takes = f"{channels} x {size} x {size}" if size else str(channels)
    return f"{op} on {takes}", ", ".join(words)


def signed_error(network: VerifiedNetwork, calibration: Calibration) -> float:
    """Predicted over measured time, less one."""
    return calibration.apply(network.predicted_ms) / network.measured_ms - 1


def _by_resolution(
    networks: Sequence[VerifiedNetwork],
) -> Iterator[tuple[int, str, str, list[VerifiedNetwork]]]:
    sizes = sorted({one.resolution for one in networks})
    for size, color, symbol in zip(sizes, _cycled(_COLORS), _cycled(_SYMBOLS), strict=False):
        yield size, color, symbol, [one for one in networks if one.resolution == size]


def _words_of_network(network: VerifiedNetwork, calibration: Calibration) -> str:
    predicted = calibration.apply(network.predicted_ms)
    return (
        f"{escape(network.id)}, {network.resolution} px, {amount(network.macs)} MACs<br>"
        f"measured {milliseconds(network.measured_ms)}, predicted {milliseconds(predicted)} "
        f"({100 * signed_error(network, calibration):+.1f} %)"
        + ("<br>the correction was fitted on it" if network.fitted else "")
    )


def _cycled(values: Sequence[str]) -> Iterator[str]:
    while True:
        yield from values
