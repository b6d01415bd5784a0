"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their Python version, read without unpickling.

The files are pickles, and loading a pickle runs what it says. Here nothing is loaded: `pickletools`
of the standard library splits the bytes into opcodes, without carrying them out, and the few that
these files need are followed below on a stack of plain values. A name in the file (`GLOBAL`)
becomes the text of that name and is never imported or called; any other name, and any other opcode,
refuses the file. What says that it is a numpy array gives its bytes, shape and type code, which are
checked before numpy sees them.
"""

import math
import pickletools
import tarfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnas.training.source_files import existing, labelled_of
from mnas.training.sources import Labelled, Pool
from mnas.training.specs import DataError, DataSpec

_SIDE = 32
_AGAIN = "get the file again"
_LARGEST = 2**30  # bytes of one file; CIFAR-100's training images are 155 MB
_ARRAYS = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_NAMES = (*_ARRAYS, "numpy ndarray", "numpy dtype", "_codecs encode")


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one of the two lays out its files."""

    train: tuple[str, ...]
    test: str
    meta: str
    labels: str
    names: str


_LAYOUTS = (
    _Layout(
        tuple(f"data_batch_{number}" for number in range(1, 6)),
        "test_batch",
        "batches.meta",
        "labels",
        "label_names",
    ),
    _Layout(("train",), "test", "meta", "fine_labels", "fine_label_names"),
)


def cifar(spec: DataSpec) -> Pool:
    """CIFAR-10 or CIFAR-100: the folder of the Python version, or its .tar.gz as it was downloaded.

    CIFAR-100 has its 100 fine labels. The test batch is the test split.
    """
    path = existing(spec, "the folder of CIFAR's Python version, or cifar-10-python.tar.gz")
    files = _folder(path) if path.is_dir() else _archive(path)
    for layout in _LAYOUTS:
        needed = (*layout.train, layout.test, layout.meta)
        if layout.meta in files:
            break
    else:
        raise DataError(f"{path}: no batches.meta (CIFAR-10) and no meta (CIFAR-100) in it")
    missing = [name for name in needed if name not in files]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} is missing; get the data set again")
    batches = [_batch(files[name](), layout, f"{path}: {name}") for name in layout.train]
    train = Labelled(
        images=np.concatenate([each.images for each in batches]),
        labels=np.concatenate([each.labels for each in batches]),
    )
    meta = read_plain_pickle(files[layout.meta](), f"{path}: {layout.meta}")
    names = meta.get(layout.names) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: {layout.meta} has no list {layout.names!r}; {_AGAIN}")
    return Pool(
        origin=str(path),
        train=train,
        test=_batch(files[layout.test](), layout, f"{path}: {layout.test}"),
        class_names=tuple(names),
    )


def _folder(path: Path) -> Mapping[str, Callable[[], bytes]]:
    def reader(file: Path) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                if file.stat().st_size > _LARGEST:
                    raise DataError(f"{file}: is larger than any file of CIFAR; {_AGAIN}")
                return file.read_bytes()
            except OSError as error:
                raise DataError(f"{file}: cannot be read ({error}); {_AGAIN}") from None

        return read

    return {file.name: reader(file) for file in path.iterdir() if file.is_file()}


def _archive(path: Path) -> Mapping[str, Callable[[], bytes]]:
    """The files in an archive, by name; nothing is unpacked onto the disk."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                file = archive.extractfile(member) if member.isfile() else None
                if file is None or name in found:
                    continue
                if member.size > _LARGEST:
                    raise DataError(f"{path}: {name} is larger than any file of CIFAR; {_AGAIN}")
                found[name] = file.read()
    except DataError:
        raise
    except Exception as error:  # tarfile and its decompressors raise whatever damage makes them
        raise DataError(f"{path}: is no archive that can be read ({error}); {_AGAIN}") from None

    def giver(content: bytes) -> Callable[[], bytes]:
        return lambda: content

    return {name: giver(content) for name, content in found.items()}


def _batch(content: bytes, layout: _Layout, where: str) -> Labelled:
    batch = read_plain_pickle(content, where)
    if not isinstance(batch, dict) or not {"data", layout.labels} <= batch.keys():
        raise DataError(f"{where}: has no 'data' and {layout.labels!r}; {_AGAIN}")
    data, labels = batch["data"], batch[layout.labels]
    if not isinstance(data, _Array):
        raise DataError(f"{where}: 'data' is no array; {_AGAIN}")
    pixels = data.bytes_of_images(where)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{where}: {layout.labels!r} is no list of whole numbers; {_AGAIN}")
    if any(abs(label) >= 2**31 for label in labels):
        raise DataError(f"{where}: {layout.labels!r} holds numbers that are no class; {_AGAIN}")
    return labelled_of(pixels, np.array(labels, np.int64), where)


class _Name(str):
    """A name that the file mentions; text, and nothing more."""

    __slots__ = ()


@dataclass(slots=True)
class _Array:
    """What the file says of an array: `state` is (version, shape, type, column order, bytes)."""

    state: Any = None

    def bytes_of_images(self, where: str) -> NDArray[np.uint8]:
        match self.state:
            case (_, (int() as count, int() as width), _Type(code="u1"), order, content) if (
                width == 3 * _SIDE * _SIDE and not order
            ):
                found = _as_bytes(content)
                if found is not None and len(found) == math.prod((count, width)):
                    return np.frombuffer(found, np.uint8).reshape(count, 3, _SIDE, _SIDE)
        raise DataError(f"{where}: 'data' is no array of n x {3 * _SIDE * _SIDE} bytes; {_AGAIN}")


@dataclass(slots=True)
class _Type:
    """What the file says of a numpy type."""

    code: Any
    state: Any = None


_MARK = _Name("mark")


def read_plain_pickle(content: bytes, where: str) -> Any:
    """The plain value in a pickle: dict, list, tuple, text, bytes, number, or told array.

    Text of Python 2 is latin-1, one character for each byte. See the module for why it is safe.

    Args:
        content: Of the file.
        where: What errors call it.

    Raises:
        DataError: It is damaged, or holds anything else.
    """
    machine = _Machine(where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # an escape that is none
            for opcode, argument, _ in pickletools.genops(content):
                machine.follow(opcode.name, argument)
        (value,) = machine.stack
    except DataError:
        raise
    except (
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        OverflowError,
        DeprecationWarning,
    ) as error:
        raise DataError(f"{where}: is damaged ({error}); {_AGAIN}") from None
    return value


class _Machine:
    """The stack and the memory of a pickle, holding plain values only."""

    def __init__(self, where: str) -> None:
        self.stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self._where = where

    def follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                stack.append(_MARK)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memory[argument] = stack[-1]
            case "MEMOIZE":
                self._memory[len(self._memory)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memory[argument])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._replace(int(name[-1]), lambda values: tuple(values))
            case "TUPLE" | "LIST":
                values = self._since_mark()
                stack.append(tuple(values) if name == "TUPLE" else values)
            case "DICT":
                stack.append(_pairs(self._since_mark()))
            case "APPEND":
                value = stack.pop()
                self._top(list).append(value)
            case "APPENDS":
                values = self._since_mark()
                self._top(list).extend(values)
            case "SETITEM" | "SETITEMS":
                values = (
                    self._since_mark() if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
                )
                self._top(dict).update(_pairs(values))
            case "GLOBAL":
                self._mention(argument)
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                self._mention(f"{module} {attribute}")
            case "REDUCE":
                values, called = stack.pop(), stack.pop()
                stack.append(self._reduced(called, values))
            case "BUILD":
                state = stack.pop()
                told = stack[-1]
                if not isinstance(told, _Array | _Type):
                    raise DataError(f"{self._where}: changes an object; {_AGAIN}")
                told.state = state
            case _ if name in _LITERALS:
                stack.append(argument)
            case _:
                raise DataError(
                    f"{self._where}: holds the pickle instruction {name}, which no file of CIFAR "
                    f"needs; nothing was run. {_AGAIN.capitalize()}"
                )

    def _mention(self, name: str) -> None:
        if name not in _NAMES:
            raise DataError(
                f"{self._where}: asks for {name.replace(' ', '.')!r}, which is not part of an "
                f"array; nothing was run. {_AGAIN.capitalize()}"
            )
        self.stack.append(_Name(name))

    def _reduced(self, called: Any, values: Any) -> Any:
        """What calling the name would give, told; nothing is called."""
        if isinstance(called, _Name) and isinstance(values, tuple):
            match str(called), values:
                case name, _ if name in _ARRAYS:
                    return _Array()
                case "numpy dtype", (str() as code, *_):
                    return _Type(code)
                case "_codecs encode", (str() as text, "latin1" | "latin-1"):
                    return text.encode("latin-1")  # how protocol 2 of Python 3 writes bytes
        raise DataError(f"{self._where}: calls something that makes no array; {_AGAIN}")

    def _since_mark(self) -> list[Any]:
        stack = self.stack
        place = next(i for i in range(len(stack) - 1, -2, -1) if i < 0 or stack[i] is _MARK)
        if place < 0:
            raise ValueError("a mark is missing")
        values = stack[place + 1 :]
        del stack[place:]
        return values

    def _replace(self, count: int, make: Callable[[list[Any]], Any]) -> None:
        if len(self.stack) < count:
            raise ValueError("the stack is too short")
        values = self.stack[-count:]
        self.stack[-count:] = [make(values)]

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"no {kind.__name__} to put into")
        return self.stack[-1]


_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
)


def _pairs(values: list[Any]) -> dict[str, Any]:
    """A dict whose keys are text, as Python 2 and 3 write them alike."""
    keys = [key.decode("latin-1") if isinstance(key, bytes) else key for key in values[::2]]
    if len(values) % 2 or not all(isinstance(key, str) for key in keys):
        raise ValueError("a dict whose keys are not text")
    return dict(zip(keys, map(_text_of, values[1::2]), strict=True))


def _text_of(value: Any) -> Any:
    """Names are text, also where Python 3 wrote Python 2's as bytes."""
    if isinstance(value, list) and all(isinstance(each, bytes) for each in value):
        return [each.decode("latin-1") for each in value]
    return value


def _as_bytes(content: Any) -> bytes | None:
    if isinstance(content, str):
        try:
            return content.encode("latin-1")
        except UnicodeEncodeError:
            return None
    return content if isinstance(content, bytes) else None
