"""The figures of the report, as plotly JSON: axes with units, a palette for every eye."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from mnas.results.importance import Importance
from mnas.results.markup import Child, Html, element, json_element
from mnas.results.progress import Growth
from mnas.results.trust import RankCorrelation
from mnas.results.verdicts import Confirmed
from mnas.results.wording import Accuracies

# Okabe and Ito 2008, "Color universal design": distinct with any colour vision, and in grey.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#9aa3ab"
INK = "#1f2933"
_GRID = "#e4e8ec"


def figure_element(figure: go.Figure, caption: Child, *, height: int = 420) -> Html:
    """A figure with its caption; the page's script draws it from the JSON inside."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 16, "t": 12, "b": 56},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0},
        hoverlabel={"align": "left", "bgcolor": "white", "font": {"color": INK}},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
    axis = {"gridcolor": _GRID, "zeroline": False, "linecolor": _GRID, "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return element(
        "figure",
        element(
            "div",
            json_element(_plain(figure.to_plotly_json())),
            class_="plot",
            style=f"min-height:{height}px",
        ),
        element("figcaption", caption),
    )


def growth_figure(curves: Sequence[Growth], *, by_hour: bool) -> go.Figure:
    """The hypervolume of each target over trials, or over wall time."""
    figure = go.Figure()
    for curve, color in zip(curves, (BLUE, ORANGE, GREEN, PURPLE) * len(curves), strict=False):
        figure.add_scatter(
            x=[0, *(curve.hours if by_hour else curve.trials)],
            y=[0, *(100 * volume for volume in curve.volumes)],
            mode="lines",
            name=escape(curve.target),
            line={"color": color, "width": 2, "shape": "hv"},
            showlegend=len(curves) > 1,
        )
    figure.update_xaxes(title="wall time (hours)" if by_hour else "trials (networks scored)")
    highest = max((volume for curve in curves for volume in curve.volumes), default=1.0)
    figure.update_yaxes(title="hypervolume (% of the box)", range=[0, 108 * (highest or 1.0)])
    return figure


def importance_figure(importance: Importance, most: int) -> go.Figure:
    """The most important choices as bars, the most important on top."""
    shown = importance.choices[:most][::-1]
    drops = [100 * one.drop for one in shown]
    figure = go.Figure(
        go.Bar(
            x=drops,
            y=[escape(one.choice) for one in shown],
            orientation="h",
            marker={"color": BLUE},
            error_x={
                "type": "data",
                "array": [100 * one.error for one in shown],
                "color": INK,
                "thickness": 1,
                "width": 3,
            },
            hovertemplate="%{y}: %{x:.1f} % of the variance<extra></extra>",
        )
    )
    figure.update_xaxes(title="variance lost when shuffled (%)", rangemode="tozero")
    figure.update_yaxes(type="category", showgrid=False)
    return figure


def agreement_figure(words: str, correlation: RankCorrelation, accuracies: Accuracies) -> go.Figure:
    """One stage's accuracies over the stage's before."""
    before, _, after = words.partition(" against ")
    figure = go.Figure(
        go.Scatter(
            x=[accuracies.scaled(x) for x in correlation.xs],
            y=[accuracies.scaled(y) for y in correlation.ys],
            mode="markers",
            marker={"color": BLUE, "size": 8, "opacity": 0.75},
            hovertemplate="%{x:.2f} then %{y:.2f}<extra></extra>",
        )
    )
    unit = "%" if accuracies.are_fractions else "score"
    figure.update_xaxes(title=f"{before} ({unit})")
    figure.update_yaxes(title=f"{after} ({unit})")
    return figure


def table_error_figure(networks: Sequence[Confirmed]) -> go.Figure:
    """Measured over predicted latency of confirmed networks, with the table's margin as a bar."""
    known = [one for one in networks if one.predicted_ms and one.measured_ms is not None]
    labels = [escape(_label(one)) for one in known][::-1]
    figure = go.Figure()
    for one, label in zip(known[::-1], labels, strict=True):
        if one.low_ms is not None and one.high_ms is not None and one.predicted_ms:
            figure.add_scatter(
                x=[100 * (ms / one.predicted_ms - 1) for ms in (one.low_ms, one.high_ms)],
                y=[label, label],
                mode="lines",
                line={"color": "#cfe3f1", "width": 10},
                hoverinfo="skip",
                showlegend=False,
            )
    figure.add_scatter(
        x=[
            100 * (one.measured_ms / one.predicted_ms - 1)
            for one in known[::-1]
            if one.measured_ms is not None and one.predicted_ms
        ],
        y=labels,
        mode="markers",
        marker={"color": BLUE, "size": 9},
        hovertemplate="%{y}: %{x:+.1f} %<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    reach = 1.2 * max(abs(x) for trace in figure.data for x in trace.x)
    figure.update_xaxes(range=[-reach, reach])
    figure.update_xaxes(title="measured against predicted (%)")
    figure.update_yaxes(type="category", showgrid=False)
    return figure


def _label(one: Confirmed) -> str:
    return one.name if one.kind == "baseline" else one.id


def _plain(value: Any) -> Any:
    """Plotly's arrays and tuples as JSON types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
