"""How a network is trained, as values: briefly to rank candidates, or fully. Needs no torch."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Literal

from mnas.arch import MnasError
from mnas.training.augmentation import Augmentation

Optimizer = Literal["sgd", "adamw"]
# The smallest share a filter may keep: no score is so good that the best are surely among fewer.
LEAST_KEPT = 0.1


class RecipeError(MnasError):
    """A recipe that cannot be followed; names the field and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What the training loop needs to know; both recipes are one of these and something more.

    Attributes:
        total_epochs: Epochs until the learning rate has come down to zero.
    """

    total_epochs: int
    batch_size: int
    optimizer: Optimizer
    learning_rate: float
    momentum: float
    weight_decay: float
    clip_norm: float | None
    warmup_epochs: float
    label_smoothing: float
    average_decay: float
    augmentation: Augmentation
    recalibration_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRule:
    """Which candidates of a search are worth training, by a score that needs no training.

    Attributes:
        score: Name of the training-free score; see `score_untrained`.
        keep: Share of the candidates that is trained, the best by that score.

    Raises:
        RecipeError: A share that no search can use.
    """

    score: str
    keep: float = 0.5

    def __post_init__(self) -> None:
        if not LEAST_KEPT <= self.keep < 1:
            raise RecipeError(
                f"keep must be at least {LEAST_KEPT} and below 1 (leave the filter out to train "
                f"all); got {self.keep}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRecipe:
    """A short training on a ladder of rungs, each a prefix of the last one.

    The defaults are for small images and batches of 64. On digits at 32 px, 9 epochs, two networks
    of 31 000 and 103 000 parameters, two seeds each, SGD at 0.4 reached 97 to 99 % of validation,
    AdamW at 0.02 94 to 99 %, SGD at 0.2 only 85 % in the worst case.

    Attributes:
        epochs: The rungs, in epochs, increasing; the schedule is that of the last.
        samples: Training images used, a stratified part of the train split; None for all.
        batch_size: Images per step.
        optimizer: `sgd` (Nesterov's momentum) or `adamw`.
        learning_rate: Highest learning rate; it rises linearly, then falls as a cosine to zero.
        momentum: Of SGD; AdamW's first beta.
        weight_decay: On weights of more than one dimension only.
        clip_norm: Gradients are scaled down to this Euclidean norm over all weights (Pascanu et al.
            2013, arXiv:1211.5063, section 3.2); None leaves them. Without it deep, narrow networks
            diverge at the default learning rate.
        warmup_epochs: Epochs of rising learning rate, at most a fifth of the schedule.
        label_smoothing: Share of the target spread over all classes.
        average_decay: Limit of the decay of the moving average of the weights, which is what is
            judged; early on the average is shorter. 0 judges the weights themselves.
        shift: Images are moved by up to this share of their side, at random.
        crop: Smallest share of the area that a random crop keeps; 1 for whole images.
        flip: Whether images are mirrored at random; wrong for digits and letters.
        colour: How far brightness, contrast and saturation vary, as a share.
        recalibration_images: Training images that re-estimate the statistics of BatchNorm.
        timeout_s: Wall time after which a training fails, judging included, in seconds.
        filter: Which candidates a search trains at all; None for every one. Only a search asks
            it: whoever is evaluated is trained.

    Raises:
        RecipeError: A value that no training can have.
    """

    epochs: tuple[int, ...]
    samples: int | None = None
    batch_size: int = 64
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float | None = 1.0
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.0
    average_decay: float = 0.999
    shift: float = 0.1
    crop: float = 1.0
    flip: bool = False
    colour: float = 0.0
    recalibration_images: int = 2000
    timeout_s: float | None = None
    filter: FilterRule | None = None

    def __post_init__(self) -> None:
        rungs = self.epochs
        if not rungs or rungs[0] < 1 or any(a >= b for a, b in itertools.pairwise(rungs)):
            raise RecipeError(f"epochs must be increasing numbers of at least 1; got {list(rungs)}")
        if self.samples is not None and self.samples < 2:
            raise RecipeError(f"samples must be at least 2; got {self.samples}")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise RecipeError(f"timeout_s must be above 0; got {self.timeout_s}")
        _check(self)

    @property
    def augmentation(self) -> Augmentation:
        """What is done to images at random."""
        return Augmentation(shift=self.shift, crop=self.crop, flip=self.flip, colour=self.colour)

    @property
    def method(self) -> Method:
        """How the loop trains; of all rungs only the last decides."""
        return _method(self, self.epochs[-1])

    @property
    def digest(self) -> str:
        """First 12 hex digits of the sha256 of all that decides a score.

        The lower rungs, the timeout and the filter are not part of it: they change no score.
        """
        return _digest({**asdict(self.method), "samples": self.samples})


@dataclass(frozen=True, slots=True, kw_only=True)
class FullRecipe:
    """A whole training, for weights that are deployed; other fields as in `ProxyRecipe`.

    Attributes:
        rand_augment: Operations of RandAugment for each image (Cubuk et al. 2019,
            arXiv:1909.13719); 0 for none, 2 is usual for photographs.
        rand_augment_magnitude: How strong they are, 0 to 30.
        erase: Share of the images of which a rectangle is blanked (Zhong et al. 2017,
            arXiv:1708.04896).
        mixup: Alpha of mixup (Zhang et al. 2017, arXiv:1710.09412); 0 for none.
        cutmix: Alpha of CutMix (Yun et al. 2019, arXiv:1905.04899); 0 for none. Where both are
            above 0, each batch gets one of them.

    Raises:
        RecipeError: A value that no training can have.
    """

    epochs: int = 40
    batch_size: int = 64
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float | None = 1.0
    warmup_epochs: float = 2.0
    label_smoothing: float = 0.1
    average_decay: float = 0.999
    shift: float = 0.1
    crop: float = 1.0
    flip: bool = False
    colour: float = 0.0
    rand_augment: int = 0
    rand_augment_magnitude: int = 9
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    recalibration_images: int = 2000

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise RecipeError(f"epochs must be at least 1; got {self.epochs}")
        _check(self)

    @property
    def augmentation(self) -> Augmentation:
        """What is done to images at random."""
        return Augmentation(
            **{each.name: getattr(self, each.name) for each in fields(Augmentation)}
        )

    @property
    def method(self) -> Method:
        """How the loop trains."""
        return _method(self, self.epochs)

    @property
    def digest(self) -> str:
        """First 12 hex digits of the sha256 of all that decides the weights."""
        return _digest(asdict(self.method))


def _method(recipe: ProxyRecipe | FullRecipe, total_epochs: int) -> Method:
    shared = {field.name for field in fields(Method)} - {"total_epochs"}
    return Method(total_epochs=total_epochs, **{name: getattr(recipe, name) for name in shared})


def _digest(content: dict[str, object]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _check(recipe: ProxyRecipe | FullRecipe) -> None:
    problems = list(_problems(recipe))
    if problems:
        raise RecipeError(f"{type(recipe).__name__}: " + "; ".join(problems))


def _problems(recipe: ProxyRecipe | FullRecipe) -> Iterator[str]:
    if recipe.optimizer not in ("sgd", "adamw"):
        yield f"optimizer must be 'sgd' or 'adamw'; got {recipe.optimizer!r}"
    if recipe.batch_size < 2:
        yield f"batch_size must be at least 2 (BatchNorm needs two); got {recipe.batch_size}"
    if recipe.clip_norm is not None and recipe.clip_norm <= 0:
        yield f"clip_norm must be above 0, or null for no limit; got {recipe.clip_norm}"
    if recipe.learning_rate <= 0:
        yield f"learning_rate must be above 0; got {recipe.learning_rate}"
    if recipe.recalibration_images < 2:
        yield f"recalibration_images must be at least 2; got {recipe.recalibration_images}"
    for name in ("weight_decay", "warmup_epochs"):
        if getattr(recipe, name) < 0:
            yield f"{name} must be at least 0; got {getattr(recipe, name)}"
    for name in ("momentum", "label_smoothing", "average_decay"):
        if not 0 <= getattr(recipe, name) < 1:
            yield f"{name} must be at least 0 and below 1; got {getattr(recipe, name)}"
    yield from recipe.augmentation.problems()
