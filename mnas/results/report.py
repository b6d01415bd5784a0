"""report.html: the whole run on one page that needs nothing but a browser."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from mnas.arch import write_atomically
from mnas.results.evidence import (
    importance_section,
    progress_section,
    proxy_section,
    tables_section,
    time_section,
)
from mnas.results.markup import Html, element, join, trusted
from mnas.results.outcome import (
    confirmed_section,
    dropped_section,
    front_section,
    headline,
    winner_section,
)
from mnas.results.reproducing import commands_section, environment_section
from mnas.results.runs import Run
from mnas.results.verdicts import Verdict, read_verdict
from mnas.results.wording import Accuracies, counted, listed, milliseconds
from mnas.results.writing import directory_of

_HERE = Path(__file__).parent


def write_report(run: Run) -> Path:
    """Write `report.html` into the run's directory, for a run in any state.

    One file: style, script and plotly.js are inside, and its content policy lets the browser load
    nothing and run nothing but those two scripts. Whatever comes from the run is escaped.

    Args:
        run: As loaded.

    Returns:
        The path written.

    Raises:
        RunError: The run has no directory, or its verdict is damaged.
        UnwritableFileError: The file cannot be written.
    """
    path = directory_of(run) / "report.html"
    write_atomically(path, _page(run))
    return path


def _page(run: Run) -> str:
    verdict = read_verdict(run.verdict)
    scores = [row.accuracy for row in run.evaluations if row.accuracy is not None]
    accuracies = Accuracies(scores)
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    scripts = [get_plotlyjs(), (_HERE / "report.js").read_text(encoding="utf-8")]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{run.name}: report of an mnas search"),
        element("style", trusted(style)),
    )
    body = element(
        "body",
        element("header", _kicker(), element("h1", run.name), _facts(run)),
        element("main", _sections(run, verdict, accuracies)),
        element(
            "noscript",
            "The plots need JavaScript, which is inside this file; nothing is loaded.",
        ),
        *(element("script", trusted(script)) for script in scripts),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(run: Run, verdict: Verdict | None, accuracies: Accuracies) -> Html:
    sections = (
        ("answer", "", join(headline(run, verdict, accuracies), dropped_section(verdict))),
        ("front", "The front", front_section(run, verdict, accuracies)),
        ("confirmed", "Confirmed networks", confirmed_section(run, verdict, accuracies)),
        ("progress", "Progress", progress_section(run, accuracies)),
        ("importance", "What mattered", importance_section(run)),
        ("time", "Where the time went", time_section(run)),
        ("proxy", "How far the proxy can be trusted", proxy_section(run, accuracies)),
        ("table", "How far the latency table can be trusted", tables_section(run, verdict)),
        ("winner", "The network", winner_section(run, verdict)),
        ("reproduce", "Do it again", commands_section(run)),
        ("environment", "Where it was done", environment_section(run)),
    )
    return join(
        *(
            element("section", element("h2", title) if title else None, content, id=place)
            for place, title, content in sections
        )
    )


def _kicker() -> Html:
    return element("p", "mnas search report", class_="kicker")


def _facts(run: Run) -> Html:
    """One line under the title: what was searched, on what, for which devices, how long."""
    experiment = run.experiment
    data = experiment.get("data")
    search = experiment.get("search")
    trials = len({row.number for row in run.evaluations if row.kind == "trial"})
    facts = [
        _space_words(experiment.get("space")),
        _data_words(data),
        f"target {listed(map(_target_words, run.budgets.items()))}" if run.budgets else "",
        _sampler_words(search),
        counted(trials, "proposal"),
        "" if run.verdict else "not finished",
    ]
    return element("p", " \u00b7 ".join(fact for fact in facts if fact), class_="facts")


def _space_words(space: Any) -> str:
    name = space.get("name") if isinstance(space, Mapping) else space
    return f"space {Path(str(name)).name}" if name else ""


def _data_words(data: Any) -> str:
    if not isinstance(data, Mapping) or "source" not in data:
        return ""
    path = data.get("path")
    return f"data {Path(str(path)).name} ({data['source']})" if path else f"data {data['source']}"


def _target_words(target: tuple[str, float | None]) -> str:
    name, budget = target
    return f"{name} within {milliseconds(budget)}" if budget is not None else name


def _sampler_words(search: Any) -> str:
    if not isinstance(search, Mapping) or "sampler" not in search:
        return ""
    return f"sampler {search['sampler']}, seed {search.get('seed', 0)}"


def _policy(scripts: list[str]) -> str:
    """A content security policy under which only these two scripts can run."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"
    )
