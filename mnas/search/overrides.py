"""`key=value` texts of the command line that set keys of a file otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mnas.arch import Fault, InvalidFileError


class InvalidExperimentError(InvalidFileError):
    """An experiment file that cannot be run; names file, place, line and column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One `key=value` of the command line, such as `search.trials=50`."""

    key: str
    value: Any

    def applied_to(self, document: Any) -> Any:
        """The document with this key set otherwise; the one that was given is not changed.

        Raises:
            InvalidExperimentError: The key leads into something that has no keys.
        """
        return self._replaced(document, self.key.split("."))

    def _replaced(self, value: Any, keys: list[str]) -> Any:
        if not keys:
            return self.value
        first, rest = keys[0], keys[1:]
        if isinstance(value, list) and first.isdigit() and int(first) < len(value):
            index = int(first)
            return [
                self._replaced(item, rest) if each == index else item
                for each, item in enumerate(value)
            ]
        if value is None or isinstance(value, dict):
            inner = dict(value or {})
            inner[first] = self._replaced(inner.get(first), rest)
            return inner
        raise InvalidExperimentError(
            f"the override {self.key!r} leads into something that has no key {first!r}: {value!r}"
        )


def parse_override(text: str) -> Override:
    """Read `key=value`; the value as YAML, in one line.

    Raises:
        InvalidExperimentError: It is not written so.
    """
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise InvalidExperimentError(
            f"an override is written key=value, such as search.trials=50; got {text!r}"
        )
    return Override(key=key, value=_yaml_value(value, text))


def _yaml_value(value: str, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(value)
    except YAMLError as error:
        problem = str(getattr(error, "problem", error))
        raise InvalidExperimentError(
            f"the value of the override {text!r} is not YAML: {problem}"
        ) from None


def told(fault: Fault, place: str, changes: Sequence[Override]) -> Fault:
    """The fault at its place in the file, or in what was set on the command line."""
    if any(f"{place}.".startswith(f"{change.key}.") for change in changes):
        return Fault(place, f"{fault.problem} (set on the command line)")
    return Fault(place, fault.problem, fault.line, fault.column)
