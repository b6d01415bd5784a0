"""The proof that an exported file computes what the network computes."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnas.export.errors import ExportError, ExportMismatchError
from mnas.export.exporters import Exporter
from mnas.export.formats import run_module
from mnas.export.images import normalised
from mnas.export.subject import Subject

TOLERANCE = 1e-4
BATCH_SIZES = (1, 4)
NOISE_SEED = 0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """What every file of one export is given, and what it must answer.

    Attributes:
        inputs: Whether the images are real ones or noise.
        batches: One tensor (n, channels, height, width) for each of `BATCH_SIZES`.
        logits: The network's own answers.
    """

    inputs: Literal["samples", "noise"]
    batches: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]


def probe_of(subject: Subject, samples: Tensor | NDArray[Any] | None) -> Probe:
    """Ask the network itself.

    Args:
        subject: The network.
        samples: (n, channels, height, width) images of the data, uint8 as they are or float32
            already normalised; None for seeded noise.

    Raises:
        ExportError: Samples of another shape or type, or logits that are not finite.
    """
    spec = subject.architecture.input
    if samples is None:
        batches = noise(spec.channels, spec.resolution)
    else:
        images = _images(samples, subject)
        batches = tuple(images[:size] for size in BATCH_SIZES)
    logits = run_module(subject.module, batches)
    if not all(bool(torch.isfinite(batch).all()) for batch in logits):
        raise ExportError(
            "the network's own logits are not finite, so no export can be compared with them; "
            "its weights are broken: train it again"
        )
    return Probe(inputs="noise" if samples is None else "samples", batches=batches, logits=logits)


def noise(channels: int, resolution: int) -> tuple[Tensor, ...]:
    """Seeded normal noise (n, channels, resolution, resolution), for each of `BATCH_SIZES`."""
    generator = torch.Generator().manual_seed(NOISE_SEED)
    images = torch.randn(max(BATCH_SIZES), channels, resolution, resolution, generator=generator)
    return tuple(images[:size] for size in BATCH_SIZES)


def _images(samples: Tensor | NDArray[Any], subject: Subject) -> Tensor:
    images = torch.from_numpy(samples) if isinstance(samples, np.ndarray) else samples
    spec, card = subject.architecture.input, subject.card
    wanted = (spec.channels, spec.resolution, spec.resolution)
    if images.ndim != 4 or tuple(images.shape[1:]) != wanted or len(images) == 0:
        raise ExportError(
            f"samples must be (n, {', '.join(map(str, wanted))}) with n at least 1; "
            f"got {tuple(images.shape)}"
        )
    if images.dtype == torch.uint8:
        if card.mean is None or card.std is None:
            raise ExportError(
                "uint8 samples need mean and std in the data card; give it, or float32 samples "
                "that are normalised already"
            )
        images = normalised(images, card.mean, card.std)
    elif images.dtype != torch.float32:
        raise ExportError(f"samples must be uint8 or float32; got {images.dtype}")
    repeats = math.ceil(max(BATCH_SIZES) / len(images))
    return images.repeat(repeats, 1, 1, 1).contiguous()


def difference(probe: Probe, answers: Sequence[Tensor]) -> float:
    """Largest |answer - logit| over the largest |logit|; lower is better, infinite if unlike.

    Args:
        probe: What was asked.
        answers: What a file answered, batch by batch.
    """
    scale = max(float(logits.abs().max()) for logits in probe.logits)
    worst = 0.0
    for logits, answer in zip(probe.logits, answers, strict=True):
        if answer.shape != logits.shape or not bool(torch.isfinite(answer).all()):
            return math.inf
        worst = max(worst, float((answer.double() - logits.double()).abs().max()))
    if scale == 0:
        return 0.0 if worst == 0 else math.inf
    return worst / scale


def answers_of(
    exporter: Exporter, path: Path, batches: Sequence[Tensor], subject: Subject | None
) -> tuple[Tensor, ...]:
    """Run a file in its own runtime.

    Raises:
        ExportMismatchError: It does not run there; says what the runtime said.
    """
    try:
        return exporter.run(path, batches, subject)
    except Exception as error:  # a runtime raises what it likes; whatever it is, the proof failed
        _log.debug("%s does not run", path, exc_info=True)
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ExportMismatchError(f"does not run in {exporter.runtime}: {text}") from error


def prove(
    exporter: Exporter,
    path: Path,
    subject: Subject,
    probe: Probe,
    tolerance: float = TOLERANCE,
) -> float:
    """Run a file in its own runtime and compare it with the network.

    Returns:
        The largest relative difference.

    Raises:
        ExportMismatchError: The file does not run, or differs by more than the tolerance.
    """
    answers = answers_of(exporter, path, probe.batches, subject)
    found = difference(probe, answers)
    if not found <= tolerance:
        raise ExportMismatchError(
            f"differs from the network by {found:.2g} of its largest logit; "
            f"allowed is {tolerance:.2g}"
        )
    return found


def failures_text(failures: Mapping[str, ExportMismatchError]) -> str:
    """What to tell when files failed their proof."""
    return "\n".join(
        [
            "the export is not the same network, so no file was left:",
            *(f"  {name}: {error}" for name, error in failures.items()),
        ]
    )
