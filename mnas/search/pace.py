"""How fast this machine trains: a few seconds of real training, to tell how long a search takes."""

from dataclasses import dataclass, replace

import numpy as np

from mnas.arch import Architecture
from mnas.search.experiment import Experiment
from mnas.search.ladder import KEPT_SHARE
from mnas.search.work import Bench
from mnas.training import Dataset, ProxyRecipe, Split

_STEPS = 4  # of training, timed after as many to warm up
_JUDGED = 64  # validation images, and images that re-estimate the statistics
# A forward pass costs about a third of a training step (a backward pass costs two).
_FORWARD = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long trainings take on this machine.

    Attributes:
        seconds_per_image: Of training, for the network that was tried, one worker.
        seconds_per_score: Of the filter's training-free score; 0 without a filter.
    """

    seconds_per_image: float
    seconds_per_score: float = 0.0

    def seconds_of_trials(self, experiment: Experiment, data: Dataset) -> float:
        """All trials by one worker: the ladder lets a third of a rung on to the next."""
        images, judged = _images(experiment, data)
        share, begun, total = 1.0, 0, 0.0
        for epochs in experiment.proxy.epochs:
            total += share * ((epochs - begun) * images + judged * _FORWARD)
            share, begun = share * KEPT_SHARE, epochs
        return self.seconds_per_image * experiment.search.trials * total

    def seconds_of_filter(self, experiment: Experiment) -> float:
        """All training-free scores, which are computed one by one: of every trial's candidates."""
        rule = experiment.proxy.filter
        return (
            0.0 if rule is None else self.seconds_per_score * experiment.search.trials / rule.keep
        )

    def seconds_of_comparison(self, experiment: Experiment, data: Dataset) -> float:
        """All trainings of the comparison by one worker."""
        images, judged = _images(experiment, data)
        confirm = experiment.confirm
        trainings = (confirm.top + len(experiment.baselines)) * confirm.seeds
        return self.seconds_per_image * trainings * (confirm.epochs * images + judged * _FORWARD)


def try_pace(arch: Architecture, data: Dataset, experiment: Experiment) -> Pace | None:
    """Train a network for a moment, twice, and time the second.

    Returns:
        The pace; None if this network cannot be trained here.
    """
    from mnas.training import DeviceError, device_of, evaluate  # torch, which who works needs

    try:
        device_of(experiment.workers.device)
    except DeviceError:
        return None  # the cluster's workers have one, this machine has not
    recipe = replace(
        experiment.proxy,
        epochs=(1,),
        samples=None,
        recalibration_images=_JUDGED,
        timeout_s=None,
    )
    few = _few(data, arch.input.resolution, experiment)
    seconds = None
    for seed in range(2):
        score = evaluate(
            arch,
            data=few,
            recipe=recipe,
            epochs=1,
            seed=seed,
            threads=experiment.workers.cpus,
            device=experiment.workers.device,
            checkpoints=None,
        )
        if score.accuracy is None:
            return None
        seconds = score.seconds
    assert seconds is not None
    judged = min(_JUDGED, len(few.train)) + len(few.val)
    return Pace(
        seconds_per_image=seconds / (len(few.train) + judged * _FORWARD),
        seconds_per_score=0.0 if recipe.filter is None else _seconds_to_score(arch, few, recipe),
    )


def _seconds_to_score(arch: Architecture, few: Dataset, recipe: ProxyRecipe) -> float:
    bench = Bench(data=few, recipe=recipe, threads=1, checkpoints=None)
    _, timed = (bench.score_untrained(arch, seed) for seed in range(2))
    return timed.seconds


def _images(experiment: Experiment, data: Dataset) -> tuple[int, int]:
    """Images of one epoch of training, and those that are looked at after a rung."""
    recipe = experiment.proxy
    return recipe.samples or len(data.train), recipe.recalibration_images + len(data.val)


def _few(data: Dataset, resolution: int, experiment: Experiment) -> Dataset:
    sized = data.without_test().resized(resolution)
    count = _STEPS * experiment.proxy.batch_size
    return replace(sized, train=_part(sized.train, count), val=_part(sized.val, _JUDGED))


def _part(split: Split, count: int) -> Split:
    images = np.ascontiguousarray(split.images[:count])
    return Split(images=images, labels=split.labels[:count], native=images)
