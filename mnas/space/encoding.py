"""From an architecture back to the choices that give it, or to the first field that none gives."""

from collections.abc import Iterator, Sequence
from typing import Any

from mnas.arch import Architecture, Block, HeadItem
from mnas.arch.canonical import to_fields
from mnas.space.automaton import Automaton, State, Top
from mnas.space.choices import Choice, Option

Asked = dict[Choice, int]


def encode(automaton: Automaton, arch: Architecture) -> dict[str, Option] | None:
    """The active choices that give an architecture, the first that fit in file order.

    Returns:
        Names and options; None when the space does not hold the architecture.
    """
    found: Asked = {}
    for top, state, asked in automaton.starts():
        if _top_fields(top) == _own_top_fields(arch):
            path = _read(automaton, state, arch)
            if path is not None:
                for part in (asked, *path):
                    found.update(part)
                return {choice.name: choice.options[index] for choice, index in found.items()}
    return None


def _read(automaton: Automaton, start: State, arch: Architecture) -> list[Asked] | None:
    """Depth first, options in file order; what was found to lead nowhere is not tried again."""
    blocks, dead = arch.blocks, set[tuple[State, int]]()
    trail: list[tuple[State, int, Iterator[tuple[State, int, Asked]]]] = []
    path: list[Asked] = []
    trail.append((start, 0, _onward(automaton, start, 0, blocks)))
    while trail:
        state, position, options = trail[-1]
        if automaton.is_final(state) and position == len(blocks):
            for head, asked in automaton.heads(state):
                if head == arch.head:
                    return [*path, asked]
        following = next((one for one in options if (one[0], one[1]) not in dead), None)
        if following is None:
            dead.add((state, position))
            trail.pop()
            if path:
                path.pop()
            continue
        after, reached, asked = following
        path.append(asked)
        trail.append((after, reached, _onward(automaton, after, reached, blocks)))
    return None


def _onward(
    automaton: Automaton, state: State, position: int, blocks: Sequence[Block]
) -> Iterator[tuple[State, int, Asked]]:
    if automaton.is_final(state):
        return
    for step in automaton.steps(state):
        if step.block is None:
            yield step.state, position, step.asked
        elif position < len(blocks) and step.block == blocks[position]:
            yield step.state, position + 1, step.asked


def first_outside(automaton: Automaton, arch: Architecture) -> str:
    """The first field of an architecture that the space does not allow; empty if it is inside."""
    tops = [(_top_fields(top), state) for top, state, _ in automaton.starts()]
    own = _own_top_fields(arch)
    outside = _first_difference(own, [fields for fields, _ in tops])
    if outside:
        return outside
    states = automaton.closure({state for fields, state in tops if fields == own})
    for position, block in enumerate(arch.blocks):
        steps = [
            step
            for state in states
            if not automaton.is_final(state)
            for step in automaton.steps(state)
            if step.block is not None
        ]
        if not steps:
            return f"blocks: has {len(arch.blocks)}; allowed here: at most {position}"
        after = {step.state for step in steps if step.block == block}
        if not after:
            allowed = [_flat(step.block, f"blocks.{position}") for step in steps]
            return _first_difference(_flat(block, f"blocks.{position}"), allowed)
        states = automaton.closure(after)
    final = [state for state in states if automaton.is_final(state)]
    if not final:
        return f"blocks: has {len(arch.blocks)}; allowed after these: more"
    heads = [_head_fields(head) for state in final for head, _ in automaton.heads(state)]
    return _first_difference(_head_fields(arch.head), heads)


Fields = dict[str, Any]


def _first_difference(own: Fields, allowed: Sequence[Fields]) -> str:
    """Keep the allowed documents that agree so far; name the first field where none is left."""
    left = list(allowed)
    for name, value in own.items():
        agreeing = [fields for fields in left if name in fields and fields[name] == value]
        if not agreeing:
            options = list(dict.fromkeys(_said(fields.get(name)) for fields in left))
            return f"{name}: got {_said(value)}; allowed here: {', '.join(options)}"
        left = agreeing
    if all(set(fields) != set(own) for fields in left):
        missing = sorted(set(left[0]) - set(own))
        return f"{missing[0]}: this field is missing"
    return ""


def _said(value: object) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _flat(value: Any, place: str) -> Fields:
    """The fields of a value of `arch` with their dotted places, nested ones included."""
    flat: Fields = {}
    waiting = [(place, to_fields(value))]
    while waiting:
        name, item = waiting.pop(0)
        if isinstance(item, dict):
            waiting[:0] = [(f"{name}.{key}", inner) for key, inner in item.items()]
        else:
            flat[name] = item
    return flat


def _own_top_fields(arch: Architecture) -> Fields:
    return {
        "input.channels": arch.input.channels,
        "input.resolution": arch.input.resolution,
        "num_classes": arch.num_classes,
        "padding": arch.padding,
        "norm.eps": arch.norm.eps,
        "norm.momentum": arch.norm.momentum,
        "dropout": arch.dropout,
        **_flat(arch.stem, "stem"),
    }


def _top_fields(top: Top) -> Fields:
    network = top.network
    return {
        "input.channels": network.channels,
        "input.resolution": top.resolution,
        "num_classes": network.num_classes,
        "padding": network.padding,
        "norm.eps": network.norm.eps,
        "norm.momentum": network.norm.momentum,
        "dropout": network.dropout,
        **_flat(top.stem, "stem"),
    }


def _head_fields(head: tuple[HeadItem, ...]) -> Fields:
    flat: Fields = {}
    for index, item in enumerate(head):
        flat |= _flat(item, f"head.{index}")
    return flat
