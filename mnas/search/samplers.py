"""The samplers, by name. Each proposal has a seed of its own.

A sampler that carries a random state from proposal to proposal would start again from its first
draw after a resume; one with seed f(search seed, number) proposes as if nothing happened. Optuna's
samplers are made anew for every proposal; ours, which keep what they learned, get new numbers.
"""

import functools
import importlib
import re
from collections.abc import Callable, Mapping

import optuna

from mnas.arch import MnasError, UnknownNameError
from mnas.search.evolution import Evolution
from mnas.search.greybox import Greybox
from mnas.search.ground import Ground
from mnas.search.row_sampler import RandomStrategy, RowSampler, Seen
from mnas.search.tpe import Tpe

SamplerFactory = Callable[[int], optuna.samplers.BaseSampler]
# Optuna's 50 would be half of a search of 100 trainings.
NSGA2_POPULATION = 20


class SamplerPathError(MnasError):
    """An import path that leads to no Optuna sampler."""


def _random(ground: Ground) -> SamplerFactory:
    return RowSampler(ground, RandomStrategy(ground)).seeded


def _evolution(ground: Ground) -> SamplerFactory:
    return RowSampler(ground, Evolution(ground)).seeded


def _greybox(ground: Ground) -> SamplerFactory:
    return RowSampler(ground, Greybox(ground)).seeded


def _tpe(ground: Ground) -> SamplerFactory:
    return functools.partial(Tpe, ground=ground, seen=Seen(ground))


class OrderedNSGAII(optuna.samplers.NSGAIISampler):
    """NSGA-II that takes the parents of a generation in one order, also after a resume.

    Optuna gives the first child of a generation its parents in the order of the selection, and
    the others, which find them in a cache, in the order of their numbers.
    """

    def select_parent(self, study: optuna.Study, generation: int) -> list[optuna.trial.FrozenTrial]:
        """The parents of a generation, by number."""
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)


def _nsga2(ground: Ground) -> SamplerFactory:
    return lambda seed: OrderedNSGAII(
        seed=seed, population_size=NSGA2_POPULATION, crossover_prob=0.9, swapping_prob=0.5
    )


SAMPLERS: Mapping[str, Callable[[Ground], SamplerFactory]] = {
    "greybox": _greybox,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "evolution": _evolution,
    "random": _random,
}
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_import_path(name: str) -> bool:
    """Whether a sampler is named by `package.module:Class`, and so is code that will be run."""
    return ":" in name


def refuse_unknown_sampler(name: str) -> None:
    """Check a name without importing anything.

    Raises:
        UnknownNameError: It is no sampler of mnas; names the known ones.
        SamplerPathError: It is an import path that cannot be one.
    """
    if is_import_path(name):
        if not _PATH.fullmatch(name):
            raise SamplerPathError(
                f"a sampler of one's own is named package.module:Class; got {name!r}"
            )
    elif name not in SAMPLERS:
        raise UnknownNameError("sampler", name, (*SAMPLERS, "package.module:Class"))


def sampler_factory(name: str, ground: Ground) -> SamplerFactory:
    """The sampler of that name, for one search.

    Args:
        name: A key of `SAMPLERS`, or `package.module:Class` of an Optuna sampler, which is
            imported, and made with `seed=` for every proposal.
        ground: The space with its limits and objectives.

    Raises:
        UnknownNameError: There is none; names the known ones.
        SamplerPathError: The import path leads to no Optuna sampler that takes a seed.
    """
    refuse_unknown_sampler(name)
    return _imported(name) if is_import_path(name) else SAMPLERS[name](ground)


def _imported(path: str) -> SamplerFactory:
    module_name, _, class_name = path.partition(":")
    try:
        sampler_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise SamplerPathError(f"the sampler {path} cannot be imported: {error}") from error
    is_sampler = isinstance(sampler_class, type) and issubclass(
        sampler_class, optuna.samplers.BaseSampler
    )
    if not is_sampler:
        raise SamplerPathError(f"{path} is no class of Optuna samplers; got {sampler_class!r}")

    def make(seed: int) -> optuna.samplers.BaseSampler:
        try:
            sampler: optuna.samplers.BaseSampler = sampler_class(seed=seed)
        except TypeError as error:
            raise SamplerPathError(f"{path} cannot be made with seed=: {error}") from error
        return sampler

    make(0)
    return make
