"""Drawing feasible networks without a sampler, where its proposals have become of no use."""

import random
from collections.abc import Callable, Container

from mnas.arch import Architecture
from mnas.space import SearchSpace

# Spaces of no more encodings are enumerated when their feasible part seems to be used up.
_ENUMERABLE = 20_000


def draw_unseen(
    space: SearchSpace,
    rng: random.Random,
    *,
    seen: Container[str],
    is_feasible: Callable[[Architecture], bool],
    excess: Callable[[Architecture], float],
    questions: int,
) -> Architecture | None:
    """Draw a feasible network that was not scored yet, without a sampler.

    Args:
        space: Where to look.
        rng: Randomness.
        seen: Ids that are known.
        is_feasible: Whether a network is within every limit.
        excess: How far a network is over the limits; what to go down from a draw over one.
        questions: How many networks may be looked at.

    Returns:
        A network, or None when the space has none left: certain for spaces of no more encodings
        than `questions`, otherwise after as many looks that found nothing.
    """
    if space.size().encodings <= min(questions, _ENUMERABLE):
        left = [arch for arch in space.enumerate() if arch.id not in seen and is_feasible(arch)]
        return rng.choice(left) if left else None
    while questions > 0:
        arch = space.sample(rng)
        here, questions = excess(arch), questions - 1
        while here > 0 and questions > 0:
            lower = None
            for neighbour in _shuffled(space.neighbours(arch), rng):
                questions -= 1
                if (there := excess(neighbour)) < here or questions <= 0:
                    lower = neighbour, there
                    break
            if lower is None:
                break
            arch, here = lower
        if arch.id not in seen and is_feasible(arch):
            return arch
    return None


def _shuffled(architectures: list[Architecture], rng: random.Random) -> list[Architecture]:
    return rng.sample(architectures, len(architectures))
