"""Choices and fields that can never matter: legal, and probably not what was meant."""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any

from mnas.arch import Fault
from mnas.space.choices import (
    Ask,
    Choice,
    Fixed,
    Group,
    Node,
    Pick,
    branches,
    choices_in,
    resolve,
    values_of,
)
from mnas.space.layers import Sizing
from mnas.space.positions import head_of
from mnas.space.shapes import Passage, entrances, heads, leaves, sizings, stems
from mnas.space.templates import (
    NetworkTemplate,
    SpaceTemplate,
    StageTemplate,
    Variant,
    layer_choices,
)
from mnas.space.unused import unused_fields
from mnas.space.yaml_document import Place, YamlDocument

Outcomes = dict[int, set[Any]]  # option index -> (everything else, what comes of it)


def warnings(space: SpaceTemplate, document: YamlDocument) -> list[Fault]:
    """Everything that can never matter, once for each place of the file.

    Args:
        space: The merged file.
        document: Where its parts stand.
    """
    found: dict[Place, str] = {}
    for network in space.networks:
        found.update(_unused_layers(network))
    for place, problem in (
        *unused_fields(space, document.value),
        *_equal_options(space),
        *_equal_networks(space),
    ):
        found.setdefault(place, problem)
    faults = []
    for place, problem in found.items():
        line, column = document.locate(place) or (None, None)
        faults.append(Fault(".".join(map(str, place)), problem, line, column))
    return sorted(faults, key=lambda fault: (fault.line or 0, fault.column or 0))


def _unused_layers(network: NetworkTemplate) -> Iterator[tuple[Place, str]]:
    """Stages that no depth lets in."""
    for stage in network.stages:
        if not stage.layers:
            yield stage.place, "never built: its depth is always 0"


def _equal_networks(space: SpaceTemplate) -> Iterator[tuple[Place, str]]:
    """Options of `network` that say the same as an earlier one."""
    if not isinstance(space.network, Pick):
        return
    choice, seen = space.network.choice, dict[Any, int]()
    for index, network in enumerate(space.networks):
        first = seen.setdefault(_said_by(network), index)
        if first != index:
            problem = f"the same networks as option {choice.options[first]!r}, in every context"
            yield (*choice.place, index), problem


def _said_by(value: Any) -> Any:
    """A template without names and places: equal for templates of the same networks."""
    match value:
        case Pick():
            return tuple(map(_said_by, value.nodes))
        case Group():
            return (value.make, *map(_said_by, value.parts))
        case Fixed():
            return _said_by(value.value)
        case Variant():
            return (_said_by(value.op), _said_by(tuple(value.parts.items())))
        case StageTemplate() | NetworkTemplate():
            names = [field.name for field in fields(value) if "place" not in field.name]
            return tuple(_said_by(getattr(value, name)) for name in names if name != "label")
        case tuple() if type(value) is tuple:
            return tuple(map(_said_by, value))
    return value


def _equal_options(space: SpaceTemplate) -> Iterator[tuple[Place, str]]:
    outcomes: dict[str, Outcomes] = defaultdict(lambda: defaultdict(set))
    choices: dict[str, Choice] = {}
    for network in space.networks:
        for sizing, stage, passed in entrances(network):
            if stage is None:
                continue
            _note_depth(sizing, stage, passed, outcomes, choices)
            for index, layer in enumerate(stage.layers):
                for shape in passed.rest if index else passed.first:
                    _note_layer(layer, shape, (sizing, stage), outcomes, choices, index)
        _note_widths(network, outcomes, choices)
        _note_sizes(network, outcomes, choices)
    by_place: dict[Place, list[tuple[Choice, Outcomes]]] = defaultdict(list)
    for name, choice in choices.items():
        by_place[choice.place].append((choice, outcomes[name]))
    for place, same in by_place.items():
        yield from _compare(place, same)


def _note_layer(
    layer: Node, shape: Any, where: Any, outcomes: Any, choices: dict[str, Choice], index: int
) -> None:
    sizing, stage = where
    asks = list(layer_choices(layer))
    if not asks:
        return
    for leaf in leaves(layer, shape, sizing, stage.scale):
        _note(leaf.asked, (index, shape, sizing, leaf.block), outcomes, choices)


def _note_depth(
    sizing: Sizing, stage: StageTemplate, passed: Passage, outcomes: Any, choices: dict[str, Choice]
) -> None:
    """A depth decides which layers there are; a layer that is always an identity is none."""
    choice = next(iter(choices_in(stage.depth)), None)
    if choice is None:
        return
    choices[choice.name] = choice
    built = [
        frozenset(
            (shape, leaf.block)
            for shape in shapes
            for leaf in leaves(layer, shape, sizing, stage.scale)
        )
        for layer, shapes in zip(
            stage.layers, (passed.first, *[passed.rest] * len(stage.layers)), strict=False
        )
    ]
    for index, depth in enumerate(values_of(stage.depth)):
        layers = [one for one in built[:depth] if any(block is not None for _, block in one)]
        outcomes[choice.name][index].add((sizing, tuple(layers)))


def _note(
    asked: dict[Choice, int], outcome: Any, outcomes: Any, choices: dict[str, Choice]
) -> None:
    """What comes of each choice that was asked, given the others."""
    for choice, option in asked.items():
        choices[choice.name] = choice
        rest = tuple((c.name, i) for c, i in asked.items() if c is not choice)
        outcomes[choice.name][option].add((rest, outcome))


def _note_sizes(network: NetworkTemplate, outcomes: Any, choices: dict[str, Choice]) -> None:
    """What the choices of the stem, of the stages' `out_channels` and of the head give."""
    for sizing in sizings(network):

        def stem(ask: Ask, sizing: Sizing = sizing) -> Any:
            return resolve(network.stem, ask).at(sizing)

        runs: list[Callable[[Ask], Any]] = [stem, functools.partial(head_of, network, sizing)]
        for stage in network.stages:
            if stage.layers:
                runs.append(functools.partial(_out_channels, stage, sizing))
        for run in runs:
            for asked, found in branches(run):
                _note(asked, (sizing, found), outcomes, choices)


def _out_channels(stage: StageTemplate, sizing: Sizing, ask: Ask) -> int:
    return sizing.scaled(resolve(stage.out_channels, ask), stage.scale)


def _note_widths(network: NetworkTemplate, outcomes: Any, choices: dict[str, Choice]) -> None:
    """Everything that a width decides: stem, stages, heads."""
    choice = next(iter(choices_in(network.width)), None)
    if choice is None:
        return
    choices[choice.name] = choice
    for index, sizing in enumerate(sizings(network)):
        outs = [
            sizing.scaled(number, stage.scale)
            for stage in network.stages
            for number in values_of(stage.out_channels)
        ]
        layers = [
            leaf.block
            for own, stage, passed in entrances(network)
            if stage is not None and own == sizing
            for layer, shapes in zip(stage.layers, (passed.first, passed.rest), strict=False)
            for shape in shapes
            for leaf in leaves(layer, shape, sizing, stage.scale)
        ]
        said = (tuple(stems(network, sizing)), tuple(outs), tuple(layers))
        outcomes[choice.name][index].add((*said, tuple(heads(network, sizing))))


def _compare(place: Place, same: Iterable[tuple[Choice, Outcomes]]) -> Iterator[tuple[Place, str]]:
    """Options of the choices that one list of the file stands for, equal in all of them."""
    same = list(same)
    options = same[0][0].options
    groups: dict[Any, list[int]] = defaultdict(list)
    for index in range(len(options)):
        groups[tuple(frozenset(found.get(index, ())) for _, found in same)].append(index)
    if len(groups) == 1 and len(options) > 1:
        yield place, "never matters: every option gives the same networks"
        return
    for group in groups.values():
        for index in group[1:]:
            problem = f"the same networks as option {options[group[0]]!r}, in every context"
            yield (*place, index), problem
