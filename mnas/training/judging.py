"""Saying how good a trained network is: statistics re-estimated on a copy, then images counted."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mnas.arch import Architecture
from mnas.nets import build
from mnas.training.batches import Images, images_of
from mnas.training.dataset import Dataset, Split
from mnas.training.devices import device_of_module
from mnas.training.loop import DivergedError, Training, threads_set_to
from mnas.training.recipes import Method
from mnas.training.scores import Accuracy, accuracy_from
from mnas.training.weights import load_weights

_BATCH = 256


def do_nothing() -> None:
    """Before a batch, when nobody watches the time."""


def judged_copy(
    training: Training,
    images: Images,
    method: Method,
    on_batch: Callable[[], None] = do_nothing,
) -> nn.Module:
    """A copy of the network as it is judged: averaged weights, BatchNorm statistics of its own.

    Short trainings mislead until the statistics are re-estimated: they lag behind the weights. The
    training itself is left as it is.

    Args:
        training: Not changed.
        images: Training images; the first `recalibration_images` of them are used, unaugmented.
        method: The recipe's.
        on_batch: Called before each batch; what it raises ends the work.
    """
    module = copy.deepcopy(training.module)
    with torch.no_grad():
        parameters = dict(module.named_parameters())
        for name, value in training.average().items():
            parameters[name].copy_(value)
        _recalibrate(module, images, method, on_batch)
    return module


def _recalibrate(
    module: nn.Module, images: Images, method: Method, on_batch: Callable[[], None]
) -> None:
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    count = min(method.recalibration_images, len(images.labels))
    size = min(method.batch_size, count)
    for pixels, _ in images.in_order(size, limit=count // size * size):
        on_batch()
        module(pixels.to(device_of_module(module)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def marks(module: nn.Module, images: Images, on_batch: Callable[[], None] = do_nothing) -> Tensor:
    """Which images a network in `eval` mode gets right.

    Args:
        module: Not changed.
        images: What to look at.
        on_batch: Called before each batch; what it raises ends the work.

    Returns:
        (n,) bool in the order of the images.

    Raises:
        DivergedError: The network's answer is no number.
    """
    found = []
    with torch.inference_mode():
        for pixels, labels in images.in_order(_BATCH):
            on_batch()
            logits = module(pixels.to(device_of_module(module))).cpu()
            if not bool(torch.isfinite(logits).all()):
                raise DivergedError("the network's outputs are not finite numbers")
            found.append(logits.argmax(dim=1) == labels)
    return torch.cat(found)


def accuracy_of(
    arch: Architecture,
    weights: Path | Mapping[str, Tensor],
    split: Split,
    data: Dataset,
    threads: int = 1,
) -> Accuracy:
    """How many images of a split a trained network gets right.

    Args:
        arch: The network.
        weights: A safetensors file with its weights, or the weights by name.
        split: The images, as `data.val`; taken at the network's resolution.
        data: Whose mean and deviation the network was trained with.
        threads: torch's threads.

    Returns:
        The accuracy with Wilson's 95 % interval, and which images are right: two networks are
        compared with `paired_gain(a.is_correct, b.is_correct)`.

    Raises:
        WeightsError: The weights are not those of this network.
    """
    with threads_set_to(threads):
        module = build(arch)
        load_weights(module, weights)
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this overload
        images = images_of(split.resized(arch.input.resolution), data)
        return accuracy_from(marks(module.eval(), images).tolist())
