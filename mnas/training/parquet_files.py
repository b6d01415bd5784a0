"""The data source `parquet`: images and labels in the layout of Hugging Face."""

import bisect
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnas.training.picture_pools import SPLIT_NAMES, pool_of_pictures, stamp_of
from mnas.training.source_files import existing
from mnas.training.sources import Pool
from mnas.training.specs import DataError, DataSpec


def parquet(spec: DataSpec) -> Pool:
    """Parquet files as Hugging Face writes image data sets.

    `<path>` is a file, or a folder of files (or its folder `data`), which belong to the split their
    names begin with: `train-00000-of-00001.parquet`, `validation-...`, `test-...`; others are all
    training images. Columns: an image (a struct with `bytes`, or bytes) and `label`, a whole
    number. Needs the extra `mnas[parquet]`.
    """
    path = existing(spec, "a .parquet file, or a folder of them")
    files = _parquet_files(path)
    parts, names = {}, None
    for part, paths in files.items():
        shards = [_shard(each) for each in paths]
        columns = {(shard.image, shard.label) for shard in shards}
        if len(columns) > 1:
            raise DataError(f"{path}: the columns of the files of {part} differ: {sorted(columns)}")
        labels = np.concatenate([_parquet_labels(shard) for shard in shards])
        if len(labels) == 0:
            raise DataError(f"{path}: there is no image for {part}")
        parts[part] = (_Rows(tuple(shards), np.arange(len(labels))), labels)
        names = names or shards[0].class_names
    return pool_of_pictures(parts, str(path), names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """One parquet file: its columns, and what its head says."""

    path: str
    rows: int
    image: str
    is_struct: bool
    label: str
    class_names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Images that are rows of parquet files, numbered through all of them."""

    shards: tuple[_Shard, ...]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def taken(self, indices: NDArray[np.int64]) -> "_Rows":
        return _Rows(self.shards, self.rows[indices])

    def stamp(self) -> str | None:
        files = stamp_of([shard.path for shard in self.shards])
        return hashlib.sha256(files.encode() + self.rows.tobytes()).hexdigest()[:32]

    def contents(self) -> Iterator[tuple[int, str, bytes]]:
        """In the order of the files, so that each group of rows is read once."""
        order = np.argsort(self.rows, kind="stable")
        wanted, place = self.rows[order].tolist(), 0
        for name, first, values in _groups(self.shards):
            last = bisect.bisect_left(wanted, first + len(values), lo=place)
            for position in range(place, last):
                row = wanted[position] - first
                content, where = values[row].as_py(), f"{name}, row {row}"
                if content is None:
                    raise DataError(
                        f"{where}: there is no image in it; write the files with embedded images"
                    )
                yield int(order[position]), where, content
            place = last


def _groups(shards: Sequence[_Shard]) -> Iterator[tuple[str, int, Any]]:
    """Groups of rows: a name for errors, the number of the first row, and the encoded images."""
    starts = itertools.accumulate((shard.rows for shard in shards), initial=0)
    for shard, start in zip(shards, starts, strict=False):
        file, first = _opened_parquet(shard.path), start
        for group in range(file.num_row_groups):
            try:
                column = file.read_row_group(group, columns=[shard.image]).column(shard.image)
            except (OSError, ValueError) as error:
                raise DataError(f"{shard.path}: cannot be read ({error})") from None
            values = column.combine_chunks()
            yield (
                f"{shard.path}, group {group}",
                first,
                (values.field("bytes") if shard.is_struct else values),
            )
            first += len(values)


def _parquet_files(path: Path) -> dict[str, list[str]]:
    if path.is_file():
        return {"train": [str(path)]}
    folder = path / "data" if (path / "data").is_dir() else path
    found = sorted(folder.glob("*.parquet"))
    if not found:
        raise DataError(f"{folder}: there is no .parquet file in it")
    files: dict[str, list[str]] = {}
    for each in found:
        first = each.stem.split("-")[0]
        part = next((p for p, names in SPLIT_NAMES.items() if first in names), None)
        files.setdefault(part or "train", []).append(str(each))
        if part is None and any(name.stem.split("-")[0] == "train" for name in found):
            raise DataError(
                f"{each}: begins with none of train, val, valid, validation, test; move it away"
            )
    if "train" not in files:
        raise DataError(f"{folder}: there is no train-*.parquet in it, only {', '.join(files)}")
    return files


def _opened_parquet(path: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            "the source 'parquet' needs pyarrow, which is not installed: "
            "python -m pip install 'mnas[parquet]'"
        ) from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise DataError(f"{path}: is no parquet file that can be read ({error})") from None


def _shard(path: str) -> _Shard:
    file = _opened_parquet(path)
    import pyarrow  # there, since the file is open

    schema = file.schema_arrow
    told = ", ".join(f"{field.name} ({field.type})" for field in schema)

    def is_image(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return bool(kind.get_field_index("bytes") >= 0)
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    images = [field.name for field in schema if is_image(field.type)]
    labels = [each for each in ("label", "labels", "fine_label") if each in schema.names]
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"{path}: needs one column of images (a struct with 'bytes', or bytes) and one of "
            f"labels ('label'); found {told}"
        )
    if not pyarrow.types.is_integer(schema.field(labels[0]).type):
        raise DataError(f"{path}: the column {labels[0]!r} must hold whole numbers; found {told}")
    return _Shard(
        path=path,
        rows=file.metadata.num_rows,
        image=images[0],
        is_struct=pyarrow.types.is_struct(schema.field(images[0]).type),
        label=labels[0],
        class_names=_hugging_face_names(schema.metadata or {}, labels[0]),
    )


def _parquet_labels(shard: _Shard) -> NDArray[np.int64]:
    try:
        column = _opened_parquet(shard.path).read(columns=[shard.label]).column(0)
    except (OSError, ValueError) as error:
        raise DataError(f"{shard.path}: cannot be read ({error})") from None
    if column.null_count:
        raise DataError(f"{shard.path}: {column.null_count} images have no {shard.label}")
    return np.asarray(column.to_numpy()).astype(np.int64)


def _hugging_face_names(metadata: Mapping[bytes, bytes], label: str) -> tuple[str, ...] | None:
    """Class names from the head that the `datasets` library writes, if it is there and sound."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if is_list else None
