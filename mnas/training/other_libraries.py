"""Data that comes from elsewhere: your own function, torchvision, Hugging Face's `datasets`.

Nothing is downloaded: each reads what is on this machine. `python:` imports and runs what it names,
so only searching and training load data.
"""

import importlib
import inspect
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnas.training.picture_pools import SPLIT_NAMES, pool_of_pictures
from mnas.training.pictures import Pictures
from mnas.training.source_files import pool_of_arrays
from mnas.training.sources import Pool
from mnas.training.specs import DataError, DataSpec


def python(spec: DataSpec) -> Pool:
    """The arrays that a function of yours gives: `python:package.module:function`.

    It is called with `data.path` (text, or None) and returns a mapping of numpy arrays with the
    names that `npz` knows: `x_train`, `y_train` and so on. The working directory is searched for
    the module, too. The function must give the same arrays every time.
    """
    module_name, _, name = (spec.argument or "").partition(":")
    if not module_name or not name.isidentifier():
        raise DataError(
            f"data.source: {spec.source!r}: write python:package.module:function, such as "
            "python:my_data:load"
        )
    function = _imported(module_name, name, spec)
    try:
        arrays = function(spec.path)
    except Exception as error:  # whatever somebody's function raises
        raise DataError(
            f"{spec.source}: the function raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(arrays, Mapping) or not all(
        isinstance(each, np.ndarray) for each in arrays.values()
    ):
        raise DataError(
            f"{spec.source}: must return a mapping of names to numpy arrays; got "
            f"{type(arrays).__name__}"
        )
    return pool_of_arrays(dict(arrays), spec.source, "let the function return it")


def _imported(module_name: str, name: str, spec: DataSpec) -> Callable[[str | None], Any]:
    here = str(Path.cwd())
    sys.path.append(here)  # at the end, so that no file here takes the place of a library
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise DataError(
            f"data.source: {spec.source!r}: there is no module {error.name!r}; install it, or "
            f"start from the folder that holds it (now {here})"
        ) from None
    except Exception as error:  # whatever somebody's module raises, or a name that is none
        raise DataError(
            f"data.source: {spec.source!r}: importing {module_name} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(here)
    function = getattr(module, name, None)
    if not callable(function):
        raise DataError(
            f"data.source: {spec.source!r}: {module_name} has no function {name!r} ({module_name} "
            f"is {module.__file__})"
        )
    chosen: Callable[[str | None], Any] = function
    return chosen


@dataclass(frozen=True, slots=True, eq=False)
class _Items:
    """Images of another library's data set, encoded without loss where they are not."""

    read: Callable[[int], bytes]
    rows: NDArray[np.int64]
    origin: str

    def __len__(self) -> int:
        return len(self.rows)

    def taken(self, indices: NDArray[np.int64]) -> "_Items":
        return _Items(self.read, self.rows[indices], self.origin)

    def contents(self) -> Iterator[tuple[int, str, bytes]]:
        for number, row in enumerate(self.rows.tolist()):
            yield number, f"{self.origin}, image {row}", self.read(row)

    def stamp(self) -> str | None:
        return None  # nobody can tell without reading


def torchvision(spec: DataSpec) -> Pool:
    """A data set of torchvision that lies in `data.path`: `torchvision:NAME`, NAME being its class.

    Its test split is the test split, its validation split the validation split.
    """
    library = _library(spec, "torchvision.datasets", "torchvision")
    kind = getattr(library, spec.argument or "", None)
    if not inspect.isclass(kind):
        raise DataError(f"data.source: torchvision has no data set {spec.argument!r}")
    if spec.path is None:
        raise DataError(
            f"data.path: {spec.source!r} needs the folder that torchvision knows as root"
        )
    known = inspect.signature(kind).parameters
    parts: dict[str, tuple[Pictures, NDArray[np.int64]]] = {}
    names: tuple[str, ...] | None = None
    for part, choices in _torchvision_choices(known).items():
        data = _torchvision_part(kind, spec, choices, is_needed=part == "train")
        if data is None:
            continue
        items = _Items(_torchvision_reader(data), np.arange(len(data)), f"{spec.source} {part}")
        parts[part] = (items, _torchvision_labels(data))
        names = names or tuple(str(name) for name in getattr(data, "classes", ())) or None
    return pool_of_pictures(parts, spec.source, names)


def _torchvision_choices(known: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """For each part the arguments to try: torchvision's data sets do not agree on them."""
    if "train" in known:
        return {"train": [{"train": True}], "test": [{"train": False}]}
    if "split" in known:
        return {
            part: [{"split": name} for name in alternatives]
            for part, alternatives in SPLIT_NAMES.items()
        }
    return {"train": [{}]}


def _torchvision_part(
    kind: Callable[..., Any], spec: DataSpec, choices: list[dict[str, Any]], *, is_needed: bool
) -> Any | None:
    """The first that there is; None if there is none and none is needed."""
    problem: Exception | None = None
    for arguments in choices:
        try:
            return kind(str(Path(spec.path or "").expanduser()), **arguments)
        except ValueError as error:  # this data set has no such split
            problem = error
        except (RuntimeError, OSError) as error:  # its files are not there, or damaged
            raise DataError(f"{spec.source}: {error} (data.path is {spec.path})") from None
    if is_needed:
        raise DataError(f"{spec.source}: {problem} (data.path is {spec.path})")
    return None


def _torchvision_reader(data: Any) -> Callable[[int], bytes]:
    def read(row: int) -> bytes:
        image, kept = data[row][0], io.BytesIO()
        if image.mode == "CMYK":  # which PNG does not have
            image = image.convert("RGB")
        image.save(kept, "PNG", compress_level=1)
        return kept.getvalue()

    return read


def _torchvision_labels(data: Any) -> NDArray[np.int64]:
    targets = getattr(data, "targets", None)
    if targets is None:
        targets = [data[row][1] for row in range(len(data))]
    return np.asarray(targets).astype(np.int64)


def hf(spec: DataSpec) -> Pool:
    """A data set of Hugging Face's `datasets` library: `hf:NAME` from its cache, never downloaded.

    With `data.path`, the folder that `save_to_disk` wrote; the name is then only a name.
    """
    library = _library(spec, "datasets", "datasets")
    try:
        if spec.path is not None:
            found = library.load_from_disk(str(Path(spec.path).expanduser()))
        else:
            offline = library.DownloadConfig(local_files_only=True)
            found = library.load_dataset(spec.argument, download_config=offline)
    except Exception as error:  # the library's own errors have many roots
        raise DataError(
            f"{spec.source}: cannot be read from this machine ({error}). mnas downloads nothing: "
            "load it once with `datasets`, or save it to a folder and name that in data.path"
        ) from None
    splits = dict(found) if isinstance(found, Mapping) else {"train": found}
    parts: dict[str, tuple[Pictures, NDArray[np.int64]]] = {}
    names: tuple[str, ...] | None = None
    for part, alternatives in SPLIT_NAMES.items():
        there = [name for name in alternatives if name in splits]
        if not there:
            continue
        data = splits[there[0]]
        image, label = _columns(data, spec)
        encoded = data.cast_column(image, library.Image(decode=False))
        labels = np.asarray(data[label][:]).astype(np.int64)
        items = _Items(_hf_reader(encoded, image), np.arange(len(labels)), f"{spec.source} {part}")
        parts[part] = (items, labels)
        names = names or tuple(getattr(data.features[label], "names", None) or ()) or None
    if "train" not in parts:
        raise DataError(f"{spec.source}: has no split 'train'; found {', '.join(splits)}")
    return pool_of_pictures(parts, spec.source, names)


def _columns(data: Any, spec: DataSpec) -> tuple[str, str]:
    found = [
        next((name for name in names if name in data.column_names), None)
        for names in (("image", "img"), ("label", "labels", "fine_label"))
    ]
    if found[0] is None or found[1] is None:
        raise DataError(
            f"{spec.source}: needs the columns 'image' and 'label'; found "
            f"{', '.join(data.column_names)}"
        )
    return found[0], found[1]


def _hf_reader(encoded: Any, column: str) -> Callable[[int], bytes]:
    def read(row: int) -> bytes:
        image = encoded[row][column]
        content: bytes | None = image["bytes"]
        return Path(image["path"]).read_bytes() if content is None else content

    return read


def _library(spec: DataSpec, module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"data.source: {spec.source!r} needs the package {package}, which cannot be imported "
            f"here ({error}). Install it if it fits beside mnas, or use another source: "
            "imagefolder, parquet, npz"
        ) from None
