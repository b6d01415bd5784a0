"""The samplers, by name. Each is made anew for every proposal, from a seed of that proposal.

A sampler that carries a random state from proposal to proposal would start again from its first
draw after a resume; a fresh one with seed f(search seed, number) proposes as if nothing happened.
"""

from collections.abc import Callable, Mapping

import optuna

from mnas.arch import MnasError, UnknownNameError

SamplerFactory = Callable[[int], optuna.samplers.BaseSampler]


def _random(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    # Defaults are named: they changed in Optuna 5 and may change again.
    return optuna.samplers.TPESampler(
        seed=seed,
        multivariate=True,
        constant_liar=True,
        n_startup_trials=10,
        n_ei_candidates=24,
    )


_PLANNED = ("nsga2", "evolution", "greybox")


class NotInThisVersionError(MnasError):
    """Something that is planned and not there yet."""


SAMPLERS: Mapping[str, SamplerFactory] = {"random": _random, "tpe": _tpe}


def sampler_factory(name: str) -> SamplerFactory:
    """The sampler of that name.

    Raises:
        NotInThisVersionError: It is planned, and not there yet.
        UnknownNameError: There is none; names the known ones.
    """
    if name in _PLANNED or ":" in name or "." in name:
        raise NotInThisVersionError(
            f"the sampler {name!r} is not in this version; there are: {', '.join(SAMPLERS)}"
        )
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    return SAMPLERS[name]
