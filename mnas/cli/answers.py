"""What a command answers: text for a person, or one JSON document, on stdout and nothing else."""

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Where the answer of a command goes, and in which form."""

    out: TextIO
    as_json: bool

    def give(self, value: Any, lines: Callable[[], Iterable[str]]) -> None:
        """Write the answer, now.

        Args:
            value: What the JSON document says; dataclasses become objects of their attributes.
            lines: The same for a person.
        """
        if self.as_json:
            self.out.write(json.dumps(to_plain(value), indent=1) + "\n")
        else:
            self.out.writelines(f"{line}\n" for line in lines())
        self.out.flush()


@contextlib.contextmanager
def answering(as_json: bool) -> Iterator[Answer]:
    """Keep stdout for the answer alone; what a library prints meanwhile goes to stderr."""
    answer = Answer(out=sys.stdout, as_json=as_json)
    with contextlib.redirect_stdout(sys.stderr):
        yield answer


def to_plain(value: Any) -> Any:
    """A value as JSON types; attributes hidden from `repr` are left out, NaN becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name))
            for field in fields(value)
            if field.repr
        }
    if isinstance(value, Mapping):
        return {str(key): to_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
