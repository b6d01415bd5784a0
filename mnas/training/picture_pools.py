"""A pool of encoded images, from wherever they come."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnas.training.pictures import Encoded, Pictures, channels_of, look_over, require_pillow
from mnas.training.sources import Labelled, Pool
from mnas.training.specs import DataError
from mnas.training.storing import facts_of

SPLIT_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def pool_of_pictures(
    parts: Mapping[str, tuple[Pictures, NDArray[np.int64]]],
    origin: str,
    class_names: tuple[str, ...] | None,
) -> Pool:
    """Look over the images of all parts, and make a pool of them.

    Args:
        parts: `train`, and perhaps `val` and `test`: images and their labels.
        origin: What errors call it.
        class_names: In the order of the labels; None if the source does not know them.

    Raises:
        DataError: Images that cannot be used; names them.
    """
    require_pillow()
    facts = {
        part: facts_of(pictures, lambda each: look_over(each, origin))
        for part, (pictures, _) in parts.items()
    }
    channels = channels_of(list(facts.values()))
    labelled = {
        part: Labelled(
            images=Encoded(pictures=pictures, digests=facts[part]["digest"], channels=channels),
            labels=labels,
        )
        for part, (pictures, labels) in parts.items()
    }
    return Pool(
        origin=origin,
        train=labelled["train"],
        val=labelled.get("val"),
        test=labelled.get("test"),
        class_names=class_names,
    )


def stamp_of(paths: Sequence[str]) -> str:
    """Names, sizes and times of files, as 32 hex digits: what differs when a content may.

    Raises:
        DataError: One is not there any more.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            state = Path(path).stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
        told = (str(Path(path).absolute()), state.st_size, state.st_mtime_ns)
        digest.update(repr(told).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]
