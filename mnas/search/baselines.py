"""Published networks, scaled to a budget as well as width and resolution let them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mnas.arch import Architecture, InvalidArchitectureError, InvalidFileError
from mnas.search.limits import Limits
from mnas.space import SearchSpace, load_published, scaled

# The multipliers that the MobileNet papers publish, and finer ones below for tight budgets.
WIDTHS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 1.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A published network at the widths and resolutions it may be compared at.

    Attributes:
        name: Published name, or the name in its file.
        variants: Every scaled version that can be built, from small to large.
    """

    name: str
    variants: tuple[Architecture, ...]

    def within(self, limits: Limits) -> tuple[Architecture, ...]:
        """For each resolution the widest version within every limit; empty if none is."""
        best: dict[int, Architecture] = {}
        for variant in self.variants:
            if limits.assess(variant).is_feasible:
                best[variant.input.resolution] = variant
        return tuple(best.values())

    def narrower_than(self, variant: Architecture) -> tuple[Architecture, ...]:
        """The narrower versions at the same resolution, the widest of them first."""
        resolution = variant.input.resolution
        group = [each for each in self.variants if each.input.resolution == resolution]
        return tuple(reversed(group[: group.index(variant)]))


def scaled_baselines(
    names: Iterable[str], space: SearchSpace, *, num_classes: int, channels: int
) -> tuple[Baseline, ...]:
    """Scale published networks to the resolutions of a space.

    Args:
        names: Published names, or paths of architecture documents.
        space: Gives the resolutions; a baseline is not shown larger images than the candidates.
        num_classes: Of the data.
        channels: Of the data's images.

    Raises:
        UnknownNameError: A name is not published; names the known ones.
        InvalidFileError: A document cannot be read.
    """
    baselines = []
    for name in names:
        published = _document(Path(name)) if name.endswith(".json") else load_published(name)
        variants = tuple(_variants(published, space.resolutions, num_classes, channels))
        baselines.append(Baseline(name=published.name, variants=variants))
    return tuple(baselines)


def _variants(
    published: Architecture, resolutions: Iterable[int], num_classes: int, channels: int
) -> Iterator[Architecture]:
    seen = set()
    for width in WIDTHS:
        for resolution in resolutions:
            try:
                variant = scaled(
                    published,
                    width=width,
                    resolution=resolution,
                    num_classes=num_classes,
                    channels=channels,
                )
            except InvalidArchitectureError:
                continue  # too many strides for so small an image
            if variant.id not in seen:
                seen.add(variant.id)
                yield variant


def _document(path: Path) -> Architecture:
    try:
        return Architecture.from_json(path.read_bytes())
    except OSError as error:
        raise InvalidFileError(f"cannot read the baseline {path}: {error.strerror}") from None
