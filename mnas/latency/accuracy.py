"""How far predictions and measurements agree: correction, errors with intervals, the verdict."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mnas.latency.target import Calibration, Interval, Verdict, Verification, VerifiedNetwork

Numbers = NDArray[np.float64]
_RESAMPLES = 2000
_MOST_FLOOR = 0.03
_MOST_MAPE = 0.10
_LEAST_LOSS = 0.001  # by which a table is worse than counting MACs
_FEWEST_TESTED = 20
_FEWEST_FOR_RANKS = 5
_FEWEST_FOR_OFFSET = 5  # below, an offset fits noise: facts of the first measurements


def fit_calibration(raw: Numbers, measured: Numbers) -> Calibration:
    """Fit measured = scale * raw + offset with the least squares of relative errors.

    Args:
        raw: (n,) sums of blocks, or any cost such as MACs, above zero.
        measured: (n,) milliseconds, above zero.

    Returns:
        The correction; scale alone for fewer than five networks, or where the data would ask
        for a scale that is not positive.
    """
    columns = np.column_stack([raw, np.ones_like(raw)]) / measured[:, None]
    target = np.ones(len(raw))
    if len(raw) >= _FEWEST_FOR_OFFSET and np.ptp(raw) > 0:
        scale, offset = np.linalg.lstsq(columns, target, rcond=None)[0]
        if scale > 0:
            return Calibration(scale=float(scale), offset_ms=float(offset))
    slope = columns[:, 0]
    return Calibration(scale=float(slope.sum() / (slope @ slope)), offset_ms=0.0)


def held_out_errors(networks: Sequence[VerifiedNetwork]) -> tuple[Numbers, Numbers]:
    """Signed relative errors of the networks that the corrections were not fitted on.

    Args:
        networks: With at least one on which the corrections are fitted and one other.

    Returns:
        (n,) predicted over measured less one, of the table; the same of multiply-accumulates with
        the same kind of correction, in the order of the networks.
    """
    fitted = np.array([network.fitted for network in networks])
    measured = np.array([network.measured_ms for network in networks])
    raw = np.array([network.predicted_ms for network in networks])
    macs = np.array([float(network.macs) for network in networks])
    # In milliseconds first: what a correction may come down to is a part of the time.
    per_mac = measured[fitted].sum() / macs[fitted].sum()
    test = measured[~fitted]
    return (
        _corrected(raw, measured, fitted) / test - 1,
        _corrected(per_mac * macs, measured, fitted) / test - 1,
    )


def judge(
    networks: Sequence[VerifiedNetwork],
    *,
    noise_floor: float,
    space: Mapping[str, str] | None = None,
    predicted_share: float = 0.0,
) -> Verification:
    """Say how far a table can be trusted, from networks timed end to end.

    Args:
        networks: With at least one on which the correction is fitted and two others.
        noise_floor: Relative difference of repeated measurements of one network.
        space: Name and digest of the space they come from.
        predicted_share: Mean part of the tested networks' sums that was not measured.

    Returns:
        Errors on the networks that were not fitted on, and the verdict.
    """
    fitted = np.array([network.fitted for network in networks])
    measured = np.array([network.measured_ms for network in networks])
    raw = np.array([network.predicted_ms for network in networks])
    sizes = np.array([network.resolution for network in networks])[~fitted]
    test = measured[~fitted]
    signed, signed_macs = held_out_errors(networks)
    corrected, from_macs = test * (1 + signed), test * (1 + signed_macs)
    errors, macs_errors = np.abs(signed), np.abs(signed_macs)
    mape = _bootstrap(errors, _mean)
    macs_mape = _bootstrap(macs_errors, _mean)
    lost_to_macs = _bootstrap(errors - macs_errors, _mean)
    verdict, reason = _verdict(mape, macs_mape, lost_to_macs, noise_floor, len(test))
    return Verification(
        mape=mape,
        mape_raw=_bootstrap(np.abs(raw[~fitted] - test) / test, _mean),
        within_5_percent=_bootstrap((errors <= 0.05).astype(float), _mean),
        within_10_percent=_bootstrap((errors <= 0.10).astype(float), _mean),
        spearman=rank_correlation(corrected, test),
        spearman_by_resolution={
            int(size): rank_correlation(corrected[sizes == size], test[sizes == size])
            for size in np.unique(sizes)
            if (sizes == size).sum() >= _FEWEST_FOR_RANKS
        },
        macs_mape=macs_mape,
        macs_spearman=rank_correlation(from_macs, test),
        noise_floor=noise_floor,
        verdict=verdict,
        reason=reason,
        networks=tuple(networks),
        space=dict(space or {}),
        predicted_share=predicted_share,
    )


def _corrected(cost: Numbers, measured: Numbers, fitted: NDArray[np.bool_]) -> Numbers:
    calibration = fit_calibration(cost[fitted], measured[fitted])
    return np.array([calibration.apply(float(each)) for each in cost[~fitted]])


def _verdict(
    mape: Interval, macs_mape: Interval, lost_to_macs: Interval, noise_floor: float, tested: int
) -> tuple[Verdict, str]:
    error = (
        f"mean error {_percent(mape.value)} ({_percent(mape.low)} to {_percent(mape.high)}) "
        f"on {tested} networks"
    )
    against = f"MACs reach {_percent(macs_mape.value)}"
    floor, most = f"noise floor {_percent(noise_floor)}", _percent(_MOST_MAPE)
    if noise_floor > _MOST_FLOOR:
        return "inconclusive", (
            f"the machine is too noisy to tell: {floor} is above {_percent(_MOST_FLOOR)}; {error}. "
            "Verify again on a quiet machine."
        )
    if mape.low > _MOST_MAPE:
        return "not trusted", f"{error} is above {most}; {against}; {floor}."
    if lost_to_macs.low > _LEAST_LOSS:
        return "not trusted", f"{error}: worse than counting, {against}; {floor}."
    if tested < _FEWEST_TESTED:
        return "inconclusive", f"{error}: too few to judge, at least {_FEWEST_TESTED} are needed."
    if mape.high > _MOST_MAPE:
        return "inconclusive", f"{error} may be above {most}; {against}; {floor}."
    return "trusted", f"{error}; {against}; {floor}."


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _mean(samples: Numbers) -> Numbers:
    return np.asarray(samples.mean(axis=-1))


def _bootstrap(values: Numbers, statistic: Callable[[Numbers], Numbers]) -> Interval:
    rng = np.random.default_rng(0)
    resampled = statistic(values[rng.integers(len(values), size=(_RESAMPLES, len(values)))])
    low, high = np.quantile(resampled, [0.05, 0.95])
    return Interval(value=float(statistic(values)), low=float(low), high=float(high))


def rank_correlation(first: Numbers, second: Numbers) -> Interval:
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(first), size=(_RESAMPLES, len(first)))
    resampled = _spearman(first[chosen], second[chosen])
    low, high = np.quantile(resampled, [0.05, 0.95])
    value = float(_spearman(first[None], second[None])[0])
    return Interval(value=value, low=float(low), high=float(high))


def _spearman(first: Numbers, second: Numbers) -> Numbers:
    ranks = [np.asarray(rankdata(values, axis=1)) for values in (first, second)]
    one, two = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    norm = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    # A resample of one network over and over has no ranks: it says nothing, so 0.
    return np.asarray((one * two).sum(axis=1) / np.where(norm > 0, norm, 1.0))
