"""Whether a network, data and a recipe go together, said before anything is trained."""

from mnas.arch import Architecture, Fault, MnasError
from mnas.training.dataset import Dataset


class MisfitError(MnasError):
    """A network and data, or a recipe and data, that do not go together; says what to change."""


def require_fit(arch: Architecture, data: Dataset, samples: int | None = None) -> None:
    """See that a network can be trained on the data.

    Raises:
        MisfitError: Channels or classes differ, or more samples are asked than there are.
    """
    faults = [
        Fault(place, f"the network has {found}, the data {needed}")
        for place, found, needed in (
            ("input.channels", arch.input.channels, data.channels),
            ("num_classes", arch.num_classes, data.num_classes),
        )
        if found != needed
    ]
    if faults:
        told = "; ".join(map(str, faults))
        raise MisfitError(
            f"the network {arch.name!r} does not fit the data {data.source!r}: {told}. Take it "
            "from space.for_data(num_classes=..., channels=...)"
        )
    if samples is not None and samples > len(data.train):
        raise MisfitError(
            f"proxy.samples: asked for {samples} training images, the data {data.source!r} has "
            f"{len(data.train)}; ask for fewer, or leave it out to use all"
        )
