"""What training says of a network: score, accuracy, gain, with intervals. No torch."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

_Z95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What came of training one candidate; a failure is a result with its reason.

    Equality leaves out `seconds` and `traceback`: they say how it went, not what came out.

    Attributes:
        accuracy: Share of the validation images that are right, 0 to 1, or what one's own scoring
            function gives (any finite number); higher is better. None when it failed.
        epochs: How many epochs of training it stands for.
        seed: What its initial weights, order of data and augmentation came from.
        seconds: Wall time this call took; less when a checkpoint was continued.
        reason: Why it failed: `nan: ...`, `out_of_memory: ...`, `timeout: ...` or
            `exception: ...`.
        traceback: The text of the exception that ended it.
    """

    accuracy: float | None
    epochs: int
    seed: int
    seconds: float = field(compare=False)
    state: Literal["complete", "failed"]
    reason: str | None = None
    traceback: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.state == "complete":
            assert self.accuracy is not None, self
            assert math.isfinite(self.accuracy), self
            assert self.reason is None, self
        else:
            assert self.accuracy is None, self
            assert self.reason, self


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How many images a network gets right, with the 95 % interval that so few images allow.

    The interval is Wilson's (1927) score interval; it speaks of other images of the same kind, not
    of another training of the same network.

    Attributes:
        correct: Images that are right.
        total: Images that were asked.
        value: correct / total, 0 to 1, higher is better.
        low: Lower end of the interval.
        high: Upper end of the interval.
        is_correct: One entry for each image, in the order of the split.
    """

    correct: int
    total: int
    value: float
    low: float
    high: float
    is_correct: tuple[bool, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAccuracy:
    """The mean accuracy of several trainings of one network on the same images.

    Attributes:
        total: Images that were asked.
        value: 0 to 1, higher is better.
        low: Lower end of the 95 % interval.
        high: Upper end of it.
    """

    total: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """By how much one network is more accurate than another on the same images, with 95 % interval.

    Attributes:
        value: Difference of the accuracies, -1 to 1; above 0 the first network is better.
        low: Lower end of the interval; above 0 the gain is resolved.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


def accuracy_from(is_correct: Iterable[bool]) -> Accuracy:
    """Sum up which images were right.

    Args:
        is_correct: One entry for each image; at least one.

    Returns:
        The accuracy with Wilson's 95 % interval.
    """
    marks = tuple(bool(mark) for mark in is_correct)
    assert marks, "an accuracy needs at least one image"
    total, correct = len(marks), sum(marks)
    low, high = _wilson(correct / total, total)
    return Accuracy(
        correct=correct, total=total, value=correct / total, low=low, high=high, is_correct=marks
    )


def mean_accuracy(shares: Sequence[float]) -> MeanAccuracy:
    """Sum up how often each image was right in several trainings of one network.

    Args:
        shares: For each image the share of the trainings that got it right, 0 to 1.

    Returns:
        The mean accuracy. Its interval is Wilson's for so many images: a little too wide, because
        shares vary less than right and wrong do.
    """
    assert shares, "an accuracy needs at least one image"
    value = min(1.0, math.fsum(shares) / len(shares))
    low, high = _wilson(value, len(shares))
    return MeanAccuracy(total=len(shares), value=value, low=low, high=high)


def _wilson(share: float, total: int) -> tuple[float, float]:
    spread = _Z95**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return (
        0.0 if share == 0 else max(0.0, centre - half),
        1.0 if share == 1 else min(1.0, centre + half),
    )


def paired_gain(first: Sequence[float], second: Sequence[float]) -> Gain:
    """How much better the first network is than the second, both asked the same images.

    Only the images on which they differ matter, which makes the interval narrower than two
    separate ones. For one training of each it is Bonett and Price's (2012, Journal of Educational
    and Behavioral Statistics 37, adjusted Wald for paired proportions); for several, its form for
    shares. It speaks of other images of the same kind, not of other trainings.

    Args:
        first: Whether the first network gets each image right (`Accuracy.is_correct`), or the
            share of its trainings that do.
        second: The same images in the same order for the second network.

    Returns:
        The gain of the first over the second.

    Raises:
        ValueError: The two do not speak of equally many images.
    """
    if len(first) != len(second) or not first:
        raise ValueError(
            "a paired gain needs the same images for both networks; "
            f"got {len(first)} and {len(second)}"
        )
    differences = [a - b for a, b in zip(first, second, strict=True)]
    total, gained = len(differences), math.fsum(differences)
    # one more image that each network alone gets right, so that no interval is empty
    centre = gained / (total + 2)
    square = (math.fsum(d * d for d in differences) + 2) / (total + 2)
    half = _Z95 * math.sqrt((square - centre**2) / (total + 2))
    return Gain(value=gained / total, low=max(-1.0, centre - half), high=min(1.0, centre + half))
