"""Choices, and values that may hang on them.

A value of a search space file becomes a node: `Fixed`, or `Pick` one of several nodes by a choice,
or a `Group` of nodes that make one value together. Whoever asks a choice decides: a random number,
a trial, a dictionary, or the next branch of an enumeration.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mnas.space.yaml_document import Place

Option = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One decision of a search space.

    Attributes:
        name: Such as `stages.2.layers.0.kernel`; a name always has the same options.
        options: Scalars, in file order.
        place: Where the list stands in the file.
        layer: The layer of its stage that it decides alone; None when it decides more.
        sibling: Name of the same choice one layer earlier, if there is one.
    """

    name: str
    options: tuple[Option, ...]
    place: Place
    layer: int | None = None
    sibling: str | None = None


Ask = Callable[[Choice], int]  # gives the index of the option


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that nothing decides."""

    value: Any


@dataclass(frozen=True, slots=True)
class Pick:
    """One of several nodes, one for each option of the choice."""

    choice: Choice
    nodes: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Group:
    """A value made from the values of several nodes."""

    make: Callable[..., Any]
    parts: "tuple[Node, ...]"


Node = Fixed | Pick | Group


def resolve(node: Node, ask: Ask) -> Any:
    """The value of a node, asking the choices on the way and no others."""
    while type(node) is Pick:
        node = node.nodes[ask(node.choice)]
    if type(node) is Fixed:
        return node.value
    assert type(node) is Group
    return node.make(*[resolve(part, ask) for part in node.parts])


def group(make: Callable[..., Any], parts: tuple[Node, ...]) -> Node:
    """A group, or the value itself when none of its parts hangs on a choice."""
    if all(type(part) is Fixed for part in parts):
        return Fixed(make(*[part.value for part in parts if type(part) is Fixed]))
    return Group(make, parts)


def choices_in(node: Node) -> Iterator[Choice]:
    """Every choice that a node may ask, outer before inner."""
    match node:
        case Pick():
            yield node.choice
            for option in node.nodes:
                yield from choices_in(option)
        case Group():
            for part in node.parts:
                yield from choices_in(part)
        case Fixed():
            pass


def values_of(node: Node) -> list[Any]:
    """Every value a node can have, in file order."""
    return [value for _, value in branches(lambda ask: resolve(node, ask))]


def label(option: object) -> Option:
    """How an option is written where only scalars can stand.

    Its own value if scalar, else its `name`, else its JSON in one line.
    """
    if option is None or isinstance(option, str | int | float):
        return option
    if isinstance(option, Mapping) and isinstance(option.get("name"), str):
        return str(option["name"])
    return json.dumps(option)


def branches(
    run: Callable[[Ask], Any], known: Mapping[str, int] | None = None
) -> Iterator[tuple[dict[Choice, int], Any]]:
    """Run a function once for each combination of the choices it asks, in file order.

    Args:
        run: Asks choices and gives a result; which it asks may hang on earlier answers.
        known: Answers that are settled already, by name of the choice.

    Yields:
        The answers it newly asked for, in the order asked, and the result.
    """
    settled = known or {}
    prefix: list[int] = []
    while True:
        asked: dict[str, int] = {}
        order: list[Choice] = []

        def ask(
            choice: Choice,
            asked: dict[str, int] = asked,
            order: list[Choice] = order,
            prefix: list[int] = prefix,
        ) -> int:
            name = choice.name
            index = settled.get(name)
            if index is None:
                index = asked.get(name)
            if index is None:
                index = prefix[len(order)] if len(order) < len(prefix) else 0
                asked[name] = index
                order.append(choice)
            return index

        result = run(ask)
        yield {choice: asked[choice.name] for choice in order}, result
        while order and asked[order[-1].name] + 1 == len(order[-1].options):
            order.pop()
        if not order:
            return
        prefix = [asked[choice.name] for choice in order]
        prefix[-1] += 1


class _AskedError(Exception):
    """A choice that nobody answered yet; ends a run on its way."""

    def __init__(self, choice: Choice) -> None:
        super().__init__(choice.name)
        self.choice = choice


def follow(run: Callable[[Ask], Any], answers: Mapping[str, int]) -> tuple[Choice | None, Any]:
    """Run a function as far as the answers go.

    Args:
        run: As for `branches`.
        answers: By name of the choice.

    Returns:
        The first choice that is asked and not answered, and None; or None and the result.
    """

    def ask(choice: Choice) -> int:
        index = answers.get(choice.name)
        if index is None:
            raise _AskedError(choice)
        return index

    try:
        return None, run(ask)
    except _AskedError as asked:
        return asked.choice, None


def index_of(options: Sequence[Option], value: object) -> int:
    """Which option a value is: itself, or the only one that has its spelling.

    Args:
        options: Of one choice.
        value: An option, or what a file gives back for one: numbers as floats or as text, `true`
            and `false` as text, null as `null`, as nothing or as NaN.

    Raises:
        ValueError: None of them, or several.
    """
    for index, option in enumerate(options):
        is_same_kind = isinstance(option, bool) == isinstance(value, bool)
        if is_same_kind and isinstance(value, Option) and option == value:
            return index
    text = str(value)
    text = "null" if text in _NOTHING else text
    spelled = [index for index, option in enumerate(options) if text in _spellings(option)]
    if len(spelled) != 1:
        raise ValueError(value)
    return spelled[0]


_NOTHING = ("", "None", "nan", "<NA>")  # an empty cell as the csv module and pandas give it


def _spellings(option: Option) -> tuple[str, ...]:
    """How files write an option; Python's own spelling of booleans included."""
    if option is None:
        return ("null",)
    if isinstance(option, bool):
        return (str(option), str(option).lower())
    if isinstance(option, int):
        return (str(option), f"{option}.0")
    return (str(option),)
