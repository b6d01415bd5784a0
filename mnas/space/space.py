"""SearchSpace: the architectures that a file allows, as a value."""

import copy
import functools
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mnas.arch import Architecture, Fault, PlannedBlock
from mnas.arch.errors import did_you_mean, not_an_architecture
from mnas.space import encoding, lint, shapes, variation
from mnas.space.automaton import Automaton, Identified, automaton_of
from mnas.space.cheapest import cheapest_choices
from mnas.space.checking import check
from mnas.space.choices import Choice, Option, branches, index_of, values_of
from mnas.space.distinct import DistinctArchitectures
from mnas.space.errors import InvalidChoicesError, OutsideSpaceError
from mnas.space.merging import merge_space
from mnas.space.sizes import Size, size_of
from mnas.space.skeleton import SkeletonPart, skeleton_of
from mnas.space.templates import all_choices
from mnas.space.walking import Paths
from mnas.space.yaml_document import YamlDocument

if TYPE_CHECKING:
    from mnas.space.compiled import CompiledSpace


class Trial(Protocol):
    """What `suggest` asks of an optuna trial."""

    def suggest_categorical(self, name: str, choices: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class SearchSpace:
    """The architectures that a search space file allows; immutable, equal when digests are.

    Made by `load_space`.

    Attributes:
        document: The file as it was read.
    """

    document: YamlDocument = field(repr=False)
    _identified: Identified = field(repr=False)
    _choices: dict[str, Choice] = field(repr=False)

    @classmethod
    def of(cls, document: YamlDocument) -> "SearchSpace":
        """The space of a document that `load_space` has checked."""
        template, faults = merge_space(document.value)
        assert not faults, faults
        return cls(document, Identified(template), all_choices(template))

    @property
    def name(self) -> str:
        """The name in the file; architectures of the space carry it."""
        return str(self.document.value["name"])

    @property
    def source(self) -> str:
        """Where the space comes from, as the file says; empty if it does not."""
        return str(self.document.value.get("source", ""))

    @property
    def published_size(self) -> str:
        """How large its paper says it is, and why that differs; empty if the file does not say."""
        return str(self.document.value.get("published_size", ""))

    @property
    def path(self) -> str:
        """The file that it was read from."""
        return self.document.path

    @property
    def digest(self) -> str:
        """sha256 (hex) of what the file says; comments, aliases and words for people left out."""
        words = ("source", "published_size")
        said = {key: value for key, value in self.document.value.items() if key not in words}
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def choices(self) -> Mapping[str, tuple[Option, ...]]:
        """Every choice that can be active, with its options, in file order."""
        return {name: choice.options for name, choice in self._choices.items()}

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Every input resolution of the space, in pixels, ascending."""
        networks = self._identified.template.networks
        return tuple(sorted({side for one in networks for side in values_of(one.resolution)}))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def sample(self, rng: random.Random, *, distinct: bool = False) -> Architecture:
        """A random architecture: every active choice uniform among its options.

        Args:
            rng: Draws.
            distinct: Draw each distinct architecture with the same probability instead, exactly:
                a network is no likelier for having many encodings, nor for being shallow.

        Raises:
            TooManyStepsError: The distinct ones cannot be told apart within the limit of `size`.
        """
        if not isinstance(rng, random.Random):
            raise TypeError(f"sample takes a random.Random, such as random.Random(0); got {rng!r}")
        if distinct:
            return _distinct(self).draw(rng, self.name)
        return self._paths.draw(rng.random)

    def sample_choices(self, rng: random.Random) -> dict[str, Option]:
        """Random active choices; `decode` gives what `sample` gives from the same numbers."""
        draw = rng.random
        _, chosen = self._paths.walk(lambda choice: int(draw() * len(choice.options)))
        return {name: self._choices[name].options[index] for name, index in chosen.items()}

    def suggest(self, trial: Trial) -> Architecture:
        """The architecture that an optuna trial suggests; it is asked for active choices only."""

        def choose(choice: Choice) -> int:
            options = choice.options
            return index_of(options, trial.suggest_categorical(choice.name, options))

        return self._paths.walk(choose)[0]

    def decode(self, choices: Mapping[str, Option]) -> Architecture:
        """The architecture of some choices.

        Args:
            choices: At least the active ones; inactive ones are ignored. An option may also be
                spelled as a CSV gives it back: `3.0` or `"3"` for 3, `"true"` for true, and
                `"null"`, empty text or NaN for null.

        Raises:
            InvalidChoicesError: A name is unknown, an active one is missing, or a value is not
                among its options; tells all of them.
        """
        if not isinstance(choices, Mapping):
            raise TypeError(
                "decode takes a mapping of the names of choices to options, such as "
                f"space.encode(architecture) gives; got {choices!r}"
            )
        faults = []
        for name in choices:
            if name not in self._choices:
                faults.append(f"{name}: unknown choice{did_you_mean(name, self._choices)}")

        def choose(choice: Choice) -> int:
            try:
                return index_of(choice.options, choices[choice.name])
            except KeyError:
                faults.append(f"{choice.name}: missing; options: {_listed(choice)}")
            except ValueError:
                got = choices[choice.name]
                faults.append(f"{choice.name}: got {got!r}; options: {_listed(choice)}")
            return 0

        arch, _ = self._paths.walk(choose)
        if faults:
            lines = "".join(f"\n  {fault}" for fault in faults)
            raise InvalidChoicesError(f"not the choices of an architecture of {self.name}:{lines}")
        return arch

    def encode(self, arch: Architecture) -> dict[str, Option]:
        """The active choices that give an architecture; the first that fit in file order.

        Raises:
            OutsideSpaceError: The space does not hold it; names the first field outside.
        """
        found = encoding.encode(self._automaton, _architecture(arch, "encode"))
        if found is None:
            raise OutsideSpaceError(f"{arch.name} is not in {self.name}: {self.why_not(arch)}")
        return found

    def contains(self, arch: Architecture) -> bool:
        """Whether some choices give this architecture; names do not matter."""
        return encoding.encode(self._automaton, _architecture(arch, "contains")) is not None

    def why_not(self, arch: Architecture) -> str:
        """The first field of an architecture that the space does not allow, and what it allows.

        Returns:
            Such as `blocks.3.kernel: got 7; allowed here: 3, 5`; empty for one of the space's.
        """
        return encoding.first_outside(self._automaton, _architecture(arch, "why_not"))

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """The architectures that differ in one choice, without repetition, in file order.

        What the changed choice newly activates (the layers of a deeper stage) repeats the layer
        before, if it can, and takes the first option otherwise.

        Raises:
            OutsideSpaceError: The space does not hold the architecture.
        """
        return list(variation.neighbours(self._paths, self._choices, arch, self.encode(arch)))

    def mutate(self, arch: Architecture, rng: random.Random) -> Architecture:
        """A random neighbour: one active choice changed; the same architecture if it has none.

        The choice is uniform among the active ones, its new option among the others.

        Raises:
            OutsideSpaceError: The space does not hold the architecture.
        """
        return variation.mutated(self._paths, self._choices, arch, self.encode(arch), rng)

    def cross(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """Uniform crossover: each choice that both parents have comes from either.

        What only one has comes from that one; what neither has is completed as in `neighbours`.

        Raises:
            OutsideSpaceError: The space does not hold a parent.
        """
        return variation.crossed(self._paths, self.encode(first), self.encode(second), rng)

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture, one for each encoding, in file order; equal ones come again."""
        paths = self._paths
        for _, arch in branches(lambda ask: paths.walk(ask)[0]):
            yield arch

    def cheapest(self, cost: Callable[[PlannedBlock], float]) -> Architecture:
        """The architecture with the least sum of the costs of its blocks: exactly.

        Args:
            cost: Of one planned block, not below zero; milliseconds of a table, or MACs. Asked
                once for each reachable block.
        """
        return self.decode(cheapest_choices(self._automaton, cost))

    def size(self) -> Size:
        """How many encodings and how many distinct architectures, exactly."""
        return _size(self)

    def compile(self) -> "CompiledSpace":
        """The same space over encodings as uint8 arrays, for millions of networks a second.

        Worked out once for each space; later calls give the same value.

        Raises:
            TooManyStepsError: Its tables would be too large.
        """
        return _compiled(self)

    def skeleton(self) -> tuple[SkeletonPart, ...]:
        """What follows what, and what each part may be: to be looked at."""
        return tuple(skeleton_of(self._identified.template))

    def reachable_blocks(self) -> dict[str, PlannedBlock]:
        """Every planned block, by key, that some architecture of the space contains: exactly."""
        return shapes.reachable_blocks(self._identified.template)

    def warnings(self) -> list[Fault]:
        """Choices and fields that can never matter, with their place in the file."""
        return lint.warnings(self._identified.template, self.document)

    def for_data(self, num_classes: int, channels: int) -> "SearchSpace":
        """The same space for other data.

        Args:
            num_classes: Classes of the data.
            channels: 1 for grey images, 3 for colour.

        Raises:
            InvalidChoicesError: A number is no integer, below 1, or larger than any file may say.
        """
        if any(type(number) is not int or number < 1 for number in (num_classes, channels)):
            raise InvalidChoicesError(
                "num_classes and channels must be integers of at least 1; "
                f"got {num_classes=}, {channels=}"
            )
        value = copy.deepcopy(self.document.value)
        value["num_classes"] = num_classes
        for holder in (value, *value.get("network", [])):
            if "input" in holder:
                holder["input"]["channels"] = channels
            if holder is not value:
                holder.pop("num_classes", None)
        if found := [f"{place[-1]} {problem}" for place, problem, _ in check(value)]:
            raise InvalidChoicesError("; ".join(dict.fromkeys(found)))
        document = YamlDocument(
            path=self.document.path,
            value=value,
            values_at=self.document.values_at,
            keys_at=self.document.keys_at,
        )
        return SearchSpace.of(document)

    @property
    def _automaton(self) -> Automaton:
        return automaton_of(self._identified)

    @property
    def _paths(self) -> Paths:
        return _paths_of(self._identified)


@functools.lru_cache(maxsize=16)
def _paths_of(space: Identified) -> Paths:
    return Paths(automaton_of(space))


@functools.lru_cache(maxsize=16)
def _compiled(space: SearchSpace) -> "CompiledSpace":
    from mnas.space.compiled import compile_space  # numpy is loaded by those who need it

    return compile_space(space, automaton_of(space._identified), space._choices)


@functools.lru_cache(maxsize=4)
def _distinct(space: SearchSpace) -> DistinctArchitectures:
    return DistinctArchitectures(automaton_of(space._identified))


@functools.lru_cache(maxsize=16)
def _size(space: SearchSpace) -> Size:
    return size_of(automaton_of(space._identified))


def _listed(choice: Choice) -> str:
    return ", ".join(json.dumps(option) for option in choice.options)


def _architecture(value: Architecture, asked_by: str) -> Architecture:
    if not isinstance(value, Architecture):
        raise not_an_architecture(value, asked_by)
    return value
