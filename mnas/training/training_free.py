"""What a network looks like before any training: scores of its untrained weights.

On the common protocol of Abdelfattah et al. 2021 (arXiv:2101.08134): one network with fresh
weights, one minibatch, higher is better. A package adds a score by an entry point of the group
`mnas.scores`; `ScorerContract` holds it against what mnas relies on.
"""

import copy
import functools
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from mnas.arch import Architecture, MnasError, UnknownNameError
from mnas.arch.plug_ins import plug_ins
from mnas.nets import build
from mnas.training.batches import images_of, stream
from mnas.training.dataset import Dataset
from mnas.training.fitting import require_fit
from mnas.training.loop import threads_set_to
from mnas.training.splitting import stratified

GROUP = "mnas.scores"
# One's own score is a function like this: a freshly built network in training mode, to be used up;
# (n, c, r, r) normalised pixels; (n,) labels. torch's random numbers were seeded before the call.
UntrainedScore = Callable[[nn.Module, Tensor, Tensor], float]
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_WEIGHTED = (nn.Conv2d, nn.Linear)


class InvalidScoreError(MnasError):
    """A training-free score that cannot be loaded, or gives no finite number; says which."""


def score_untrained(
    arch: Architecture,
    name: str,
    *,
    data: Dataset,
    seed: int = 0,
    images: int = 64,
    threads: int = 1,
) -> float:
    """Say how good a network looks without training it.

    The same arguments give the same score to the bit, on one machine with one version of torch.

    Args:
        arch: The candidate.
        name: `params`, `macs`, `synflow`, `zen`, `naswot`, `grad_norm`, or one that a package adds.
        data: Where the minibatch comes from: its train split, stratified; nothing else is read.
        seed: Decides initial weights, minibatch and whatever the score draws.
        images: Size of the minibatch, at least 2.
        threads: torch's threads.

    Returns:
        A finite number in a unit of the score's own; higher is better.

    Raises:
        UnknownNameError: There is no such score; names the known ones.
        MisfitError: The network cannot take this data.
        InvalidScoreError: The score is not a finite number.
        ValueError: Fewer than 2 images are asked for.
    """
    score = _score_named(name)
    if images < 2:
        raise ValueError(f"images must be at least 2 (BatchNorm needs two); got {images}")
    require_fit(arch, data, images)
    train = data.train.resized(arch.input.resolution)
    rng = np.random.default_rng(stream(seed, "minibatch"))
    chosen, _ = stratified(train.labels, images, rng, "images")
    pixels, labels = next(images_of(train, data, chosen).in_order(images))
    with threads_set_to(threads), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(seed, "weights"))
        module = build(arch)
        torch.default_generator.manual_seed(stream(seed, "score"))
        value = float(score(module, pixels, labels))
    if not math.isfinite(value):
        raise InvalidScoreError(f"the score {name!r} of the network {arch.id} is {value}")
    return value


def params(module: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Learnable parameters."""
    return float(sum(parameter.numel() for parameter in module.parameters()))


def macs(module: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Multiply-accumulates of convolutions and linear layers for one image, as `count` has them."""
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += weight[0].numel() * output[0].numel()

    for part in _parts(module, _WEIGHTED):
        part.register_forward_hook(add)
    with torch.no_grad():
        module.eval()(pixels[:1])
    return float(total)


def synflow(module: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Logarithm of the synaptic flow: sum over weights of |weight x gradient| at an image of ones.

    Tanaka et al. 2020, arXiv:2006.05467, equation 2 and algorithm 1: weights are replaced by
    their absolute values, in float64; normalisations are left out, as Abdelfattah et al. do, and
    activations, which are linear for what is positive (ReLU6's cap would end the flow).
    """
    linear = _without(module, (*_NORMS, *_ACTIVATIONS)).double().eval()
    parameters = list(linear.parameters())
    with torch.no_grad():
        for parameter in parameters:
            parameter.abs_()
    linear(torch.ones_like(pixels[:1], dtype=torch.float64)).sum().backward()
    flow = sum(float((p.detach() * p.grad).abs().sum()) for p in parameters if p.grad is not None)
    return math.log(flow)


def zen(module: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Zen-score: how much the features answer to small changes of a random image, in logarithms.

    Lin et al. 2021, arXiv:2102.01063, algorithm 1: Gaussian weights, Gaussian images in place of
    the minibatch, a perturbation of 0.01, and the logarithms of the standard deviations that the
    normalisations took away. Features are those before the global pool.
    """
    features: list[Tensor] = []
    deviations: list[float] = []

    def keep_features(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features.append(inputs[0].clone())

    def keep_deviation(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance = inputs[0].transpose(0, 1).flatten(1).var(dim=1, unbiased=False)
        deviations.append(math.log(math.sqrt(float(variance.mean()) + 1e-12)))

    for part in _parts(module, _WEIGHTED):
        assert isinstance(part, nn.Conv2d | nn.Linear)
        nn.init.normal_(part.weight)
    # the last pool is the global one: pools inside squeeze-and-excite come before it
    _parts(module, (nn.AdaptiveAvgPool2d,))[-1].register_forward_pre_hook(keep_features)
    images = torch.randn_like(pixels)
    changed = images + 0.01 * torch.randn_like(pixels)
    with torch.no_grad():
        module.train()(changed)
        for part in _parts(module, (nn.BatchNorm2d,)):
            part.register_forward_pre_hook(keep_deviation)
        module(images)
    before, after = features
    return math.log(float((before - after).abs().mean()) + 1e-12) + math.fsum(deviations)


def naswot(module: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """How differently images switch the activations: log-determinant of their Hamming kernel.

    Mellor et al. 2021, arXiv:2006.04647, section 3: for each pair of images the number of
    activations that are on in both or off in both. On means an input above 0, also for
    activations other than ReLU. Images that agree everywhere count as almost equal.
    """
    kernel = torch.zeros(len(pixels), len(pixels), dtype=torch.float64)

    def add(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        is_on = (inputs[0].flatten(1) > 0).double()
        kernel.add_(is_on @ is_on.T + (1 - is_on) @ (1 - is_on).T)

    for part in _parts(module, _ACTIVATIONS):
        part.register_forward_pre_hook(add)
    with torch.no_grad():
        module.train()(pixels)
    return float(torch.linalg.slogdet(kernel + 1e-3 * torch.eye(len(pixels)))[1])


def grad_norm(module: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Sum over layers of the Euclidean norm of the weights' gradient of the loss on the minibatch.

    Abdelfattah et al. 2021, arXiv:2101.08134, section 3.2.
    """
    nn.functional.cross_entropy(module.train()(pixels), labels).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    grads = [part.weight.grad for part in _parts(module, _WEIGHTED)]
    return math.fsum(float(grad.norm()) for grad in grads if isinstance(grad, Tensor))


SCORES: Mapping[str, UntrainedScore] = {
    "params": params,
    "macs": macs,
    "synflow": synflow,
    "zen": zen,
    "naswot": naswot,
    "grad_norm": grad_norm,
}


def untrained_scores() -> dict[str, UntrainedScore]:
    """Every training-free score by name: those of mnas, then those of installed packages.

    Raises:
        InvalidScoreError: An installed one cannot be loaded, or takes a name that is there.
    """
    return {**SCORES, **added_scores()}


def _score_named(name: str) -> UntrainedScore:
    found = SCORES.get(name) or added_scores().get(name)
    if found is None:
        raise UnknownNameError("training-free score", name, untrained_scores())
    return found


@functools.cache
def added_scores() -> Mapping[str, UntrainedScore]:
    """The scores of installed packages by name; see `untrained_scores`."""
    added = plug_ins(GROUP, "training-free score", taken=SCORES, error=InvalidScoreError)
    found: dict[str, UntrainedScore] = {}
    for name, plug_in in added.items():
        score = plug_in.load()
        if not callable(score):
            raise InvalidScoreError(f"{plug_in.where} must be a function; got {score!r}")
        found[name] = score
    return found


def _parts(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, kinds)]


def _without(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> nn.Module:
    copied = copy.deepcopy(module)
    for part in list(copied.modules()):
        for name, child in part.named_children():
            if isinstance(child, kinds):
                setattr(part, name, nn.Identity())
    return copied
