"""From a file to a search space, with every fault of the file told at once."""

from pathlib import Path
from typing import Any

from mnas.arch import Fault, InvalidFileError, UnknownNameError, shipped_folder
from mnas.space.checking import Found, check
from mnas.space.combinations import shape_faults
from mnas.space.errors import InvalidSpaceError
from mnas.space.mending import mend
from mnas.space.merging import merge_space
from mnas.space.space import SearchSpace
from mnas.space.yaml_document import Place, YamlDocument, parse_yaml, read_yaml


def load_space(path_or_shipped_name: str | Path) -> SearchSpace:
    """Load a search space (schema `mnas.space/1`).

    Args:
        path_or_shipped_name: A file, or the bare name of a space that ships with mnas.

    Raises:
        InvalidSpaceError: The file is not a search space; names every fault with line and column.
        UnknownNameError: There is no such file and no such shipped space.
    """
    if not isinstance(path_or_shipped_name, str | Path):
        raise TypeError(
            f"load_space takes a path or the name of a shipped space; got {path_or_shipped_name!r}"
        )
    path = _path_of(path_or_shipped_name)
    try:
        document = read_yaml(path)
    except InvalidFileError as error:
        subject = str(error).partition("\n")[0]
        faults = list(error.faults)
        if not path.exists() and path.stem in shipped_spaces():
            hint = f"the space that ships with mnas has no suffix and no folder: {path.stem!r}"
            faults.append(Fault("", hint))
        raise InvalidSpaceError(subject, faults) from None
    return space_of(document)


def space_of(document: YamlDocument) -> SearchSpace:
    """The space that a document says; see `load_space`."""
    faults = [_fault(document, *found) for found in _all_found(document.value)]
    if faults:
        faults.sort(key=lambda fault: (fault.line or 0, fault.column or 0))
        raise InvalidSpaceError(f"{document.path} is not a search space:", faults)
    return SearchSpace.of(document)


def _all_found(value: Any) -> list[Found]:
    """Every fault of a document: of its grammar, its missing fields, its shapes."""
    found = list(check(value))
    mended = mend(value, found)
    if mended is None:
        return found
    whole, doubts = mended
    template, missing = merge_space(whole)
    unsure = doubts if found else None
    told = {place for place, _, _ in found}
    for place, problem in (*missing, *shape_faults(template, unsure)):
        if place not in told:
            found.append((place, problem, False))
    return found


def space_from_yaml(text: str, path: str = "<text>") -> SearchSpace:
    """The space that a text says; see `load_space`."""
    try:
        document = parse_yaml(text, path)
    except InvalidFileError as error:
        raise InvalidSpaceError(str(error).partition("\n")[0], error.faults) from None
    return space_of(document)


def shipped_spaces() -> list[str]:
    """Names of the search spaces that ship with mnas."""
    return sorted(path.stem for path in shipped_folder("search_spaces").glob("*.yaml"))


def _path_of(given: str | Path) -> Path:
    path = Path(given).expanduser()
    is_bare = isinstance(given, str) and path.suffix == "" and path.name == given
    if not is_bare or path.is_file():
        return path
    if given not in shipped_spaces():
        if path.is_dir():
            return path
        raise UnknownNameError("search space", str(given), shipped_spaces())
    return shipped_folder("search_spaces") / f"{given}.yaml"


def _fault(document: YamlDocument, place: Place, problem: str, key: bool = False) -> Fault:
    line, column = document.locate(place, key=key) or (None, None)
    return Fault(".".join(map(str, place)), problem, line, column)
