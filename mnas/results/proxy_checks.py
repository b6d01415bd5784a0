"""What `mnas proxy-check` found: how far the proxy's ranking is that of longer training."""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mnas.arch import write_atomically
from mnas.results.errors import RunError
from mnas.results.trust import rank_correlation

SCHEMA = "mnas.proxy_check/1"
FILE = "proxy_check.json"
_Z95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution
_SLACK = 0.05  # a cheaper rung keeps the ranking if its rho is at most so much lower


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTraining:
    """One training of a check.

    Attributes:
        stage: `proxy` is a rung of the ladder, `confirm` the longer training it is held against.
        seconds: Wall time of this call; a rung continues the one below.
        reason: Why it failed; None if it did not.
    """

    id: str
    params: int
    stage: Literal["proxy", "confirm"]
    epochs: int
    seed: int
    accuracy: float | None
    reason: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RungTrust:
    """How far one rung can be trusted; accuracies are fractions.

    Attributes:
        epochs: Of the rung.
        networks: That ended this rung and the longer training.
        rho: Spearman's, means over the seeds against means of the longer training; higher is
            better. None where it cannot be said.
        low: Lower end of its 95 % interval (Bonett and Wright 2000); None below ten networks.
        high: Upper end.
        single_rho: Mean of the correlations of one seed alone, which is what a search goes by.
        noise: Pooled standard deviation over the seeds of each network.
        smallest_gap: Two networks that are equally good differ by less in 95 % of single
            trainings: 1.96 x sqrt(2) x noise.
        span: Highest minus lowest mean accuracy.
        seconds: Mean wall time of a training up to this rung.
    """

    epochs: int
    networks: int
    rho: float | None
    low: float | None
    high: float | None
    single_rho: float | None
    noise: float | None
    smallest_gap: float | None
    span: float | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCheck:
    """What a check found.

    Attributes:
        directory: Where its file is.
        networks: Distinct networks that were trained.
        seeds: Trainings of each at each length.
        long_epochs: Length of the training that the proxy is held against.
        long_noise: Pooled standard deviation of that training over its seeds.
        params_rho: Spearman's rho of the number of parameters alone, what a proxy must beat.
        rungs: From the cheapest.
        cheapest_epochs: The lowest rung whose rho is at most 0.05 below the best one's and whose
            interval leaves out 0; None if no rung's does.
        failed: Trainings that failed.
        hashes: Of data, space and recipe: what it holds for.
    """

    directory: Path
    networks: int
    seeds: int
    long_epochs: int
    long_noise: float | None
    params_rho: float | None
    rungs: tuple[RungTrust, ...]
    cheapest_epochs: int | None
    failed: int
    hashes: Mapping[str, str]


def write_check(
    directory: Path, identity: Mapping[str, Any], trainings: Sequence[CheckedTraining]
) -> None:
    """Write what was trained so far, the whole file at once.

    Args:
        directory: Of the check.
        identity: What the trainings belong to: `hashes`, `networks`, `seeds`, `long_epochs`.
        trainings: In the order in which they were planned.
    """
    document = {
        "schema": SCHEMA,
        "identity": dict(identity),
        "trainings": [asdict(each) for each in trainings],
    }
    write_atomically(directory / FILE, json.dumps(document, indent=1) + "\n")


def read_check(directory: Path) -> tuple[dict[str, Any], list[CheckedTraining]] | None:
    """The identity and the trainings of a check; None where there is no file.

    Raises:
        RunError: The file is not one of a check.
    """
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}")
        identity = dict(document["identity"])
        trainings = [CheckedTraining(**each) for each in document["trainings"]]
        summarised(directory, identity, trainings)  # whatever it lacks is noticed here
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise RunError(
            f"{path} is not a proxy check (schema {SCHEMA}): {type(error).__name__}: {error}. "
            "Remove it, or choose another folder"
        ) from None
    return identity, trainings


def summarised(
    directory: Path, identity: Mapping[str, Any], trainings: Sequence[CheckedTraining]
) -> ProxyCheck:
    """Sum up the trainings of a check, all of them or those that are done."""
    long = _by_network(each for each in trainings if each.stage == "confirm")
    rungs = sorted({each.epochs for each in trainings if each.stage == "proxy"})
    found = tuple(_rung_trust(trainings, epochs, long) for epochs in rungs)
    params = {each.id: each.params for each in trainings}
    return ProxyCheck(
        directory=directory,
        networks=len(params),
        seeds=int(identity["seeds"]),
        long_epochs=int(identity["long_epochs"]),
        long_noise=_pooled(long),
        params_rho=rank_correlation(
            [(float(params[name]), statistics.fmean(long[name].values())) for name in long]
        ).rho,
        rungs=found,
        cheapest_epochs=_cheapest(found),
        failed=sum(each.reason is not None for each in trainings),
        hashes={str(name): str(value) for name, value in identity["hashes"].items()},
    )


def check_of_run(directory: Path, hashes: Mapping[str, Any]) -> ProxyCheck | None:
    """The check that belongs to a run: in its folder, or beside it under the experiment's name.

    Args:
        directory: Of the run.
        hashes: Of the run; a check of other data, space or recipe is not the run's.
    """
    for folder in (directory / "proxy-check", directory.with_name(f"{directory.name}-proxy-check")):
        try:
            read = read_check(folder)
        except RunError:
            continue  # a report is written whatever lies beside the run
        if read is not None and read[1]:
            check = summarised(folder, *read)
            if all(hashes.get(name) == value for name, value in check.hashes.items()):
                return check
    return None


def _by_network(trainings: Any) -> dict[str, dict[int, float]]:
    """Accuracy by network and seed."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for each in trainings:
        if each.accuracy is not None:
            found[each.id][each.seed] = each.accuracy
    return dict(found)


def _pooled(found: Mapping[str, Mapping[int, float]]) -> float | None:
    groups = [list(each.values()) for each in found.values() if len(each) > 1]
    freedom = sum(len(each) - 1 for each in groups)
    if not freedom:
        return None
    return math.sqrt(sum(statistics.variance(each) * (len(each) - 1) for each in groups) / freedom)


def _rung_trust(
    trainings: Sequence[CheckedTraining], epochs: int, long: Mapping[str, Mapping[int, float]]
) -> RungTrust:
    rows = [each for each in trainings if each.stage == "proxy"]
    found = _by_network(each for each in rows if each.epochs == epochs)
    both = [name for name in found if name in long]
    target = {name: statistics.fmean(long[name].values()) for name in both}
    means = {name: statistics.fmean(found[name].values()) for name in found}
    whole = rank_correlation([(means[name], target[name]) for name in both])
    # seeds differ between networks, so the first of each are one search's view, and so on
    places = max((len(found[name]) for name in both), default=0)
    views = [
        rank_correlation(
            [
                (list(found[name].values())[place], target[name])
                for name in both
                if len(found[name]) > place
            ]
        ).rho
        for place in range(places)
    ]
    known = [rho for rho in views if rho is not None]
    noise = _pooled(found)
    ended = sum(each.epochs == epochs for each in rows)
    return RungTrust(
        epochs=epochs,
        networks=len(both),
        rho=whole.rho,
        low=whole.low,
        high=whole.high,
        single_rho=statistics.fmean(known) if known else None,
        noise=noise,
        smallest_gap=None if noise is None else _Z95 * math.sqrt(2) * noise,
        span=max(means.values()) - min(means.values()) if means else None,
        seconds=sum(each.seconds for each in rows if each.epochs <= epochs) / max(ended, 1),
    )


def _cheapest(rungs: Sequence[RungTrust]) -> int | None:
    sure = [each for each in rungs if each.rho is not None and each.low is not None]
    sure = [each for each in sure if each.low is not None and each.low > 0]
    best = max((each.rho for each in sure if each.rho is not None), default=None)
    if best is None:
        return None
    return next(
        (each.epochs for each in sure if each.rho is not None and each.rho >= best - _SLACK), None
    )
