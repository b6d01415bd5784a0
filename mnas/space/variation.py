"""Architectures near others: neighbours, mutants and children, by their choices."""

import random
from collections.abc import Iterator, Mapping

from mnas.arch import Architecture
from mnas.space.choices import Choice, Option, index_of
from mnas.space.walking import Paths

Choices = Mapping[str, Choice]
Options = Mapping[str, Option]


def neighbours(
    paths: Paths, choices: Choices, arch: Architecture, own: Options
) -> Iterator[Architecture]:
    """The networks that differ in one choice, without repetition, in file order.

    Args:
        paths: Through the space.
        choices: All its choices.
        arch: Where to start.
        own: Its active choices.
    """
    told = {arch.id}
    for name, option in _changes(choices, own):
        near = completed(paths, {**own, name: option})
        if near.id not in told:
            told.add(near.id)
            yield near


def mutated(
    paths: Paths, choices: Choices, arch: Architecture, own: Options, rng: random.Random
) -> Architecture:
    """A network that differs in one choice; the same one when there is none.

    The choice is uniform among the active ones with another option, its option uniform among the
    others. A change that gives the same network is drawn again.
    """
    changes: dict[str, list[Option]] = {}
    for name, option in _changes(choices, own):
        changes.setdefault(name, []).append(option)
    while changes:
        name = rng.choice(list(changes))
        option = changes[name].pop(rng.randrange(len(changes[name])))
        near = completed(paths, {**own, name: option})
        if near.id != arch.id:
            return near
        if not changes[name]:
            del changes[name]
    return arch


def crossed(paths: Paths, first: Options, second: Options, rng: random.Random) -> Architecture:
    """A child with each active choice of either parent; of one that both have, by a coin."""
    names = list(dict.fromkeys((*first, *second)))
    given = {}
    for name in names:
        coin = rng.random() < 0.5
        parent = first if name in first and (coin or name not in second) else second
        given[name] = parent[name]
    return completed(paths, given)


def completed(paths: Paths, choices: Options) -> Architecture:
    """The network of some choices; those that are missing repeat the layer before, if they can."""
    given = dict(choices)

    def choose(choice: Choice) -> int:
        for name in (choice.name, choice.sibling):
            if name in given:
                try:
                    index = index_of(choice.options, given[name])
                except ValueError:
                    continue
                given[choice.name] = choice.options[index]
                return index
        given[choice.name] = choice.options[0]
        return 0

    return paths.walk(choose)[0]


def _changes(choices: Choices, own: Options) -> Iterator[tuple[str, Option]]:
    for name, value in own.items():
        for option in choices[name].options:
            if option is not value:
                yield name, option
