"""The second half of the report: how it went, and how far its numbers can be trusted."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mnas.results.candidates import confirmed
from mnas.results.importance import FEWEST, ROUGH_BELOW, choice_importance, rung_to_explain
from mnas.results.markup import EMPTY, Child, Html, element, join, paragraph, table
from mnas.results.plots import (
    agreement_figure,
    figure_element,
    growth_figure,
    importance_figure,
    table_error_figure,
)
from mnas.results.progress import growth, wall_seconds
from mnas.results.proxy_check_words import check_words
from mnas.results.proxy_checks import check_of_run
from mnas.results.record import Record
from mnas.results.runs import Run
from mnas.results.trust import FEWEST_FOR_INTERVAL, RankCorrelation, seed_noise, stage_comparisons
from mnas.results.verdicts import Confirmed, Verdict
from mnas.results.wording import (
    NONE,
    Accuracies,
    counted,
    duration,
    epochs_text,
    milliseconds,
    percent,
)

_MOST_REASONS = 12
_MOST_CHOICES = 12


def progress_section(run: Run, accuracies: Accuracies) -> Html:
    """How the front grew, over trials and over wall time."""
    found = [growth(run.evaluations, name, ms) for name, ms in run.budgets.items()]
    curves = [curve for curve in found if curve is not None]
    if not curves:
        return paragraph("Fewer than two networks reached the highest rung: no progress to draw.")
    corners = "; ".join(
        f"{milliseconds(curve.reference_ms)} on {curve.target} and "
        f"{accuracies.text(curve.reference_accuracy)}"
        for curve in curves
    )
    caption = (
        f"Hypervolume of the front at the highest rung, with the reference point {corners} "
        "(the budget, or the slowest trial without one, and the least accurate trial). "
        "100\u00a0% would be one network that is both the fastest and the most accurate found."
    )
    figures = [figure_element(growth_figure(curves, by_hour=False), caption, height=320)]
    if all(curve.hours for curve in curves):
        figures.append(
            figure_element(
                growth_figure(curves, by_hour=True),
                "The same over wall time since the first evaluation, pauses included.",
                height=320,
            )
        )
    return element("div", *figures, class_="pair")


def importance_section(run: Run) -> Html:
    """Which choices mattered; a sentence why not, where it cannot be said."""
    found = rung_to_explain(run.evaluations)
    n = len(found[1]) if found else 0
    if n < FEWEST:
        return paragraph(
            f"{counted(n, 'trial')} scored: below {FEWEST} a forest would explain noise, so "
            "no importance is given."
        )
    importance = choice_importance(run.evaluations)
    if importance is None:
        return paragraph("No choice or no accuracy varies among the trials: nothing to explain.")
    basis = (
        f"A random forest learnt the accuracy after {epochs_text(importance.epochs)} from the "
        f"choices of {counted(importance.n, 'trial')}"
    )
    if importance.explained <= 0:
        return paragraph(
            f"{basis} and explains nothing of trials it had not seen "
            f"(R\u00b2 {importance.explained:.2f}): a ranking of choices would be noise, "
            "so none is given."
        )
    rough = f" With fewer than {ROUGH_BELOW} trials this is rough." if n < ROUGH_BELOW else ""
    shown = sum(one.drop > 0 for one in importance.choices[:_MOST_CHOICES])
    return join(
        paragraph(
            f"{basis} and explains {percent(importance.explained, 0)} of the variance of trials "
            f"it had not seen (cross-validated).{rough}"
        ),
        figure_element(
            importance_figure(importance, shown),
            "Permutation importance on trials the forest had not seen: how much of the variance "
            "is lost when one choice is shuffled, \u00b1 one standard error. It says what moved "
            "the accuracy of these trials, not what causes it; choices that vary together share "
            f"their importance. Shown: {shown} of {counted(len(importance.choices), 'choice')} "
            "that varied.",
            height=100 + 26 * shown,
        ),
    )


def time_section(run: Run) -> Html:
    """Where the seconds went, by kind, and why evaluations failed."""
    spent: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for record in run.evaluations:
        count, seconds = spent[_kind_of_work(record)]
        spent[_kind_of_work(record)] = (count + 1, seconds + record.seconds)
    rows = [
        (name, f"{count:,}", seconds)
        for name, (count, seconds) in sorted(spent.items(), key=lambda item: -item[1][1])
    ]
    total = sum(seconds for *_, seconds in rows)
    cells: list[list[Child]] = [
        [name, _bar(seconds / total if total else 0.0), count, duration(seconds)]
        for name, count, seconds in rows
    ]
    wall = wall_seconds(run.evaluations)
    parts = [
        table(["work", "share", "evaluations", "time"], cells, numbers=2),
        paragraph(
            f"{duration(total)} of work in all, summed over workers"
            + (f"; {duration(wall)} from the first beginning to the last end" if wall else "")
            + ".",
            class_="note",
        ),
    ]
    phases = _known_seconds(run.environment)
    if phases:
        longest = max(seconds for _, seconds in phases) or 1.0
        phase_rows: list[list[Child]] = [
            [name, _bar(seconds / longest), duration(seconds)] for name, seconds in phases
        ]
        parts += [
            element("h3", "By phase, on the clock"),
            table(["phase", "of the longest", "time"], phase_rows, numbers=2),
        ]
    reasons = Counter(row.reason or "" for row in run.evaluations if row.state == "failed")
    if reasons:
        shown: list[list[Child]] = [
            [reason, f"{count:,}"] for reason, count in reasons.most_common(_MOST_REASONS)
        ]
        parts += [
            element("h3", f"{counted(reasons.total(), 'evaluation')} failed"),
            table(["reason", "times"], shown, numbers=1),
        ]
    return join(*parts)


def proxy_section(run: Run, accuracies: Accuracies) -> Html:
    """How far a short training says what a long one will."""
    comparisons = stage_comparisons(run.evaluations)
    parts: list[Html] = []
    if comparisons:
        head: list[Child] = ["ranking of", "networks", "Spearman's \u03c1", "95\u00a0% interval"]
        rows: list[list[Child]] = [
            [words, f"{found.n:,}", _rho(found), _rho_interval(found)]
            for words, found in comparisons
        ]
        parts.append(table(head, rows, numbers=1))
        drawn = [(words, found) for words, found in comparisons if found.n >= 3]
        figures = [
            figure_element(
                agreement_figure(words, found, accuracies),
                f"{counted(found.n, 'network')}, \u03c1 {_rho(found)}",
                height=320,
            )
            for words, found in drawn[-2:]
        ]
        parts += [element("div", *figures, class_="pair")] if figures else []
        parts.append(
            paragraph(
                "Only networks that were promoted are in a later stage, so the range is narrow "
                "and \u03c1 is lower than over the whole space. A proxy is good enough if what "
                "it promotes is good, not if it ranks its best ones.",
                class_="note",
            )
        )
    else:
        parts.append(
            paragraph("One rung and no confirmation yet: there is nothing to compare it with.")
        )
    noise = seed_noise(confirmed(run.evaluations))
    if noise is not None:
        told = "more" if noise.span > 2 * noise.deviation else "no more"
        parts.append(
            paragraph(
                "Seeds: one training repeats itself within "
                f"\u00b1{accuracies.spread(noise.deviation)} "
                f"{accuracies.unit} (pooled standard deviation, {noise.trainings} trainings of "
                f"{counted(noise.networks, 'network')}); the means of the confirmed networks span "
                f"{accuracies.spread(noise.span)} {accuracies.unit}, {told} than twice that."
            )
        )
    check = (
        check_of_run(run.directory, run.environment.get("hashes") or {}) if run.directory else None
    )
    if check is not None:
        parts += [element("h3", "Checked beforehand"), check_words(check, accuracies)]
    return join(*parts)


def tables_section(run: Run, verdict: Verdict | None) -> Html:
    """What each latency table says of its own error, and how it did on the confirmed networks."""
    verifications = run.environment.get("tables")
    parts: list[Html] = []
    for target, verification in verifications.items() if isinstance(verifications, Mapping) else ():
        parts.append(element("h3", str(target)))
        facts = verification if isinstance(verification, Mapping) else {}
        parts.append(_table_facts(facts))
        if inner := facts.get("verification", {} if "device" in facts else facts):
            parts.append(_verification(inner))
        else:
            parts.append(
                paragraph(
                    "This table was never verified against whole networks: its error is unknown. "
                    "`mnas latency verify` does it."
                )
            )
    if not parts:
        parts.append(paragraph("The run names no latency table: latencies came from elsewhere."))
    networks = [
        one
        for one in (verdict.confirmed if verdict else ())
        if one.predicted_ms and one.measured_ms is not None
    ]
    if networks:
        parts.append(_confirmed_errors(networks))
    return join(*parts)


def _table_facts(facts: Mapping[str, Any]) -> Html:
    """Device, runtime and what else the run says of a table."""
    said = [
        f"{name.replace('_', ' ')} {facts[name]}"
        for name in ("device", "runtime", "runtime_version", "threads", "dtype")
        if facts.get(name) is not None
    ]
    where = facts.get("where")
    if isinstance(where, Mapping) and where.get("address"):
        said.append(f"measured at {where['address']}")
    return paragraph(" \u00b7 ".join(said), class_="note") if said else EMPTY


def _verification(verification: Mapping[str, Any]) -> Html:
    verdict = str(verification.get("verdict", "unknown"))
    networks = verification.get("networks")
    held_out = verification.get("held_out")
    if held_out is None and isinstance(networks, Sequence) and not isinstance(networks, str):
        held_out = sum(
            1 for one in networks if isinstance(one, Mapping) and not one.get("fitted", False)
        )
    rows: list[list[Child]] = [
        ["mean error (MAPE) of the table, corrected", _figure(verification.get("mape"))],
        ["mean error of the table, uncorrected", _figure(verification.get("mape_raw"))],
        ["mean error of MACs with the same correction", _figure(verification.get("macs_mape"))],
        ["networks within \u00b15\u00a0%", _figure(verification.get("within_5_percent"))],
        ["networks within \u00b110\u00a0%", _figure(verification.get("within_10_percent"))],
        ["rank correlation (Spearman)", _figure(verification.get("spearman"), as_percent=False)],
        ["noise floor of the measurement", _figure(verification.get("noise_floor"))],
        ["whole networks held out", NONE if held_out is None else str(held_out)],
    ]
    known = [row for row in rows if row[1] != NONE]
    kind = {"trusted": "good", "not trusted": "bad"}.get(verdict, "base")
    reason = verification.get("reason")
    return join(
        paragraph(
            element("mark", verdict, class_=kind), f" {reason}" if reason is not None else ""
        ),
        table(
            ["check on whole networks, end to end", "value (90\u00a0% interval)"], known, numbers=1
        ),
    )


def _figure(value: Any, *, as_percent: bool = True) -> str:
    """A number, or {value, low, high}, as text; a dash for anything else."""
    if isinstance(value, Mapping):
        parts = [value.get(key) for key in ("value", "low", "high")]
        if not all(isinstance(part, int | float) for part in parts):
            return NONE
        middle, low, high = (_number(part, as_percent=as_percent) for part in parts)
        return f"{middle} ({low} to {high})"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, as_percent=as_percent)
    return NONE


def _number(value: Any, *, as_percent: bool) -> str:
    return percent(value, 1) if as_percent else f"{value:.3f}"


def _confirmed_errors(networks: Sequence[Confirmed]) -> Html:
    errors = [
        one.measured_ms / one.predicted_ms - 1
        for one in networks
        if one.predicted_ms and one.measured_ms is not None
    ]
    inside = [
        one.low_ms <= one.measured_ms <= one.high_ms
        for one in networks
        if one.low_ms is not None and one.high_ms is not None and one.measured_ms is not None
    ]
    mean = sum(map(abs, errors)) / len(errors)
    bias = sum(errors) / len(errors)
    side = "slower" if bias > 0 else "faster"
    covered = (
        f"{sum(inside)} of {len(inside)} lie in the table's 90\u00a0% margin, "
        if inside
        else "the table gave no margin, "
    )
    return join(
        element("h3", "On the confirmed networks of this run"),
        paragraph(
            f"{covered}mean error {percent(mean, 1)}; on average they measured "
            f"{percent(abs(bias), 1)} {side} than predicted. The search chose them for their "
            "predictions, so a little slower is to be expected."
        ),
        figure_element(
            table_error_figure(networks),
            "Measured against predicted latency, further right is slower; the bar is the table's "
            "90\u00a0% margin.",
            height=100 + 30 * len(networks),
        ),
    )


def _kind_of_work(record: Record) -> str:
    if record.state == "failed":
        return "failed evaluations"
    if record.is_filtered:
        return "filtered candidates (not trained)"
    if record.state == "infeasible":
        return "rejected proposals (not trained)"
    if record.kind == "baseline" and record.rung is not None:
        return f"published networks, proxy, {epochs_text(record.epochs)}"
    if record.kind == "trial":
        return f"proxy, {epochs_text(record.epochs)}"
    return {"confirm": "confirmation", "baseline": "published networks"}[record.kind]


def _known_seconds(environment: Mapping[str, Any]) -> list[tuple[str, float]]:
    known = environment.get("seconds")
    if not isinstance(known, Mapping):
        return []
    return [
        (str(name).replace("_", " "), float(seconds))
        for name, seconds in known.items()
        if isinstance(seconds, int | float) and not isinstance(seconds, bool)
    ]


def _bar(share: float) -> Html:
    return element(
        "span",
        element("i", style=f"width:{100 * share:.1f}%"),
        class_="bar",
        role="img",
        aria_label=f"{100 * share:.0f} %",
    )


def _rho(found: RankCorrelation) -> str:
    return NONE if found.rho is None else f"{found.rho:.2f}"


def _rho_interval(found: RankCorrelation) -> str:
    if found.low is None or found.high is None:
        return f"too few (fewer than {FEWEST_FOR_INTERVAL})"
    return f"{found.low:.2f} to {found.high:.2f}"
