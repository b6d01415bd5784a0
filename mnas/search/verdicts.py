"""When a comparison has no winner: why, and how the search ends."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnas.search.ledger import EvaluationFailuresError
from mnas.search.limits import BudgetError


def why_no_winner(dropped: Sequence[Mapping[str, Any]], *, has_contenders: bool) -> str:
    """The reason of `verdict.json`: `failed` (training), `over_budget` or `not_timed`."""
    if has_contenders:
        return "failed"
    was_timed = any(each["measured_ms"] is not None for each in dropped)
    return "over_budget" if was_timed or not dropped else "not_timed"


def refuse_no_winner(verdict: Mapping[str, Any], directory: Path) -> None:
    """End a search that confirmed no candidate.

    Raises:
        BudgetError: None measured within the budget.
        EvaluationFailuresError: Every confirming training failed, or every timing.
    """
    if verdict["winner"] is not None:
        return
    if verdict["reason"] == "failed":
        raise EvaluationFailuresError(
            "no candidate was confirmed: every one of their trainings failed. The reasons are in "
            f"{directory / 'records.csv'}."
        )
    if verdict["reason"] == "not_timed":
        first = verdict["dropped"][0]
        raise EvaluationFailuresError(
            f"no candidate could be timed on {verdict['target']}: each of them failed there, "
            f"{first['name']} with: {first['reason']}. The reasons are in "
            f"{directory / 'timing.json'}; delete it to time them again."
        )
    known = (each["measured_ms"] for each in verdict["dropped"])
    fastest = min(float(ms) for ms in known if ms is not None)
    raise BudgetError(
        f"no candidate measured within {verdict['budget_ms']} ms end to end: the fastest of them "
        f"takes {fastest:.4g} ms. The records are kept; raise the budget, or search longer."
    )
