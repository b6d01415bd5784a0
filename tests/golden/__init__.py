"""Counts that mnas did not compute: ten networks for one mechanism each, and all that ship."""

import csv
from pathlib import Path
from typing import NamedTuple

from mnas.arch import Architecture

_FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in (_FOLDER / "architectures").glob("*.json")))


def document(name: str) -> str:
    """The architecture document of a published network, as text."""
    return (_FOLDER / "architectures" / f"{name}.json").read_text()


def architecture(name: str) -> Architecture:
    """A published network."""
    return Architecture.from_json(document(name))


def counts() -> list[tuple[str, str, int]]:
    """(network, attribute of `Counts`, value) for each row of `counts.csv`."""
    with (_FOLDER / "counts.csv").open(newline="") as file:
        return [
            (row["network"], row["quantity"], int(row["value"])) for row in csv.DictReader(file)
        ]


class Published(NamedTuple):
    """A figure that somebody else published of a network that ships."""

    network: str
    quantity: str
    value: int
    tolerance: int


def published() -> list[Published]:
    """The rows of `published.csv`; tolerance is half of the last digit that was printed."""
    with (_FOLDER / "published.csv").open(newline="") as file:
        return [
            Published(row["network"], row["quantity"], int(row["value"]), int(row["tolerance"]))
            for row in csv.DictReader(file)
        ]
