"""What an experiment names, loaded; its limits and objectives. Nothing is measured or trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mnas.arch import Architecture, Layer, count, layer_macs, layer_params
from mnas.latency import LatencyTable, margin_at
from mnas.search.baselines import Baseline, scaled_baselines
from mnas.search.experiment import Experiment
from mnas.search.filtering import refuse_unknown_score
from mnas.search.limits import BudgetError, Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import Observer, Step, ignore
from mnas.search.samplers import refuse_unknown_sampler
from mnas.search.sections import INLINE, RewardSection, WorkersSection
from mnas.space import SearchSpace, load_space
from mnas.training import Dataset, load_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An experiment with everything it names loaded; nothing was measured or trained.

    Attributes:
        space: For this data's classes and channels.
        data: At the largest resolution of the space, test images included.
        baselines: Published networks at every width and resolution they may be compared at.
    """

    experiment: Experiment
    space: SearchSpace
    data: Dataset
    baselines: tuple[Baseline, ...]

    @property
    def also(self) -> tuple[Architecture, ...]:
        """The networks whose blocks a latency table must hold beside the space's."""
        return tuple(variant for each in self.baselines for variant in each.variants)


def prepare(experiment: Experiment, observer: Observer = ignore) -> Prepared:
    """Load what an experiment names: space, data, baselines, sampler, filter.

    Args:
        experiment: Whose data may be a function of its user's, which is imported and run.
        observer: Is told before data is read, and how far decoding images is.

    Raises:
        MnasError: Something it names is not there or not what it should be.
    """
    refuse_unknown_sampler(experiment.search.sampler)
    refuse_unknown_score(experiment.proxy.filter)
    _refuse_missing_gpu(experiment.workers)
    space = load_space(experiment.space)
    observer(Step(phase="data", text=experiment.data.announcement))
    data = load_data(
        experiment.data,
        max(space.resolutions),
        also=space.resolutions,
        progress=lambda done, total: observer(
            Step(phase="data", done=done, total=total, text="decoding images")
        ),
    )
    space = space.for_data(num_classes=data.num_classes, channels=data.channels)
    return Prepared(
        experiment=experiment,
        space=space,
        data=data,
        baselines=scaled_baselines(
            experiment.baselines, space, num_classes=data.num_classes, channels=data.channels
        ),
    )


def _refuse_missing_gpu(workers: WorkersSection) -> None:
    """Say at once that this machine has no GPU; a cluster is asked when it is joined."""
    if workers.gpus == 0 or workers.address not in (None, INLINE):
        return
    from mnas.training import DeviceError, device_of  # torch, which only this question needs

    try:
        device_of("cuda")
    except DeviceError as error:
        raise DeviceError(
            f"the experiment asks for {workers.gpus:g} GPU per worker (workers.gpus), and this "
            "machine has none that can train. Set workers.gpus=0 to train on processors, or name "
            f"a Ray cluster that has GPUs in workers.address. {error}"
        ) from None


def objectives_of(experiment: Experiment) -> Objectives:
    """What the sampler of an experiment is told."""
    names = tuple(target.name for target in experiment.targets)
    match experiment.objectives:
        case RewardSection() as reward:
            return Objectives(
                targets=names,
                exponent=reward.exponent,
                exponent_over=reward.exponent_over,
                budget_ms=experiment.target.budget_ms,
            )
        case chosen:
            return Objectives(
                targets=names,
                with_latency="latency" in chosen,
                counts=tuple(each for each in chosen if each not in ("accuracy", "latency")),
            )


def limits_of(experiment: Experiment, tables: Mapping[str, LatencyTable]) -> Limits:
    """The devices of an experiment and all its limits, the budget of a soft reward included.

    Raises:
        LatencyTableError: A table cannot promise the confidence that its budget asks for.
    """
    budgets: dict[str, float] = {}
    margins: dict[str, float] = {}
    for target in experiment.targets:
        if target.budget_ms is not None:
            budgets[target.name] = target.budget_ms
        if target.budget_ms is not None and target.confidence is not None:
            margin, margins[target.name] = margin_at(tables[target.name], target.confidence)
            budgets[target.name] = target.budget_ms / (1 + margin)
    return Limits(
        predictors=tables,
        budgets_ms=budgets,
        margins=margins,
        ceilings={
            name: ceiling
            for name, ceiling in experiment.constraints.model_dump().items()
            if ceiling is not None
        },
    )


def limits_of_trials(experiment: Experiment, limits: Limits) -> Limits:
    """What may be trained: everything within the limits, and with a soft reward what is over."""
    if not is_soft(experiment):
        return limits
    first = experiment.target.name
    return replace(
        limits, budgets_ms={name: ms for name, ms in limits.budgets_ms.items() if name != first}
    )


def is_soft(experiment: Experiment) -> bool:
    """Whether the budget of the first target only weighs in the reward."""
    objectives = experiment.objectives
    return isinstance(objectives, RewardSection) and objectives.budget == "soft"


def refuse_impossible_limits(space: SearchSpace, limits: Limits) -> None:
    """Make sure that a space has a network within each budget and each ceiling taken by itself.

    Raises:
        BudgetError: It has none; names the fastest or the smallest one and what it takes.
    """
    for name, budget in limits.budgets_ms.items():
        table = limits.predictors[name]
        assert isinstance(table, LatencyTable)
        fastest = space.cheapest(table.block_ms)
        ms = table.predict(fastest).ms
        if ms > budget:
            raise BudgetError(
                f"no network of {space.name} meets {budget:.6g} ms on {name}: the fastest, "
                f"{fastest.id}, is predicted to take {ms:.4g} ms. Raise targets budget_ms, or "
                "give the space smaller options."
            )
    for name, layer_cost in (("params", layer_params), ("macs", layer_macs)):
        ceiling = limits.ceilings.get(name)
        if ceiling is not None:
            _refuse_impossible_ceiling(space, name, ceiling, layer_cost)


def _refuse_impossible_ceiling(
    space: SearchSpace, name: str, ceiling: int, layer_cost: Callable[[Layer], int]
) -> None:
    smallest = space.cheapest(lambda block: sum(map(layer_cost, block.layers)))
    least = getattr(count(smallest), name)
    if least > ceiling:
        raise BudgetError(
            f"no network of {space.name} has at most {ceiling:,} {name}: the smallest, "
            f"{smallest.id}, has {least:,}. Raise constraints.{name}, or give the space smaller "
            "options."
        )
