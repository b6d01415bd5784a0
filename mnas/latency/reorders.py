"""What a runtime takes to bring a feature map into its own layout and back, for a block run alone.

ONNX Runtime's convolutions work on maps whose channels lie in blocks of 8 or 16. Within a network a
map stays so; the map that enters a block which is run alone is reordered, and so is the one that
leaves it. On small images that is a tenth of the block's time, and what a sum of blocks would have
too much. It is timed with models that compute nothing, one and two max poolings of a single pixel:
twice the first less the second is a call with both reorders and no pooling. Two sizes of map tell
what belongs to the call and what to each value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

from mnas.arch import PlannedBlock
from mnas.latency.target import Target

if TYPE_CHECKING:
    from mnas.latency.runtime import Run

_FEWEST_CHANNELS = 8  # a convolution of fewer, a stem's, takes them as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThrough:
    """A model that hands its input on: it is reordered, pooled over single pixels, and put back.

    Attributes:
        channels: Of the map.
        size: Side of the map, in pixels.
        poolings: How many there are, one or more.
    """

    channels: int
    size: int
    poolings: int

    @property
    def key(self) -> str:
        """Its name among the timed passes."""
        return f"reorder-{self.channels}x{self.size}x{self.size}-{self.poolings}"

    @property
    def values(self) -> int:
        """How many numbers the map holds."""
        return self.channels * self.size**2


_SMALL, _LARGE = (16, 4), (64, 28)
PASS_THROUGHS = tuple(
    PassThrough(channels=channels, size=size, poolings=poolings)
    for channels, size in (_SMALL, _LARGE)
    for poolings in (1, 2)
)


@runtime_checkable
class ReorderingRuntime(Protocol):
    """A `Runtime` that keeps maps in a layout of its own and can show what that takes."""

    def prepare_pass_through(self, model: PassThrough, target: Target) -> "Run":
        """Make a pass-through ready to run; see `Runtime.prepare`."""
        ...


def has_reorders(runtime: object, target: Target) -> TypeGuard[ReorderingRuntime]:
    """Whether a runtime's reorders can be timed for a target.

    The integer convolutions of ONNX Runtime keep another layout, which a pooling does not show.
    """
    return isinstance(runtime, ReorderingRuntime) and target.dtype == "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorders:
    """Milliseconds to reorder a map when it enters, and another of its size when it leaves.

    Attributes:
        ms: For any two maps.
        ms_per_value: More for each value of one of the two.
    """

    ms: float
    ms_per_value: float

    def of(self, block: PlannedBlock) -> float:
        """What they take of a block's time when it is run alone, in milliseconds."""
        sides = ((block.in_channels, block.size), (block.out_channels, block.out_size))
        return sum(
            (self.ms + self.ms_per_value * channels * size**2) / 2
            for channels, size in sides
            if size is not None and size > 1 and channels >= _FEWEST_CHANNELS
        )


def reorders_of(times_ms: Mapping[str, float], empty_ms: float) -> Reorders | None:
    """What reorders take, by the times of the pass-throughs.

    Args:
        times_ms: Milliseconds of each, by key.
        empty_ms: An empty call, which every pass-through pays too.

    Returns:
        None unless every one of them was timed.
    """
    if any(model.key not in times_ms for model in PASS_THROUGHS):
        return None
    one, two, large_one, large_two = PASS_THROUGHS
    small_ms = 2 * times_ms[one.key] - times_ms[two.key] - empty_ms
    large_ms = 2 * times_ms[large_one.key] - times_ms[large_two.key] - empty_ms
    slope = max((large_ms - small_ms) / (large_one.values - one.values), 0.0)
    return Reorders(ms=max(small_ms - slope * one.values, 0.0), ms_per_value=slope)
