"""What it costs to compute with fewer bits: a file's answers on real images beside the network's.

A quantised file does not compute the network's numbers. Whether it may be deployed is asked of the
validation images: which class it puts first, and whether that is right.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch

from mnas.export.errors import ExportError, ExportMismatchError
from mnas.export.exporters import Exporter
from mnas.export.formats import CALIBRATION_IMAGES, CALIBRATION_METHOD, run_module
from mnas.export.images import batches_of
from mnas.export.manifest import Quantization, Share
from mnas.export.proof import answers_of
from mnas.export.subject import Subject
from mnas.training import Accuracy, accuracy_from, paired_gain

MOST_DROP = 0.01
LEAST_AGREEMENT = 0.9
_BATCHES_AT_ONCE = 8  # a runtime is started anew for so many, and holds no more images


def require_judgeable(exporters: dict[str, Exporter], *, trained: bool, has_data: bool) -> None:
    """Refuse a quantised format that nothing could be said of, before anything is written.

    Raises:
        ExportError: There are no images, or no trained weights.
    """
    quantised = ", ".join(repr(name) for name, each in exporters.items() if each.is_quantized)
    if not quantised:
        return
    if not has_data:
        raise ExportError(
            f"the format {quantised} is calibrated on training images and judged on validation "
            "images: say where they are with --data SOURCE[:PATH], such as --data digits (in "
            "Python: data=DataSpec(...))"
        )
    if not trained:
        raise ExportError(
            f"the format {quantised} is judged by its accuracy, and initial weights have none: "
            "give trained ones with --weights FILE"
        )


def judged(exporter: Exporter, path: Path, subject: Subject) -> Quantization:
    """Ask a quantised file and the network all validation images.

    Args:
        exporter: Of a quantised format.
        path: The file.
        subject: The network, with data.

    Returns:
        Accuracies, agreement and their intervals.

    Raises:
        ExportMismatchError: The file does not run, is less accurate than the network by more than
            `MOST_DROP`, or agrees with it on fewer images than `LEAST_AGREEMENT`.
    """
    data = subject.data
    assert data is not None
    labels = torch.from_numpy(data.val.labels)
    ours, theirs = [], []
    batches = batches_of(data.val, data)
    while chunk := list(itertools.islice(batches, _BATCHES_AT_ONCE)):
        ours += [logits.argmax(dim=1) for logits in run_module(subject.module, chunk)]
        answers = answers_of(exporter, path, chunk, subject)
        if not all(bool(torch.isfinite(logits).all()) for logits in answers):
            raise ExportMismatchError("does not give finite logits on validation images")
        theirs += [logits.argmax(dim=1) for logits in answers]
    own, found = torch.cat(ours), torch.cat(theirs)
    network, file = (accuracy_from((classes == labels).tolist()) for classes in (own, found))
    drop = paired_gain(network.is_correct, file.is_correct)
    result = Quantization(
        method=CALIBRATION_METHOD,
        calibration_images=min(CALIBRATION_IMAGES, len(data.train)),
        data_fingerprint=data.fingerprint,
        images=len(labels),
        network_accuracy=_share(network),
        accuracy=_share(file),
        drop=Share(value=drop.value, low=drop.low, high=drop.high),
        agreement=_share(accuracy_from((own == found).tolist())),
        most_drop=MOST_DROP,
        least_agreement=LEAST_AGREEMENT,
    )
    _require_close(result)
    return result


def told(found: Quantization) -> str:
    """The judgement in words."""
    return (
        f"right on {found.accuracy.value:.2%} of {found.images} validation images, the network on "
        f"{found.network_accuracy.value:.2%}; both put the same class first on "
        f"{found.agreement.value:.2%}"
    )


def _share(accuracy: Accuracy) -> Share:
    return Share(value=accuracy.value, low=accuracy.low, high=accuracy.high)


def _require_close(found: Quantization) -> None:
    faults = []
    if not found.drop.value <= found.most_drop:
        faults.append(
            f"is right on {found.accuracy.value:.2%} of {found.images} validation images, the "
            f"network on {found.network_accuracy.value:.2%}; allowed is {found.most_drop:.0%} less"
        )
    if not found.agreement.value >= found.least_agreement:
        faults.append(
            f"puts the network's class first on {found.agreement.value:.2%} of {found.images} "
            f"validation images; needed is {found.least_agreement:.0%}"
        )
    if faults:
        raise ExportMismatchError("; ".join(faults))


def doubts_of(formats: Sequence[tuple[str, Quantization | None]]) -> list[str]:
    """What a reader must know of quantised files that are within their tolerance."""
    return [
        f"{name}: {found.images} validation images do not rule out that it is up to "
        f"{found.drop.high:.1%} less accurate, which is more than the {found.most_drop:.1%} "
        "that are allowed"
        for name, found in formats
        if found is not None and found.drop.high > found.most_drop
    ]
