"""From a checked document to templates."""

from collections.abc import Mapping
from typing import Any

from mnas.arch import BatchNorm
from mnas.space.choices import Choice, Fixed, Node, Pick
from mnas.space.layers import Rounding
from mnas.space.nodes import head_node, node_of, stem_node
from mnas.space.stages import Fault, MergedStage
from mnas.space.templates import NetworkTemplate, SpaceTemplate
from mnas.space.yaml_document import Place


def merge_space(document: Mapping[str, Any]) -> tuple[SpaceTemplate, list[Fault]]:
    """Merge a document without faults of grammar into a template.

    Returns:
        The template, and what no grammar sees: operators without the fields they need.
    """
    faults: list[Fault] = []
    options = document.get("network")
    if options is None:
        network: Node = Fixed(_network(document, {}, "", (), faults))
    else:
        choice = Choice(
            name="network", options=tuple(one["name"] for one in options), place=("network",)
        )
        nodes = [
            Fixed(_network(document, one, f"{one['name']}.", ("network", index), faults))
            for index, one in enumerate(options)
        ]
        network = Pick(choice, tuple(nodes))
    return SpaceTemplate(name=document["name"], network=network), list(dict.fromkeys(faults))


def _network(
    document: Mapping[str, Any],
    partial: Mapping[str, Any],
    prefix: str,
    base: Place,
    faults: list[Fault],
) -> NetworkTemplate:
    top = {**document, **{key: value for key, value in partial.items() if key != "name"}}

    def place(key: str) -> Place:
        return (*base, key) if key in partial else (key,)

    def name(key: str) -> str:
        return prefix if key in partial else ""

    def plain(key: str, called: str, value: Any, where: Place) -> Node:
        return node_of(value, where, name(key) + called, Fixed)

    inner = top["input"]
    leads = prefix if "stages" in partial or "defaults" in partial else ""
    stages = tuple(
        MergedStage(
            top.get("defaults") or {}, place("defaults"), stage, (*place("stages"), index)
        ).template(f"{leads}stages.{stage.get('name', index)}", faults)
        for index, stage in enumerate(top["stages"])
    )
    norm = top.get("norm") or {}
    return NetworkTemplate(
        channels=inner["channels"],
        resolution=plain(
            "input", "resolution", inner["resolution"], (*place("input"), "resolution")
        ),
        width=plain("width", "width", top.get("width", 1.0), place("width")),
        rounding=Rounding(**(top.get("rounding") or {})),
        num_classes=top.get("num_classes", 1000),
        padding=top.get("padding", "symmetric"),
        norm=BatchNorm(eps=float(norm.get("eps", 1e-5)), momentum=float(norm.get("momentum", 0.1))),
        dropout=float(top.get("dropout", 0.0)),
        stem=node_of(top["stem"], place("stem"), f"{name('stem')}stem", stem_node),
        stages=stages,
        head=tuple(
            node_of(item, (*place("head"), index), f"{name('head')}head.{index}", head_node)
            for index, item in enumerate(top["head"])
        ),
        head_place=place("head"),
    )
