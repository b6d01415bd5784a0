"""The training loop, the same for the proxy and for whole trainings.

Everything random comes from (seed, epoch, step) and the learning rate from the step, so that a
training that is stopped after an epoch and continued from its state is the undisturbed one, to the
bit (for the same number of threads and version of torch).
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from mnas.arch import Architecture, MnasError
from mnas.nets import build
from mnas.training.augmenting import augmented, mixed
from mnas.training.batches import Images, stream
from mnas.training.depthwise import pad_small_maps_first
from mnas.training.devices import CPU, Device
from mnas.training.recipes import Method, RecipeError
from mnas.training.team import ALONE, Team


class DivergedError(MnasError):
    """The loss is no number any more; says where. A smaller learning rate may help."""

    exit_code = 4


@contextlib.contextmanager
def threads_set_to(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads, and restore what was."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Training:
    """A network in training: weights, optimiser, moving average, and how many epochs are done.

    Attributes:
        module: The network; its weights are those of the last step, not their average.
        epochs_done: Whole epochs behind it.

    Raises:
        RecipeError: The team cannot share the batches evenly.
    """

    def __init__(
        self,
        arch: Architecture,
        images: Images,
        method: Method,
        seed: int,
        *,
        device: Device = CPU,
        team: Team = ALONE,
    ) -> None:
        with _seeded(stream(seed, "weights")):
            module = build(arch)
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this overload
        self.module: nn.Module = module.to(device.place)
        if device.place.type == "cpu":
            pad_small_maps_first(self.module)
        self.epochs_done = 0
        self._device, self._team = device, team
        self._scaler = torch.amp.GradScaler(device.place.type, enabled=device.scales_gradients)
        self._images, self._method, self._seed = images, method, seed
        self._parameters = list(self.module.parameters())
        self._average = [parameter.detach().clone() for parameter in self._parameters]
        self._optimizer = _optimizer(self._parameters, method)
        self._batch_size = min(method.batch_size, len(images.labels))
        self._steps = len(images.labels) // self._batch_size  # an epoch; a short batch is left out
        if self._batch_size % team.size or self._batch_size < 2 * team.size:
            raise RecipeError(
                f"batches of {self._batch_size} images cannot be shared by {team.size} processes: "
                "each must get as many, and at least 2 (BatchNorm needs two). Change batch_size or "
                "the number of processes"
            )

    def learning_rate(self, step: int) -> float:
        """The rate of a step counted from the start: a linear rise, then a cosine to zero."""
        total = self._steps * self._method.total_epochs
        warmup = min(self._method.warmup_epochs * self._steps, total / 5)
        if step < warmup:
            return self._method.learning_rate * (step + 1) / (warmup + 1)
        done = (step - warmup) / max(total - warmup, 1)
        return self._method.learning_rate * (1 + math.cos(math.pi * done)) / 2

    @property
    def last_learning_rate(self) -> float:
        """The rate of the last step that was made; 0 before the first."""
        done = self.epochs_done * self._steps
        return self.learning_rate(done - 1) if done else 0.0

    def run_epoch(self, on_step: Callable[[], None] = lambda: None) -> float:
        """Train for one epoch.

        Args:
            on_step: Called before each step; what it raises ends the epoch.

        Returns:
            The mean loss.

        Raises:
            DivergedError: The loss became NaN or infinite.
        """
        epoch, losses = self.epochs_done, 0.0
        self.module.train()
        generator = torch.Generator().manual_seed(stream(self._seed, "order", epoch))
        order = torch.randperm(len(self._images.labels), generator=generator)
        for step in range(self._steps):
            on_step()
            batch = order[step * self._batch_size : (step + 1) * self._batch_size]
            dropout = stream(self._seed, "dropout", epoch, step, *self._team.own)
            with _seeded(dropout):
                self._device.seed(dropout)
                loss = self._step(self._team.share(batch), epoch, step)
            if not math.isfinite(loss):
                rate = self._optimizer.param_groups[0]["lr"]
                raise DivergedError(
                    f"the loss became {loss} in epoch {epoch + 1}, step {step + 1}, at learning "
                    f"rate {rate:.3g}"
                )
            losses += loss
        self.epochs_done += 1
        self._team.require_same(self._parameters)
        return losses / self._steps

    def _batch(self, chosen: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        place = self._device.place
        augmentation = self._method.augmentation
        seed = stream(self._seed, "augmentation", epoch, step, *self._team.own)
        pixels = augmented(self._images.take(chosen).to(place), augmentation, seed)
        return mixed(
            self._images.normalised(pixels),
            self._images.labels[chosen].to(place),
            self._images.num_classes,
            augmentation,
            seed,
        )

    def _step(self, chosen: Tensor, epoch: int, step: int) -> float:
        inputs, targets = self._batch(chosen, epoch, step)
        count = epoch * self._steps + step
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate(count)
        with self._device.computing():
            logits = self.module(inputs)
        loss = nn.functional.cross_entropy(
            logits.float(), targets, label_smoothing=self._method.label_smoothing
        )
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        mean_loss = loss.detach()
        gradients = [each.grad for each in self._parameters if each.grad is not None]
        self._team.average([*gradients, mean_loss])  # one loss for all, who so end together
        self._scaler.unscale_(self._optimizer)
        if self._method.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._method.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        # A young average must forget its random start: decay (1 + t) / (10 + t), as TensorFlow's.
        decay = min(self._method.average_decay, (1 + count) / (10 + count))
        if self._method.average_decay == 0:
            decay = 0.0
        with torch.no_grad():
            for average, parameter in zip(self._average, self._parameters, strict=True):
                average.lerp_(parameter, 1 - decay)
        return float(mean_loss.item())

    def average(self) -> dict[str, Tensor]:
        """The moving average of the weights, by parameter name."""
        names = (name for name, _ in self.module.named_parameters())
        return {name: tensor.clone() for name, tensor in zip(names, self._average, strict=True)}

    def state(self) -> dict[str, Tensor]:
        """Everything that a continuation needs, by name."""
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"average.{index}": value for index, value in enumerate(self._average)}
        for index, parameter in enumerate(self._parameters):
            for name, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{index}.{name}"] = value
        for name, value in self._scaler.state_dict().items():
            tensors[f"scaler.{name}"] = torch.tensor(value, dtype=torch.float64)
        return tensors

    def continue_from(self, state: Mapping[str, Tensor], epochs_done: int) -> None:
        """Take up a training where `state()` was taken.

        Raises:
            KeyError, RuntimeError: The tensors are not those of this training.
        """
        own = self.module.state_dict()
        self.module.load_state_dict({name: state[f"module.{name}"] for name in own})
        for index, average in enumerate(self._average):
            average.copy_(state[f"average.{index}"])
        for name, value in state.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                place, _, key = rest.partition(".")
                parameter = self._parameters[int(place)]
                # copied into the parameter's own memory order, as the undisturbed run has it
                copied = torch.empty_like(parameter) if value.ndim else torch.empty_like(value)
                self._optimizer.state[parameter][key] = copied.detach().copy_(value)
        kinds = {name: type(value) for name, value in self._scaler.state_dict().items()}
        if kinds:
            self._scaler.load_state_dict(
                {name: kind(state[f"scaler.{name}"].item()) for name, kind in kinds.items()}
            )
        self.epochs_done = epochs_done


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Start torch's global generator (initial weights, dropout) from a seed, then restore it."""
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)


def _optimizer(parameters: list[nn.Parameter], method: Method) -> torch.optim.Optimizer:
    """Weight decay on convolutions and matrices, not on norms and biases."""
    groups = [
        {
            "params": [p for p in parameters if (p.ndim > 1) is is_weight],
            "weight_decay": method.weight_decay if is_weight else 0.0,
        }
        for is_weight in (True, False)
    ]
    if method.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=method.learning_rate,
            momentum=method.momentum,
            nesterov=method.momentum > 0,
            fused=True,
        )
    betas = (method.momentum, 0.999)
    return torch.optim.AdamW(groups, lr=method.learning_rate, betas=betas, fused=True)
