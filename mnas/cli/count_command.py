"""`mnas count`: what a network costs, and thop's second opinion."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.arch import Architecture, BlockCounts, PlannedBlock, count, plan, timm_text
from mnas.cli.answers import answering
from mnas.cli.options import AsJson, read_architecture
from mnas.cli.tables import facts, paragraph, table_of
from mnas.cli.wording import memory

if TYPE_CHECKING:
    from mnas.nets import ThopCounts

NetworkArgument = Annotated[
    str,
    typer.Argument(
        metavar="ARCH.json|NAME",
        help="An architecture document, or the name of a published network.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountAnswer:
    """What `mnas count` says; the figures of `mnas.count`, and thop's of the built module.

    Attributes:
        timm: With `--timm`, the network as a Python file for timm.
    """

    id: str
    name: str
    params: int
    params_without_classifier: int
    macs: int
    peak_activation_bytes: int
    thop: "ThopCounts | None"
    timm: str | None
    blocks: tuple[BlockCounts, ...]


def add_to(app: typer.Typer) -> None:
    """Put the command into the tree."""
    app.command("count", epilog="Example: mnas count mobilenet_v2")(count_network)


def count_network(
    network: NetworkArgument,
    thop: Annotated[
        bool,
        typer.Option(
            "--thop/--no-thop", help="Build the network and let thop count it too (loads torch)."
        ),
    ] = True,
    timm: Annotated[
        bool,
        typer.Option("--timm", help="Print the network as a Python file that builds it in timm."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count parameters, MACs and activation memory, block by block."""
    with answering(as_json) as answer:
        arch = read_architecture(network)
        text = timm_text(arch) if timm else None
        counted = _counted(arch, thop and (as_json or not timm), text)
        answer.give(counted, lambda: text.splitlines() if text else _show(arch, counted))


def _counted(arch: Architecture, with_thop: bool, text: str | None) -> CountAnswer:
    counts, witness = count(arch), None
    if with_thop:
        from mnas.nets import thop_counts

        witness = thop_counts(arch)
    return CountAnswer(
        id=arch.id,
        name=arch.name,
        params=counts.params,
        params_without_classifier=counts.params_without_classifier,
        macs=counts.macs,
        peak_activation_bytes=counts.peak_activation_bytes,
        thop=witness,
        timm=text,
        blocks=counts.blocks,
    )


def _show(arch: Architecture, counted: CountAnswer) -> Iterator[str]:
    side, channels = arch.input.resolution, arch.input.channels
    rows = [
        ("network", f"{counted.name} ({counted.id})"),
        ("input", f"{channels} x {side} x {side}, {arch.num_classes:,} classes"),
        ("parameters", f"{counted.params:,}"),
        ("  without classifier", f"{counted.params_without_classifier:,}"),
        ("MACs", f"{counted.macs:,}"),
        ("activation memory", f"{memory(counted.peak_activation_bytes)} at its peak, fp32"),
    ]
    if counted.thop is not None:
        rows.append(("thop, built module", _thop_words(counted, counted.thop)))
        rows.append(("  by its own rules", f"{counted.thop.macs_by_own_rules:,} MACs"))
    yield from facts(rows)
    yield paragraph(
        "MACs: multiply-accumulates of convolutions and linear layers at batch 1, the convention "
        "of the papers. By its own rules thop adds four operations for each element of a "
        "normalisation, and the pooling."
    )
    yield ""
    witnessed = counted.thop.block_macs if counted.thop is not None else ()
    blocks = [
        (
            block.place,
            _op(planned),
            f"{planned.in_channels} x {_side(planned.size)}",
            f"{block.params:,}",
            f"{block.macs:,}",
            *(f"{macs:,}" for macs in witnessed[index : index + 1]),
            memory(block.peak_activation_bytes),
        )
        for index, (block, planned) in enumerate(
            zip(counted.blocks, plan(arch).blocks, strict=True)
        )
    ]
    headers = ("block", "op", "takes", "parameters", "MACs", *["thop"][: len(witnessed)], "memory")
    yield from table_of(headers, blocks, numbers=True)


def _op(block: PlannedBlock) -> str:
    return str(json.loads(block.key).get("op", block.kind))


def _side(size: int | None) -> str:
    return "1" if size is None else f"{size} x {size}"


def _thop_words(counted: CountAnswer, found: "ThopCounts") -> str:
    told = f"{found.params:,} parameters, {found.macs:,} MACs"
    blocks = tuple(block.macs for block in counted.blocks)
    own = (counted.params, counted.macs, blocks)
    if (found.params, found.macs, found.block_macs) == own:
        return f"{told}: the same (normalisation and pooling counted as 0, as in the papers)"
    return f"{told}: THEY DIFFER, please report this network"
