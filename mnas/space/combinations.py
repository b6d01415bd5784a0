"""Combinations of choices that no network can be: found when a file is loaded, never left out."""

import functools
from collections.abc import Iterator

from mnas.arch import (
    Architecture,
    BatchNorm,
    Fault,
    HeadItem,
    Input,
    InvalidArchitectureError,
    Stem,
)
from mnas.space.choices import Ask, Choice, Node, branches, resolve, values_of
from mnas.space.layers import HangsOn, ImpossibleLayerError, Sizing
from mnas.space.mending import Doubts
from mnas.space.positions import head_of, layer_of
from mnas.space.shapes import Shape, entrances, sizings
from mnas.space.templates import NetworkTemplate, SpaceTemplate, StageTemplate, Variant
from mnas.space.yaml_document import Place


def shape_faults(space: SpaceTemplate, doubts: Doubts | None = None) -> Iterator[tuple[Place, str]]:
    """Combinations that no network can be, each told once with what to do about it.

    Args:
        space: The merged file.
        doubts: What may not be as it says, because the file has other faults.
    """
    told: set[tuple[Place, str]] = set()
    for network in space.networks:
        found = [*_stem_faults(network), *_stage_faults(network, doubts)]
        if doubts is None or not doubts.head:
            found += _head_faults(network)
        for place, kind, problem in found:
            if (place, kind) not in told:
                told.add((place, kind))
                yield place, problem


_Told = tuple[Place, str, str]  # place, kind of fault, problem


def _stem_faults(network: NetworkTemplate) -> Iterator[_Told]:
    for sizes in values_of(network.stem):
        if sizes.stride > 1 and 1 in values_of(network.resolution):
            yield ("stem", "stride"), "vanished", "a resolution of 1 cannot be reduced"


def _stage_faults(network: NetworkTemplate, doubts: Doubts | None) -> Iterator[_Told]:
    unsure = _in_doubt(doubts, ("stem",))  # what comes in
    for sizing, stage, passed in entrances(network):
        if stage is None:
            unsure = _in_doubt(doubts, ("stem",))
            continue
        for (_, _, stride), sizes in passed.first.items():
            if stride > 1 and 1 in sizes:
                yield (
                    (*stage.place, "stride"),
                    "vanished",
                    f"the resolution vanishes: a 1x1 map comes to this stage of stride {stride}; "
                    "use higher resolutions or fewer strides",
                )
        own = _in_doubt(doubts, stage.place)
        for layer, shapes in zip(stage.layers, (passed.first, passed.rest), strict=False):
            for shape in shapes:
                for told, hangs_on in _layer_faults(layer, shape, sizing, stage):
                    is_sure = hangs_on == "fields" or not (own or unsure)
                    if doubts is None or (is_sure and hangs_on != "all"):
                        yield told
        unsure = own or (unsure and 0 in values_of(stage.depth))


def _in_doubt(doubts: Doubts | None, place: Place) -> bool:
    return doubts is not None and doubts.about(place)


def _layer_faults(
    layer: Node, shape: Shape, sizing: Sizing, stage: StageTemplate
) -> Iterator[tuple[_Told, HangsOn]]:
    """The faults of a layer, and what each hangs on."""

    def run(ask: Ask) -> tuple[_Told, HangsOn] | None:
        chosen: dict[str, int] = {}

        def remember(choice: Choice) -> int:
            return chosen.setdefault(choice.name, ask(choice))

        try:
            layer_of(layer, shape, sizing, stage.scale, remember)
        except ImpossibleLayerError as error:
            return _impossible(layer, chosen, stage, error), error.hangs_on
        return None

    for _, told in branches(run):
        if told is not None:
            yield told


def _impossible(
    layer: Node, chosen: dict[str, int], stage: StageTemplate, error: ImpossibleLayerError
) -> _Told:
    variant = _variant_of(layer, chosen)
    place = variant.places.get(error.field, variant.place)
    if error.field == "op":
        what_to_do = "give the first layer options of its own with `first:`"
    else:
        what_to_do = "name the combinations that can be with `layer:`"
    where = ".".join(map(str, stage.place))
    return place, where + error.field, f"in {where}: {error.problem}; {what_to_do}"


def _variant_of(layer: Node, chosen: dict[str, int]) -> Variant:
    variant: Variant = resolve(layer, lambda choice: chosen[choice.name])
    return variant


def _head_faults(network: NetworkTemplate) -> Iterator[_Told]:
    for sizing in sizings(network)[:1]:
        for _, head in branches(functools.partial(head_of, network, sizing)):
            for fault in head_problems(head):
                yield network.head_place, fault.problem, fault.problem


def head_problems(head: tuple[HeadItem, ...]) -> list[Fault]:
    """What the architecture door says about a head."""
    try:
        Architecture(
            name="head",
            input=Input(channels=1, resolution=8),
            num_classes=2,
            padding="symmetric",
            norm=BatchNorm(eps=1e-5, momentum=0.1),
            dropout=0.0,
            stem=Stem(kernel=1, stride=1, out_channels=1, activation="relu"),
            blocks=(),
            head=head,
        )
    except InvalidArchitectureError as error:
        return list(error.faults)
    return []
