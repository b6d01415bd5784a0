"""A full training as a page: its curves epoch by epoch, and how it was done."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from mnas.arch import MnasError, write_atomically
from mnas.results.markup import Child, Html, element, join, paragraph, table
from mnas.results.page import page
from mnas.results.plots import BLUE, GREEN, INK, ORANGE, figure_element
from mnas.results.wording import counted, duration, percent

_COLUMNS = {"epoch", "learning_rate", "train_loss", "val_accuracy", "seconds"}


class TrainingFilesError(MnasError):
    """The folder holds no training, or files that none wrote; says which."""


def write_training_page(directory: str | os.PathLike[str]) -> Path:
    """Draw a training that `mnas train` wrote, finished or not, as `training.html` beside it.

    Args:
        directory: Of the training, with `metrics.csv`.

    Returns:
        The path of the page, which opens offline.

    Raises:
        TrainingFilesError: `metrics.csv` or `training.json` is not there or not what it should be.
        UnwritableFileError: The page cannot be written.
    """
    folder = Path(directory)
    try:
        text = _page(folder)
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingFilesError(
            f"metrics.csv or training.json in {folder} is not what a training writes "
            f"({type(error).__name__}: {error})"
        ) from None
    path = folder / "training.html"
    write_atomically(path, text)
    return path


def _page(folder: Path) -> str:
    metrics, document = _metrics(folder / "metrics.csv"), _document(folder / "training.json")
    name = document["architecture"]["name"] if document else folder.name
    best = max(  # of equally good ones the latest
        zip(metrics["val_accuracy"], metrics["epoch"], strict=True)
    )
    seconds = float(metrics["seconds"].sum())
    return page(
        title=f"{name}: an mnas training",
        kicker="mnas training",
        heading=name,
        facts=f"{counted(len(metrics), 'epoch')} in {duration(seconds)}",
        sections=[
            ("answer", "", _answer(document, best)),
            ("curves", "Epoch by epoch", _curves(metrics, best[1])),
            *_how(document),
        ],
    )


def _metrics(path: Path) -> pd.DataFrame:
    try:
        metrics = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise TrainingFilesError(f"cannot read the metrics {path}: {error}") from None
    if not set(metrics.columns) >= _COLUMNS or metrics.empty:
        raise TrainingFilesError(
            f"{path} is not the table of a training: it must have rows, and the columns "
            f"{', '.join(sorted(_COLUMNS))}; got {', '.join(map(str, metrics.columns))}"
        )
    return metrics.astype(dict.fromkeys(_COLUMNS, float)).astype({"epoch": int})


def _document(path: Path) -> Mapping[str, Any] | None:
    """What was written at the end; None while a training is on its way."""
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_bytes())
        known = document["schema"] == "mnas.training/1"
    except (ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise TrainingFilesError(f"{path} is not what a training writes (mnas.training/1)")
    return document  # type: ignore[no-any-return]  # the schema is known


def _answer(document: Mapping[str, Any] | None, best: tuple[float, int]) -> Html:
    accuracy, epoch = best
    chosen = f"epoch {epoch} with {percent(accuracy)} of validation"
    if document is None:
        return _answered(percent(accuracy), f"Not finished; best so far: {chosen}.")
    test = document["test"]
    if test is None:
        return _answered(percent(accuracy), f"Chosen: {chosen}. There is no test data.")
    between = f"between {percent(test['low'])} and {percent(test['high'])} with 95 % confidence"
    return _answered(
        percent(test["value"]),
        f"of {test['total']:,} test images, which chose nothing; {between}. Chosen was {chosen}, "
        "which flatters a little.",
    )


def _answered(big: str, words: str) -> Html:
    return element("div", element("p", big, class_="big"), paragraph(words), class_="answer")


def _curves(metrics: pd.DataFrame, best: int) -> Html:
    accuracy = _curve(metrics, "val_accuracy", GREEN, "validation accuracy (%)", 100.0)
    accuracy.add_vline(x=best, line={"color": INK, "width": 1, "dash": "dot"})
    return join(
        figure_element(accuracy, f"Higher is better; the dotted line is epoch {best}.", height=320),
        figure_element(
            _curve(metrics, "train_loss", BLUE, "training loss"),
            "Mean over an epoch's augmented images, with label smoothing and dropout: it is not "
            "comparable with a loss on validation images. Lower is better.",
            height=280,
        ),
        figure_element(
            _curve(metrics, "learning_rate", ORANGE, "learning rate"),
            "Of the last step of each epoch.",
            height=220,
        ),
    )


def _curve(
    metrics: pd.DataFrame, column: str, color: str, title: str, scale: float = 1.0
) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(
        x=metrics["epoch"].tolist(),
        y=[scale * value for value in metrics[column]],
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 5},
        hovertemplate="epoch %{x}: %{y:.4g}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=title)
    return figure


def _how(document: Mapping[str, Any] | None) -> list[tuple[str, str, Html]]:
    if document is None:
        return []
    data, shown = document["data"], {**document["recipe"], "seed": document["seed"]}
    for key in ("threads", "processes"):
        if key in document:
            shown[key] = document[key]
    images = ", ".join(f"{count:,} {name}" for name, count in data["images"].items())
    rows: list[list[Child]] = [[key, str(value)] for key, value in shown.items()]
    return [
        (
            "how",
            "How it was trained",
            join(
                paragraph(f"Data: {data['source']}, {images} images at {data['resolution']} px."),
                table(["recipe", ""], rows, numbers=1),
            ),
        )
    ]
