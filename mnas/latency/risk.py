"""How surely a network keeps a latency, from the errors a table showed on whole networks."""

import math

from mnas.latency.errors import LatencyTableError
from mnas.latency.prediction import conformal_margin, held_out_residuals
from mnas.latency.table import LatencyTable


def margin_at(table: LatencyTable, confidence: float) -> tuple[float, float]:
    """How far above its prediction a network may measure, with a probability.

    One-sided split-conformal prediction (Lei et al. 2018, arXiv:1604.04173, section 2.2) from the
    networks of the verification that the correction was not fitted on.

    Args:
        table: A verified table.
        confidence: Probability that a new network measures at most prediction x (1 + margin),
            in [0.5, 1).

    Returns:
        The margin as a fraction, never below 0, and the margin of the table's 90 % interval, both
        for a network all of whose blocks were measured.

    Raises:
        LatencyTableError: The table is not verified, or on too few networks for that confidence.
    """
    if table.verification is None or table.calibration is None:
        raise LatencyTableError(
            f"{table.source} is not verified, so nothing is known of its error and no confidence "
            "can be promised. Verify it with `mnas latency verify`, or leave confidence out."
        )
    errors = sorted(
        each.measured_ms / table.calibration.apply(each.predicted_ms) - 1
        for each in table.verification.networks
        if not each.fitted
    )
    rank = math.ceil((len(errors) + 1) * confidence)
    around = conformal_margin(held_out_residuals(table.verification, table.calibration))
    if rank > len(errors) or around is None:
        raise LatencyTableError(
            f"{table.source} was verified on {len(errors)} networks, which can promise at most "
            f"{len(errors) / (len(errors) + 1):.4g}; got confidence {confidence:g}. Verify it on "
            "more networks, or ask for less."
        )
    return max(0.0, errors[rank - 1]), around
