"""The header of a latency table's file: `# key: json` lines, what each may say, its checksum."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from mnas.arch import Fault
from mnas.latency.errors import LatencyTableError
from mnas.latency.reorders import Reorders
from mnas.latency.target import Calibration, Target, Verification

SCHEMA = "mnas.latency_table/1"
MOST_MS = 1e9  # twelve days: what is longer is no latency, and overflows what is worked out from it
_MOST_MACS = 10**18
_CHECKSUM = "header_sha256"
_Count = Annotated[int, Field(ge=0, le=10**9)]
_Amount = Annotated[float, Field(ge=0, le=MOST_MS)]

# Type of each header value; anything else in a header is an error.
_HEADER: dict[str, Any] = {
    "schema": str,
    "target": Target,
    "device": str,
    "runtime_version": str,
    "space": dict[str, str],
    "also": tuple[str, ...],
    "left_out": _Count | None,
    "measured_at": str | None,
    "protocol": dict[str, int | float],
    "pinned": dict[str, str | int | float | bool],
    "empty_ms": _Amount,
    "empty_wall_ms": _Amount,
    "reorders": Reorders | None,
    "drift": _Amount | None,
    "noise_floor": _Amount | None,
    "calibration": Calibration | None,
    "verification": Verification | None,
    "where": dict[str, str],
    "forced": tuple[str, ...],
    "edited": bool,
    "rows": _Count,
    "last_block_sha256": str,
    "rows_sha256": str,
    _CHECKSUM: str,
}


def with_checksum(header: Mapping[str, Any]) -> str:
    """Header lines of these values, the last of them their checksum."""
    text = "".join(f"# {key}: {json.dumps(value)}\n" for key, value in header.items())
    return f"{text}# {_CHECKSUM}: {json.dumps(sha256_of(text))}\n"


def is_as_written(header: Mapping[str, Any], lines: Sequence[str]) -> bool:
    """Whether header lines have the checksum that stands among them, if one does."""
    others = "".join(line for line in lines if not line.startswith(f"# {_CHECKSUM}:"))
    return bool(header.get(_CHECKSUM, sha256_of(others)) == sha256_of(others))


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_header(lines: list[str], source: str, faults: list[Fault]) -> tuple[dict[str, Any], int]:
    """Values of the header, and the index of the line after it."""
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header: dict[str, Any] = {}  # in the order of the lines: a key has one
    _check_schema(lines[0] if lines else "", source)
    for number, line in enumerate(lines[:end], start=1):
        key, colon, value = line[1:].partition(":")
        key = key.strip()
        if not colon or key not in _HEADER:
            known = ", ".join(_HEADER)
            faults.append(Fault("header", f"unknown key {key!r}; known: {known}", number, 1))
        elif key in header:
            faults.append(Fault(key, "is there twice", number, 1))
        else:
            header[key] = _header_value(key, value, number, faults)
    if "target" not in header:
        faults.append(Fault("target", "this header line is required", end, 1))
    if not faults:
        at = {key: number for number, key in enumerate(header, start=1)}
        faults += [
            Fault(place, problem, at[place.partition(".")[0]], 1)
            for place, problem in _impossible(header)
        ]
    return header, end


def _check_schema(first: str, source: str) -> None:
    expected = f'# schema: "{SCHEMA}"'
    if not first.strip():
        raise LatencyTableError(f"{source} is not a latency table: line 1 is empty; {_next_step()}")
    if not first.startswith("# schema:"):
        raise LatencyTableError(
            f"{source} is not a latency table: line 1 must be {expected}; "
            f"got {first.strip()[:80]!r}; {_next_step()}"
        )
    found = first.partition(":")[2].strip().strip('"')
    if found != SCHEMA:
        family, _, version = found.rpartition("/")
        newer = family == SCHEMA.rpartition("/")[0] and version.isdecimal() and version != "1"
        advice = "it was written by a newer mnas: update mnas" if newer else _next_step()
        raise LatencyTableError(
            f"{source}: line 1: schema must be {SCHEMA}; got {found[:80]!r}; {advice}"
        )


def _next_step() -> str:
    return "measure one with `mnas latency measure SPACE -o TABLE`"


def _header_value(key: str, text: str, number: int, faults: list[Fault]) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if key == "target":
            _check_fields(value)
        return TypeAdapter(_HEADER[key]).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join((key, *map(str, first["loc"])))
        message = first["msg"].replace("Input should be", "must be")
        faults.append(Fault(place, f"{message}; got {str(first['input'])[:80]}", number, 1))
    except ValueError as error:
        faults.append(Fault(key, f"not JSON, or impossible: {error}", number, 1))
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number a table can hold")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse_constant(text)
    return value


def _check_fields(target: Any) -> None:
    """A target is what a table is refused by: nothing of it is guessed."""
    known = list(Target.__dataclass_fields__)
    given = set(target) if isinstance(target, Mapping) else set(known)
    unknown, missing = sorted(given - {*known}), [n for n in known if n not in {*given, "name"}]
    if unknown:
        raise ValueError(f"unknown fields {unknown} of a target; known: {', '.join(known)}")
    if missing:
        raise ValueError(f"a target needs {', '.join(missing)} too")


def _impossible(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Values that are of the right type and that no measurement gives: place and problem."""
    calibration: Calibration | None = header.get("calibration")
    verification: Verification | None = header.get("verification")
    if (calibration is None) != (verification is None):
        lone = "verification" if calibration is None else "calibration"
        other = "calibration" if calibration is None else "verification"
        yield lone, f"comes of one measurement with the {other}, which is not here; got it alone"
    reorders: Reorders | None = header.get("reorders")
    for name, value in {} if reorders is None else asdict(reorders).items():
        if not 0 <= value <= MOST_MS:
            yield f"reorders.{name}", f"must be 0 to {MOST_MS:g}; got {value!r}"
    if calibration is not None:
        if not 0 < calibration.scale <= MOST_MS:
            problem = f"must be above 0, at most {MOST_MS:g}; got {calibration.scale!r}"
            yield "calibration.scale", problem
        if abs(calibration.offset_ms) > MOST_MS:
            problem = f"must be within {MOST_MS:g}; got {calibration.offset_ms!r}"
            yield "calibration.offset_ms", problem
    if verification is not None:
        yield from _impossible_networks(verification, header.get("empty_ms", 0.0))


def _impossible_networks(found: Verification, empty_ms: float) -> Iterator[tuple[str, str]]:
    if not 0 <= found.noise_floor <= MOST_MS:
        yield "verification.noise_floor", f"must be 0 or above; got {found.noise_floor!r}"
    if not 0 <= found.predicted_share <= 1:
        yield "verification.predicted_share", f"must be 0 to 1; got {found.predicted_share!r}"
    for index, network in enumerate(found.networks):
        place = f"verification.networks.{index}"
        for name in ("predicted_ms", "measured_ms"):
            ms = getattr(network, name)
            if not 0 < ms <= MOST_MS:
                yield f"{place}.{name}", f"must be above 0, at most {MOST_MS:g}; got {ms!r}"
        for name in ("macs", "resolution"):
            value = getattr(network, name)
            if not 0 < value <= _MOST_MACS:
                yield f"{place}.{name}", f"must be above 0, at most {_MOST_MACS:g}; got {value}"
    fastest = min((network.measured_ms for network in found.networks), default=math.inf)
    if empty_ms >= fastest:
        yield (
            "empty_ms",
            "an empty call takes less than any network, and the fastest that was timed took "
            f"{fastest:g} ms; got {empty_ms!r}",
        )
