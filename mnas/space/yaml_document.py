"""YAML in, plain values and the place of each of them out. Safe: no tags, no expansion bombs.

YAML 1.2 (`no` is text, `1e-3` a number). The parser's events are read here and not a loader's
result, because only they say where an alias stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

from mnas.arch import Fault, InvalidFileError

Position = tuple[int, int]  # line, column; both 1-based
Step = str | int
Place = tuple[Step, ...]

MOST_VALUES = 100_000
MOST_LEVELS = 60
MOST_BYTES = 256 * 1024  # the parser takes a second for as much
_READABLE = ("null", "bool", "int", "float", "str", "merge")


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """A YAML file as plain values that know where they stand.

    Attributes:
        path: The file it was read from.
        value: Dictionaries with text keys, lists, text, numbers, booleans and None.
        values_at: Line and column of each value; what came by an alias stands at the alias.
        keys_at: Line and column of each key of a mapping.
    """

    path: str
    value: Any
    values_at: dict[Place, Position] = field(repr=False)
    keys_at: dict[Place, Position] = field(repr=False)

    def locate(self, place: Place, *, key: bool = False) -> Position | None:
        """Line and column (1-based) of a value, or of the nearest that holds it.

        Args:
            place: Keys and indices from the top, such as `("stages", 0, "kernel")`.
            key: Point at the key instead of at its value.
        """
        if key and place in self.keys_at:
            return self.keys_at[place]
        while place and place not in self.values_at:
            place = place[:-1]
        return self.values_at.get(place)


def read_yaml(path: str | Path) -> YamlDocument:
    """Read a YAML file safely.

    Args:
        path: A UTF-8 file with one document.

    Returns:
        Its value, and where each part of it stands.

    Raises:
        InvalidFileError: The file is missing, is not UTF-8 or not YAML, repeats a key, is larger
            than 256 KiB, or its aliases expand to more than a hundred thousand values; names the
            line and the column.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            problem = f"larger than {MOST_BYTES // 1024} KiB; no file of mnas is as large"
            raise InvalidFileError.at(f"{path} cannot be read:", "", problem)
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFileError.at(
            f"{path} cannot be read:", "", f"not UTF-8 text ({error.reason} at byte {error.start})"
        ) from None
    except IsADirectoryError:
        raise InvalidFileError.at(
            f"{path} cannot be read:", "", "it is a folder; name a file in it"
        ) from None
    except OSError as error:
        raise InvalidFileError.at(
            f"{path} cannot be read:", "", error.strerror or str(error)
        ) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, path: str = "<text>") -> YamlDocument:
    """Read YAML from text; see `read_yaml`."""
    yaml = YAML(typ="safe", pure=True)
    try:
        reader = _Reader(yaml)
        reader.read(yaml.parse(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        problem = error.problem or error.context or "not YAML"
        raise InvalidFileError(f"{path} is not YAML:", [Fault("", problem, *where)]) from None
    except ReaderError as error:
        code, at = f"{error.character:#04x}", error.position
        problem = f"not text: character {at} has the code {code}, which no YAML file may hold"
        raise InvalidFileError(f"{path} is not YAML:", [Fault("", problem)]) from None
    except YAMLError as error:
        raise InvalidFileError(f"{path} is not YAML:", [Fault("", str(error))]) from None
    except _UnreadableError as error:
        fault = _fault(error.problem, error.position, error.place)
        raise InvalidFileError(f"{path} cannot be read:", [fault]) from None
    if reader.repeated:
        raise InvalidFileError(f"{path} cannot be read:", reader.repeated)
    return YamlDocument(
        path=path, value=reader.value, values_at=reader.values_at, keys_at=reader.keys_at
    )


def _fault(problem: str, position: Position, place: Place) -> Fault:
    return Fault(".".join(map(str, place)), problem, *position)


class _UnreadableError(Exception):
    def __init__(self, problem: str, position: Position, place: Place = ()) -> None:
        super().__init__(problem)
        self.problem, self.position, self.place = problem, position, place


@dataclass(slots=True)
class _Node:
    """A node of the file: text of a scalar, items of a sequence, or pairs of a mapping."""

    at: Position
    scalar: Any = None
    items: "list[_Node] | None" = None
    pairs: "list[tuple[_Node, _Node]] | None" = None
    alias_at: Position | None = None
    target: "_Node | None" = None


class _Reader:
    """Composes a parser's events into nodes, and expands the nodes into values and places."""

    def __init__(self, yaml: YAML) -> None:
        self._yaml = yaml
        self._anchors: dict[str, _Node] = {}
        self._open: list[_Node] = []
        self._count = 0
        self.value: Any = None
        self.values_at: dict[Place, Position] = {}
        self.keys_at: dict[Place, Position] = {}
        self.repeated: list[Fault] = []

    def read(self, events: Iterator[Any]) -> None:
        """Read the events as they come, so that what nests too deep is not parsed to its end."""
        body = _within_one_document(events)
        first = next(body, None)
        if first is not None:
            node = self._node(first, body, 0)
            next(body, None)  # a second document, or what cannot be parsed, is found here
            self.value = self._expand(node, (), None)

    def _node(self, event: Any, events: Iterator[Any], level: int) -> _Node:
        kind = type(event).__name__
        if level > MOST_LEVELS:
            raise _UnreadableError(f"nested deeper than {MOST_LEVELS} levels", _at(event))
        if kind == "AliasEvent":
            target = self._anchors.get(event.anchor)
            if target is None or any(target is node for node in self._open):
                problem = f"the alias *{event.anchor} has no anchor that ends before it"
                raise _UnreadableError(problem, _at(event))
            return _Node(at=_at(event), alias_at=_at(event), target=target)
        node = _Node(at=_at(event))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if kind == "ScalarEvent":
            node.scalar = self._scalar(event)
            return node
        if event.tag is not None:
            raise _UnreadableError(f"tags are not allowed; got {event.tag}", _at(event))
        self._open.append(node)
        if kind == "SequenceStartEvent":
            node.items = []
            while type(following := next(events)).__name__ != "SequenceEndEvent":
                node.items.append(self._node(following, events, level + 1))
        else:
            node.pairs = []
            while type(following := next(events)).__name__ != "MappingEndEvent":
                key = self._node(following, events, level + 1)
                node.pairs.append((key, self._node(next(events), events, level + 1)))
        self._open.pop()
        return node

    def _scalar(self, event: Any) -> Any:
        if event.tag is not None:
            raise _UnreadableError(f"tags are not allowed; got {event.tag}", _at(event))
        tag = str(self._yaml.resolver.resolve(ScalarNode, event.value, event.implicit))
        kind = tag.rpartition(":")[2]
        if kind not in _READABLE:
            return event.value  # a date is text
        if kind == "merge":
            return _MERGE
        node = ScalarNode(tag, event.value, start_mark=event.start_mark)
        try:
            return self._yaml.constructor.construct_object(node)
        except ValueError:  # more digits than Python reads
            problem = f"cannot be read as a number; got {event.value[:20]}..."
            raise _UnreadableError(problem, _at(event)) from None

    def _expand(self, node: _Node, place: Place, alias_at: Position | None) -> Any:
        """The value of a node; what came by an alias stands where the outermost alias is."""
        if node.target is not None:
            return self._expand(node.target, place, alias_at or node.alias_at)
        at = alias_at or node.at
        self._count += 1
        if self._count > MOST_VALUES:
            problem = f"more than {MOST_VALUES} values, aliases expanded"
            raise _UnreadableError(problem, at, place)
        self.values_at[place] = at
        if node.items is not None:
            return [
                self._expand(item, (*place, index), alias_at)
                for index, item in enumerate(node.items)
            ]
        if node.pairs is not None:
            return self._mapping(node.pairs, place, alias_at)
        return "<<" if node.scalar is _MERGE else node.scalar

    def _mapping(
        self, pairs: list[tuple[_Node, _Node]], place: Place, alias_at: Position | None
    ) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key, item in pairs:
            name, at = key.scalar, alias_at or key.at
            if name is _MERGE:
                continue
            if not isinstance(name, str):
                raise _UnreadableError(f"keys must be text; got {name!r}", at, place)
            if name in value:
                self.repeated.append(_fault("this key is given twice", at, (*place, name)))
                continue
            self.keys_at[*place, name] = at
            value[name] = self._expand(item, (*place, name), alias_at)
        for key, item in pairs:
            if key.scalar is _MERGE:
                self._merge(item, value, place, alias_at)
        return value

    def _merge(
        self, node: _Node, value: dict[str, Any], place: Place, alias_at: Position | None
    ) -> None:
        """Add the keys of `<<`: those already there win, then those of earlier mappings."""
        at = alias_at or node.alias_at
        while node.target is not None:
            node = node.target
        if node.items is not None:
            for item in node.items:
                self._merge(item, value, place, at)
            return
        if node.pairs is None:
            raise _UnreadableError("`<<` needs a mapping or a list of mappings", node.at, place)
        own = set(value)
        for key, item in node.pairs:
            if key.scalar is _MERGE:
                self._merge(item, value, place, at)
            elif isinstance(key.scalar, str) and key.scalar not in own:
                self.keys_at[*place, key.scalar] = at or key.at
                value[key.scalar] = self._expand(item, (*place, key.scalar), at)


def _within_one_document(events: Iterator[Any]) -> Iterator[Any]:
    """The events of the nodes; a second document is refused."""
    documents = 0
    for event in events:
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            documents += 1
            if documents > 1:
                raise _UnreadableError("a second document begins; one is allowed", _at(event))
        elif kind not in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
            yield event


_MERGE = object()


def _at(event: Any) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1
