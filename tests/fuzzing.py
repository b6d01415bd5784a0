"""Files that somebody or something broke: mutated text, mutated values, and known attacks."""

import random
from typing import Any

_TOKENS = (
    "[", "]", "{", "}", ":", ",", "-", "\n", " ", "  ", "&a ", "*a", "<<: *a", "!!python/name:os",
    "|", ">",
    "#", "'", '"', "\\", "\t", "null", "~", ".nan", ".inf", "-.inf", "1e999",
    "-1", "0", "0x7fffffff",
    "9" * 400, "1_000", "true", "no", "\x00", "\x07", "\ud7ff", "\ufeff", "\u2028",
    "---\n", "...\n", "%YAML 9.9\n",
    "each: [", "layer: ", "name: ", "\U0001f600", "? ", "@", "`",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 0.5, -0.0, 1e308, float("inf"), float("nan"),
    10**400, -(10**30), 2**31,
    2**63, "", "3", "relu", "identity", "\x00", "each", [], [[]], {}, [None], [1, 1],
    {"each": []}, {"each": [3]},
    {"each": {"each": [3]}}, [{"name": "a"}], {"": 0}, [3, [5]], "x" * 5000,
)  # fmt: skip


def mutated_text(text: str, rng: random.Random) -> bytes:
    """The text with some of its bytes or words replaced, cut, doubled or moved."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, length = rng.randrange(len(text) + 1), rng.randrange(1, 30)
        match rng.randrange(6):
            case 0:
                text = text[:at] + text[at + length :]
            case 1:
                text = text[:at] + rng.choice(_TOKENS) + text[at:]
            case 2:
                text = text[:at] + rng.choice(_TOKENS) + text[at + length :]
            case 3:
                text = text[:at] + text[at : at + 10 * length] + text[at:]
            case 4:
                text = text[:at]
            case 5:
                lines = text.split("\n")
                rng.shuffle(lines)
                text = (
                    "\n".join(lines)
                    if rng.random() < 0.1
                    else text[::-1]
                    if rng.random() < 0.05
                    else text
                )
        if not text:
            break
    raw = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at:]
    return raw


def mutated_value(value: Any, rng: random.Random) -> Any:
    """The document with some of its values replaced, removed, renamed, doubled or swapped."""
    places = list(_places(value))
    for _ in range(rng.choice((1, 1, 2, 3))):
        holder, key = rng.choice(places)
        try:
            _mutate(holder, key, rng, places)
        except (KeyError, IndexError):
            continue  # an earlier change took the place away
    return value


def _mutate(holder: Any, key: Any, rng: random.Random, places: list[tuple[Any, Any]]) -> None:
    match rng.randrange(6):
        case 0 | 1:
            holder[key] = rng.choice(_VALUES)
        case 2:
            del holder[key]
        case 3 if isinstance(holder, dict):
            holder[rng.choice(("", "op", "layer", "each", key + "x"))] = holder.pop(key)
        case 3:
            holder.insert(key, holder[key])
        case 4:
            other, its_key = rng.choice(places)
            holder[key] = _copied(other[its_key])
        case 5:
            holder[key] = [_copied(holder[key]), rng.choice(_VALUES)]


def _places(value: Any) -> Any:
    """Every (holder, key) below a value."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _copied(value: Any) -> Any:
    """A copy, so that no document holds itself."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def attacks() -> dict[str, bytes]:
    """Files that have hurt other readers, by what they do."""
    bomb = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    merges = ["a: &a {k0: 1, k1: 1, k2: 1, k3: 1}"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
        merges.append(
            f"{name}: &{name} {{" + ", ".join(f"{name}{i}: *{before}" for i in range(9)) + "}"
        )
    return {
        "alias bomb": "\n".join(bomb).encode(),
        "bomb of mappings": "\n".join(merges).encode(),
        "bomb of merges": ("a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * 200_000) + "]}").encode(),
        "alias of itself": b"a: &a {b: *a}",
        "merge of itself": b"a: &a {<<: *a}",
        "deep lists": b"[" * 100_000,
        "deep mappings": b"{a: " * 50_000,
        "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "deep closed lists": b"[" * 100_000 + b"]" * 100_000,
        "deep indentation": "\n".join(" " * i + "a:" for i in range(3000)).encode(),
        "huge integer": b"schema: mnas.space/1\nname: x\nnum_classes: " + b"9" * 100_000,
        "huge exponent": b"schema: mnas.space/1\nname: x\ndropout: 1e999999999",
        "sexagesimal": b"a: 190:20:30:40:50:60:10:20:30",
        "NUL": b"schema: mnas.space/1\nname: a\x00b\n",
        "only NUL": b"\x00" * 1000,
        "not UTF-8": b"schema: mnas.space/1\nname: \xff\xfe\x80\n",
        "UTF-16": "schema: mnas.space/1\n".encode("utf-16"),
        "byte order mark": b"\xef\xbb\xbf{}",
        "surrogate": b'{"name": "\\ud800"}',
        "empty": b"",
        "only a comment": b"# nothing\n",
        "two documents": b"a: 1\n---\nb: 2\n",
        "tag": b"!!python/object/apply:os.system [ls]",
        "directive": b"%YAML 3.0\n---\na: 1\n",
        "unknown tag": b"a: !secret x",
        "complex key": b"? [a, b]\n: 1\n",
        "binary": bytes(range(256)) * 40,
        "tabs": b"a:\n\t- b\n",
        "long line": b"name: " + b"x" * 2_000_000,
    }  # fmt: skip
