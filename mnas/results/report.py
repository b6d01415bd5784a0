"""report.html: the whole run on one page that needs nothing but a browser."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnas.arch import write_atomically
from mnas.results.evidence import (
    importance_section,
    progress_section,
    proxy_section,
    tables_section,
    time_section,
)
from mnas.results.markup import Html, join
from mnas.results.outcome import (
    confirmed_section,
    dropped_section,
    front_section,
    headline,
    winner_section,
)
from mnas.results.page import page
from mnas.results.reproducing import commands_section, environment_section
from mnas.results.runs import Run
from mnas.results.verdicts import Verdict, read_verdict
from mnas.results.wording import Accuracies, counted, listed, milliseconds
from mnas.results.writing import directory_of


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
    return page(
        title=f"{run.name}: report of an mnas search",
        kicker="mnas search report",
        heading=run.name,
        facts=_facts(run),
        sections=_sections(run, verdict, Accuracies(scores)),
    )


def _sections(
    run: Run, verdict: Verdict | None, accuracies: Accuracies
) -> list[tuple[str, str, Html]]:
    return [
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
    ]


def _facts(run: Run) -> str:
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
    return " \u00b7 ".join(fact for fact in facts if fact)


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
