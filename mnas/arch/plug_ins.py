"""What installed packages add to mnas, as entry points say it; nothing is imported until asked."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from mnas.arch.errors import MnasError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugIn:
    """One thing that a package adds.

    Attributes:
        where: What errors call it: its kind, name, package and place.
        error: What is raised where it cannot be used.
        entry: The entry point.
    """

    where: str
    error: type[MnasError]
    entry: Any

    def load(self) -> Any:
        """Import it.

        Raises:
            MnasError: `error`, whatever the import of a stranger's module raises.
        """
        try:
            return self.entry.load()
        except Exception as error:
            problem = f"cannot be loaded: {type(error).__name__}: {error}"
            raise self.error(f"{self.where} {problem}") from error


def plug_ins(
    group: str, kind: str, *, taken: Container[str], error: type[MnasError]
) -> dict[str, PlugIn]:
    """What installed packages add to a group, by name.

    Args:
        group: Of entry points.
        kind: What errors call such a thing, such as `block operator`.
        taken: Names that no package may take.
        error: What is raised.

    Raises:
        MnasError: `error`, where a name is taken or two packages have one.
    """
    from importlib.metadata import entry_points  # 0.05 s that most processes need not spend

    found: dict[str, PlugIn] = {}
    for entry in sorted(entry_points(group=group), key=lambda each: each.name):
        of = f"the package {entry.dist.name}" if entry.dist is not None else "an installed package"
        where = f"the {kind} {entry.name!r} of {of} ({entry.value})"
        if entry.name in taken or entry.name in found:
            noun = kind.split()[-1]
            article = "an" if noun[0] in "aeiou" else "a"
            raise error(f"{where}: there is {article} {noun} of that name already")
        found[entry.name] = PlugIn(where=where, error=error, entry=entry)
    return found
