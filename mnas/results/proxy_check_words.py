"""The part of the report that quotes a proxy check."""

from mnas.results.markup import Child, Html, join, paragraph, table
from mnas.results.proxy_checks import ProxyCheck
from mnas.results.wording import NONE, Accuracies, counted, epochs_text


def check_words(check: ProxyCheck, accuracies: Accuracies) -> Html:
    """What `mnas proxy-check` found for the same data, space and recipe."""
    rows: list[list[Child]] = [
        [
            epochs_text(rung.epochs),
            f"{rung.networks:,}",
            _value(rung.rho),
            NONE if rung.low is None else f"{_value(rung.low)} to {_value(rung.high)}",
            NONE if rung.smallest_gap is None else accuracies.spread(rung.smallest_gap),
        ]
        for rung in check.rungs
    ]
    head: list[Child] = [
        "rung",
        "networks",
        "Spearman's \u03c1",
        "95\u00a0% interval",
        f"smallest gap, {accuracies.unit}",
    ]
    cheapest = (
        "no rung ranks them surely better than chance"
        if check.cheapest_epochs is None
        else f"the cheapest rung that keeps the ranking is {epochs_text(check.cheapest_epochs)}"
    )
    return join(
        table(head, rows, numbers=1),
        paragraph(
            f"`mnas proxy-check`: {counted(check.networks, 'network')} from all over the space "
            f"against {epochs_text(check.long_epochs)} of training; {cheapest}. Parameters alone: "
            f"\u03c1 {_value(check.params_rho)}. Equally good networks differ by less than the "
            "smallest gap in 95\u00a0% of single trainings."
        ),
    )


def _value(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"
