"""Options and arguments that several commands share, and what is read from them."""

import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.arch import Architecture, InvalidArchitectureError, MnasError

if TYPE_CHECKING:
    from mnas.space import SearchSpace
    from mnas.training import DataSpec

_COLONS = {"hf": 1, "python": 2, "synthetic": 1, "torchvision": 1}  # that belong to a source


def _show_help(context: typer.Context, asked: bool) -> None:
    if asked:
        typer.echo(context.get_help())
        raise typer.Exit


# For groups, which are made with `add_help_option=False`: typer's own option of a group is turned
# into a value by pydantic at every call, which doubles the time of a command's `--help`.
GroupHelp = Annotated[
    bool,
    typer.Option("--help", is_eager=True, callback=_show_help, help="Show this message and exit."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
SpaceArgument = Annotated[
    str, typer.Argument(metavar="SPACE", help="A space file, or the name of a shipped space.")
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of a run, as `mnas search` writes it.")
]
Pick = Annotated[str, typer.Option("--pick", metavar="best|ID", help="Which network of the run.")]
NumClasses = Annotated[
    int | None,
    typer.Option(min=1, help="Classes of the data, instead of the space's own number."),
]
Channels = Annotated[
    int | None,
    typer.Option(min=1, help="Image channels of the data, instead of the space's own number."),
]


class UnreadableArchitectureError(MnasError):
    """An architecture that a person named and that cannot be read."""


class InterruptedCommandError(MnasError):
    """Somebody pressed Ctrl-C; says what is saved and what to type to go on."""

    exit_code = 130


@contextlib.contextmanager
def saved_when_interrupted(message: str) -> Iterator[None]:
    """Turn Ctrl-C into a message that says what is saved and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedCommandError(message) from None


def refuse_overwriting(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse an output that would replace what it is made from.

    Raises:
        MnasError: It is one of the inputs.
    """
    if any(output.resolve() == each.resolve() for each in inputs):
        raise MnasError(f"{output} is what is read: name another file to write")


def is_run(subject: str) -> bool:
    """Whether `RUN|ARCH.json` is a run's folder; otherwise it can be read as an architecture.

    Raises:
        UnreadableArchitectureError: It is neither.
    """
    path = Path(subject).expanduser()
    if path.is_dir():
        return True
    if not path.is_file():
        from mnas.space import published

        if subject not in published():
            raise UnreadableArchitectureError(
                f"{subject} is neither the folder of a run nor an architecture document: there is "
                "no such file"
            )
    return False


def read_architecture(subject: str) -> Architecture:
    """The architecture a person names: a document, or a published network.

    Args:
        subject: Path of an architecture document, or a published network's name.

    Raises:
        UnreadableArchitectureError: There is no such file, or it cannot be read.
        InvalidArchitectureError: The file is no architecture; names file and places.
        UnknownNameError: No published network has that name; lists those that are known.
    """
    path = Path(subject).expanduser()
    if not path.exists() and path.suffix != ".json" and len(path.parts) == 1:
        from mnas.space import load_published

        return load_published(subject)
    try:
        text = path.read_bytes()
    except IsADirectoryError:
        raise UnreadableArchitectureError(
            f"{path} is a folder. Give an architecture document in it, or the name of a published "
            "network such as mobilenet_v2"
        ) from None
    except OSError as error:
        raise UnreadableArchitectureError(
            f"cannot read the architecture {path}: {error.strerror}. Give an architecture "
            "document, or the name of a published network such as mobilenet_v2"
        ) from None
    try:
        return Architecture.from_json(text)
    except InvalidArchitectureError as error:
        subject = f"{path} is not an architecture (schema mnas.architecture/1):"
        raise InvalidArchitectureError(subject, error.faults) from None


def read_space(
    subject: str, num_classes: int | None = None, channels: int | None = None
) -> "SearchSpace":
    """The space a person names, for their data's classes and channels if they say so.

    Raises:
        InvalidSpaceError: There is no such space, or its file is faulty.
    """
    from mnas.space import load_space

    space = load_space(subject)
    if num_classes is None and channels is None:
        return space
    own = space.sample(random.Random(0))
    return space.for_data(
        num_classes=num_classes or own.num_classes, channels=channels or own.input.channels
    )


def spec_of(text: str) -> "DataSpec":
    """Read `SOURCE[:PATH]`; some sources have colons of their own, such as `python:module:load`."""
    from mnas.training import DataSpec

    parts = text.split(":")
    own = _COLONS.get(parts[0], 0) + 1
    return DataSpec(source=":".join(parts[:own]), path=":".join(parts[own:]) or None)
