"""The first half of the report: who won, against whom, what was found."""

from collections.abc import Sequence

from mnas.results.candidates import at_top_rung, confirmed
from mnas.results.drawing import draw_network
from mnas.results.end_to_end import read_end_to_end
from mnas.results.errors import RunError
from mnas.results.front_plot import front_figure
from mnas.results.markup import EMPTY, Child, Html, element, join, paragraph, table
from mnas.results.plots import figure_element
from mnas.results.record import Record
from mnas.results.runs import Run
from mnas.results.verdicts import Confirmed, Verdict
from mnas.results.wording import (
    MINUS,
    NONE,
    Accuracies,
    amount,
    counted,
    epochs_text,
    listed,
    milliseconds,
    percent,
    points,
)

_SAME_LATENCY = 0.05  # relative; nearer than that, a table and a timing cannot tell apart


def headline(run: Run, verdict: Verdict | None, accuracies: Accuracies) -> Html:
    """The answer in words: what was gained over the best scaled published network."""
    if verdict is None:
        return _unfinished(run, accuracies)
    if verdict.winner is None and verdict.reason == "failed":
        return _answer(
            "No candidate could be confirmed",
            "Every training of the confirmation failed; records.csv has the reasons.",
        )
    if verdict.winner is None and verdict.reason == "not_timed":
        return _answer(
            "No candidate could be timed",
            f"Every candidate failed on {verdict.target}{_device(verdict)}; timing.json has the "
            "reasons.",
        )
    if verdict.winner is None:
        budget = milliseconds(verdict.budget_ms)
        return _answer(
            "No network kept the budget",
            f"Every candidate that was timed measured over {budget} on {verdict.target}. "
            "Raise the budget, or search a smaller space.",
        )
    if verdict.baseline is None or verdict.gain is None:
        return _answer(
            f"{percent(verdict.winner.test_accuracy)} on test",
            f"{_name(verdict.winner)} won the confirmation, measured at "
            f"{milliseconds(verdict.winner.measured_ms)} on {verdict.target}{_device(verdict)}"
            f"{_interval(verdict.winner)}. No published network was compared"
            f"{_why_no_baseline(run, verdict)}, so nothing can be said about a gain.",
        )
    return _comparison(verdict)


def _comparison(verdict: Verdict) -> Html:
    winner, baseline, gain = verdict.winner, verdict.baseline, verdict.gain
    assert winner is not None
    assert baseline is not None
    assert gain is not None
    interval = f"95\u00a0% interval {points(gain.low)} to {points(gain.high)} points"
    sizes = (
        f"{_name(winner)}, the network found, reaches {percent(winner.test_accuracy)} on test; "
        f"{_name(baseline)}, the best scaled published network, "
        f"{percent(baseline.test_accuracy)}: {points(gain.value)} points"
    )
    big = f"{points(gain.value)} points of test accuracy"
    if not gain.is_distinguishable:
        images = f"{winner.test_images:,}" if winner.test_images else "these"
        big = f"Not distinguishable with {images} test images"
        words = f"{sizes}, but the {interval} holds 0."
    elif gain.value > 0:
        words = f"{sizes}. The {interval} leaves 0 out: the two are distinguishable."
    else:
        words = f"{sizes}. The {interval} leaves 0 out: the published network is better."
    return join(
        _answer(big, words, _interval_drawing(gain.value, gain.low, gain.high)),
        paragraph(_latency_words(winner, baseline, verdict), class_="support"),
        paragraph(
            "Both were trained with the same recipe and fresh seeds. The winner was chosen on "
            "validation; test was read once, for these two.",
            class_="support",
        ),
    )


def _latency_words(winner: Confirmed, baseline: Confirmed, verdict: Verdict) -> str:
    """Whether the latencies are the same, which a fair comparison asks for."""
    budget = f" The budget is {milliseconds(verdict.budget_ms)}." if verdict.budget_ms else ""
    words = (
        f"Measured end to end on {verdict.target}{_device(verdict)}, side by side: "
        f"{milliseconds(winner.measured_ms)} for the network found, "
        f"{milliseconds(baseline.measured_ms)} for the published one.{budget}"
    )
    if not winner.measured_ms or not baseline.measured_ms:
        waits = verdict.timed_on.waits if verdict.timed_on else None
        return f"{words} What has no time: {waits}." if waits else words
    ratio = baseline.measured_ms / winner.measured_ms - 1
    if abs(ratio) <= _SAME_LATENCY:
        return f"{words} That is the same latency within {percent(_SAME_LATENCY, 0)}."
    if ratio < 0:
        return (
            f"{words} They are not equally fast: the published one, scaled to the budget as well "
            f"as it can be, takes {percent(-ratio, 0)} less, so a part of the gain is bought "
            "with time."
        )
    return f"{words} The published one takes {percent(ratio, 0)} more, which favours it."


def _device(verdict: Verdict) -> str:
    """Which device the target is, where it is not the machine of the search."""
    return verdict.timed_on.words if verdict.timed_on else ""


def _interval_drawing(value: float, low: float, high: float) -> Html:
    """The gain and its interval on a line with 0 marked."""
    reach = 1.15 * max(abs(low), abs(high), abs(value), 1e-9)
    x_low, x_value, x_high = (200 + 190 * number / reach for number in (low, value, high))
    return element(
        "svg",
        element("line", x1=5, x2=395, y1=16, y2=16, class_="axis"),
        element("line", x1=200, x2=200, y1=4, y2=28, class_="zero"),
        element("line", x1=f"{x_low:.1f}", x2=f"{x_high:.1f}", y1=16, y2=16, class_="range"),
        element("circle", cx=f"{x_value:.1f}", cy=16, r=6),
        element("text", "0", x=200, y=42, text_anchor="middle"),
        element("text", f"{points(reach)} points", x=395, y=42, text_anchor="end"),
        element("text", points(-reach), x=5, y=42),
        viewBox="0 0 400 46",
        class_="gain",
        role="img",
        aria_label=f"gain {points(value)} points, interval {points(low)} to {points(high)}",
    )


def _unfinished(run: Run, accuracies: Accuracies) -> Html:
    rows = [row for row in run.evaluations if row.kind == "trial"]
    scored = len({row.id for row in rows if row.state == "complete"})
    failed = sum(row.state == "failed" for row in run.evaluations)
    if not run.evaluations:
        return _answer("Nothing was scored yet", "The search has only begun.")
    try:
        stage, best = run.best_candidate()
    except RunError:
        reasons = [row.reason for row in run.evaluations if row.state == "failed"]
        said = f" The first reason: {reasons[0]}" if reasons else ""
        return _answer(
            "No network was scored",
            f"{counted(failed, 'evaluation')} failed, {_ruled_out(rows)}.{said}",
        )
    waits = read_end_to_end(run.directory).waits
    after = "all seeds of the confirmation" if stage == "confirm" else "the proxy's highest rung"
    latencies = listed(
        f"{milliseconds(ms)} on {target}" for target, ms in best.record.latency_ms.items()
    )
    return _answer(
        f"{accuracies.text(best.accuracy)} so far, no verdict",
        f"{counted(scored, 'network')} scored. The best after {after} "
        f"({epochs_text(best.record.epochs)}) is {best.id}"
        + (f", predicted {latencies}" if latencies else "")
        + ". There is no verdict: the comparison with published networks comes at the end of a "
        "search, so nothing is claimed here. The highest of many noisy scores is too high."
        + (f" The comparison waits for times of the device: {waits}." if waits else ""),
    )


def dropped_section(verdict: Verdict | None) -> Html:
    """Which networks measured over the budget or could not be timed; nothing before a verdict."""
    if verdict is None:
        return EMPTY
    if verdict.budget_ms is None:
        return _not_timed(verdict)
    floor = verdict.noise_floor or 0.0
    limit = (
        f"{milliseconds(verdict.budget_ms * (1 + floor))} (the budget of "
        f"{milliseconds(verdict.budget_ms)} plus the noise floor of {percent(floor, 1)})"
    )
    if not verdict.dropped:
        return paragraph(
            f"Nothing was dropped: every confirmed network measured within {limit}.",
            class_="support",
        )
    rows: list[list[Child]] = [
        [
            one.name,
            milliseconds(one.measured_ms),
            one.reason
            if one.measured_ms is None
            else f"+{percent(one.measured_ms / verdict.budget_ms - 1, 1)}",
        ]
        for one in verdict.dropped
    ]
    failed = sum(one.measured_ms is None for one in verdict.dropped)
    title = f"{counted(len(rows) - failed, 'network')} measured over the budget"
    if failed:
        title += f", {failed} could not be timed"
    return element(
        "div",
        element("h3", f"Dropped: {title}"),
        paragraph(
            f"Predicted within the budget, but end to end over {limit}. "
            "A search selects what its table flatters, so what measures over cannot win."
            + (" Nor can what does not run on the device." if failed else "")
        ),
        table(["network", "measured", "over budget"], rows, numbers=1),
        class_="dropped",
    )


def _not_timed(verdict: Verdict) -> Html:
    """Without a budget, only what fails on the device is dropped."""
    if not verdict.dropped:
        return EMPTY
    told = listed(f"{one.name} ({one.reason})" for one in verdict.dropped)
    return paragraph(f"Dropped, since it could not be timed: {told}.", class_="dropped")


def front_section(run: Run, verdict: Verdict | None, accuracies: Accuracies) -> Html:
    """The front, one figure for each target."""
    if not any(row.state == "complete" for row in run.evaluations):
        return paragraph("No network was scored, so there is no front.")
    rows = [row for row in run.evaluations if row.kind == "trial"]
    figures = []
    for target in run.targets:
        caption = (
            f"Higher and further left is better. Trials lie at the latency that the table of "
            f"{target} predicts, with its margin where it is known; confirmed and published "
            "networks at the latency measured end to end (predicted until measured), whiskers "
            "from the worst to the best seed. The star is the winner. Longer training raises "
            "accuracy, so compare points of one colour. Lower rungs: click the legend."
        )
        figures.append(
            figure_element(front_figure(run, verdict, target, accuracies), caption, height=480)
        )
    feasible = len({row.id for row in rows if row.state == "complete"})
    return join(
        paragraph(
            f"{counted(feasible, 'feasible network')} scored, "
            f"{len(at_top_rung(run.evaluations))} of them at the highest rung; "
            f"{_ruled_out(rows)}, which cost no training and are not drawn; the front has "
            f"{counted(len(run.front_candidates()), 'network')} (front.csv)."
        ),
        *figures,
    )


def _ruled_out(trials: Sequence[Record]) -> str:
    """How many proposals were not trained, and why."""
    filtered = sum(row.is_filtered for row in trials)
    over = sum(row.state == "infeasible" for row in trials) - filtered
    told = f"{counted(over, 'proposal')} over a budget or a constraint"
    if not filtered:
        return told
    return f"{told}, {counted(filtered, 'candidate')} turned away by the training-free filter"


def confirmed_section(run: Run, verdict: Verdict | None, accuracies: Accuracies) -> Html:
    """Table of the confirmed networks and baselines; of what there is, before the verdict."""
    if verdict is None:
        found = confirmed(run.evaluations)
        if not found:
            return paragraph("The confirmation has not begun.")
        seeds = counted(sum(len(one.accuracies) for one in found), "training")
        return paragraph(
            f"The confirmation has {seeds} of {counted(len(found), 'network')} behind it and has "
            "not ended: ",
            listed(f"{one.id} {accuracies.text(one.accuracy)}" for one in found),
            ".",
        )
    ordered = sorted(verdict.confirmed, key=lambda one: -(one.val_accuracy or 0.0))
    head: list[Child] = [
        "network",
        "validation",
        "test",
        "predicted",
        "measured",
        "parameters",
        "MACs",
    ]
    return join(
        table(head, [_confirmed_row(one, verdict, accuracies) for one in ordered], numbers=1),
        paragraph(
            "Validation is the mean over seeds \u00b1 the standard deviation of one training. "
            "Predicted latency is with the table's 90\u00a0% margin, measured latency is of the "
            f"exported file on {verdict.target}{_device(verdict)}. Test was read for the winner "
            "and the best published network alone; brackets are its 95\u00a0% interval.",
            class_="note",
        ),
    )


def _confirmed_row(one: Confirmed, verdict: Verdict, accuracies: Accuracies) -> list[Child]:
    marks = []
    if verdict.winner is not None and one.id == verdict.winner.id and one.kind != "baseline":
        marks.append(element("mark", "winner", class_="good"))
    if one.kind == "baseline":
        is_best = verdict.baseline is not None and one.id == verdict.baseline.id
        marks.append(element("mark", "best published" if is_best else "published", class_="base"))
    if one.within_budget is False:
        marks.append(element("mark", "over budget", class_="bad"))
    title = element("b", _name(one)) if one.kind == "baseline" else element("code", one.id)
    test = join(percent(one.test_accuracy), element("small", _interval(one)))
    margin = (
        f"{milliseconds(one.low_ms)} to {milliseconds(one.high_ms)}"
        if one.low_ms is not None and one.high_ms is not None
        else ""
    )
    return [
        join(title, " ", *marks),
        join(accuracies.text(one.val_accuracy), element("small", _deviation(one, accuracies))),
        test if one.test_accuracy is not None else NONE,
        join(milliseconds(one.predicted_ms), element("small", margin)),
        milliseconds(one.measured_ms),
        amount(one.params),
        amount(one.macs),
    ]


def _deviation(one: Confirmed, accuracies: Accuracies) -> str:
    count = len(one.val_accuracies)
    if count < 2:
        return f"{counted(count, 'seed')}" if count else ""
    mean = sum(one.val_accuracies) / count
    variance = sum((value - mean) ** 2 for value in one.val_accuracies) / (count - 1)
    return f"\u00b1 {accuracies.spread(variance**0.5)}, {counted(count, 'seed')}"


def winner_section(run: Run, verdict: Verdict | None) -> Html:
    """The winner, or the best so far, drawn block by block."""
    if verdict is not None and verdict.winner is not None:
        chosen, title = verdict.winner.id, "the winner"
    else:
        try:
            chosen, title = run.best_candidate()[1].id, "the best so far"
        except RunError:
            return paragraph("No network was scored, so there is nothing to draw.")
    architecture = run.architecture(chosen)
    size = f"{architecture.input.channels} \u00d7 {architecture.input.resolution}\u00b2 input"
    return join(
        paragraph(
            element("code", chosen),
            f", {title}: {size}, {counted(len(architecture.blocks), 'block')}, "
            f"{architecture.num_classes} classes. Its document is networks/{chosen}.json.",
        ),
        draw_network(architecture),
    )


def _answer(big: str, words: str, drawing: Html | None = None) -> Html:
    return element(
        "div",
        element("p", big.replace("-", MINUS) if big[:1] == "-" else big, class_="big"),
        drawing,
        paragraph(words),
        class_="answer",
    )


def _name(one: Confirmed) -> str:
    return one.name if one.kind == "baseline" else one.id


def _interval(one: Confirmed) -> str:
    if one.test_low is None or one.test_high is None:
        return ""
    return f" [{100 * one.test_low:.2f} to {100 * one.test_high:.2f}]"


def _why_no_baseline(run: Run, verdict: Verdict) -> str:
    if not run.experiment.get("baselines"):
        return " (the experiment names no baselines)"
    if not any(one.kind == "baseline" for one in verdict.confirmed):
        return " (none could be scaled to the budget and trained)"
    return " (none measured within the budget)"
