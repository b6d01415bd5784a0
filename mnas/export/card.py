"""What travels from the data to the exported files: normalisation, class names, accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from mnas.arch import Architecture
from mnas.arch.documents import faults_of
from mnas.export.errors import ExportError

if TYPE_CHECKING:
    from mnas.training import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredAccuracy:
    """How many images of one split the network got right.

    Attributes:
        split: `val` (chosen by) or `test` (read once, at the end).
        value: Share that is right, 0 to 1, higher is better.
        low: Lower end of the 95 % interval.
        high: Upper end of it.
        images: How many images were asked.
    """

    split: str
    value: float
    low: float | None = None
    high: float | None = None
    images: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """What is known of the data a network was trained on; None is unknown.

    Attributes:
        source: Where the data came from, such as `idx`.
        fingerprint: The data's own digest.
        class_names: In the order of the logits.
        mean: Of each channel, in units of [0, 1].
        std: Of each channel, in units of [0, 1].
        accuracy: What training measured, by split.
    """

    source: str | None = None
    fingerprint: str | None = None
    class_names: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    accuracy: tuple[MeasuredAccuracy, ...] = ()


class _AccuracyDocument(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # training keeps more than we tell

    value: float = Field(ge=0, le=1)
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    total: int | None = None


class _CardDocument(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    source: str | None = None
    fingerprint: str | None = None
    class_names: tuple[str, ...] | None = None
    mean: tuple[FiniteFloat, ...] | None = None
    std: tuple[FiniteFloat, ...] | None = None
    val: _AccuracyDocument | None = None
    test: _AccuracyDocument | None = None


def read_card(fields: Mapping[str, Any] | None, arch: Architecture) -> DataCard:
    """Read a data card, as `training.json` has it, and check it against the network.

    Args:
        fields: Any of `source`, `fingerprint`, `class_names`, `mean`, `std`, and `val` and `test`
            with `value`, `low`, `high`, `total`. Other fields are training's own.
        arch: The network that was trained.

    Raises:
        ExportError: A field has a wrong type, or does not fit the network's channels or classes.
    """
    if fields is None:
        return DataCard()
    try:
        door = _CardDocument.model_validate(dict(fields))
    except ValidationError as error:
        told = "\n".join(f"  {fault}" for fault in faults_of(error))
        raise ExportError(f"not a data card:\n{told}") from None
    card = DataCard(
        source=door.source,
        fingerprint=door.fingerprint,
        class_names=door.class_names,
        mean=door.mean,
        std=door.std,
        accuracy=tuple(
            MeasuredAccuracy(
                split=split, value=found.value, low=found.low, high=found.high, images=found.total
            )
            for split, found in (("val", door.val), ("test", door.test))
            if found is not None
        ),
    )
    _check(card, arch)
    return card


def card_with(card: DataCard, data: "Dataset") -> DataCard:
    """Let data say what a card does not: how images are normalised, and what classes are called.

    The card keeps its source and fingerprint: they are of the data that the network was trained on,
    which nobody said this is.

    Raises:
        ExportError: The card is of other data, or of another division of it: validation images
            might be some that the network was trained on.
    """
    for what, said, found in (
        ("fingerprint", card.fingerprint, data.fingerprint),
        ("mean", card.mean, data.mean),
        ("std", card.std, data.std),
    ):
        if said is not None and said != found:
            raise ExportError(
                f"the network was trained on data with the {what} {said}, the data given "
                f"({data.source}) has {found}: give the same images, divided as for the training "
                "(val, test and seed of the data)"
            )
    return replace(
        card, mean=data.mean, std=data.std, class_names=card.class_names or data.class_names
    )


def _check(card: DataCard, arch: Architecture) -> None:
    for name, values, wanted in (
        ("class_names", card.class_names, arch.num_classes),
        ("mean", card.mean, arch.input.channels),
        ("std", card.std, arch.input.channels),
    ):
        if values is not None and len(values) != wanted:
            raise ExportError(
                f"the data card does not fit the architecture {arch.name!r}: {name} has "
                f"{len(values)} entries, the network needs {wanted}"
            )
    if (card.mean is None) != (card.std is None):
        raise ExportError("the data card has only one of mean and std; give both or none")
    if card.std is not None and min(card.std) <= 0:
        raise ExportError(f"the data card's std must be above 0; got {list(card.std)}")
