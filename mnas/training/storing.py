"""Images decoded once into files, which all processes of a machine look at together.

A file is `<folder>/<digest>/<resolution>.npy` of (n, r, r, c) bytes: the digest is that of the
encoded images, of the rules and of the decoder, so a file never has to be brought up to date. It is
written whole or not at all, may be deleted when nothing runs, and holds no objects (never pickled).
"""

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnas.arch import UnwritableFileError, atomic_path, cache_folder
from mnas.training.pictures import FACTS, BadPictures, Encoded, PictureError, Pictures, decoded
from mnas.training.resizing import resize_images
from mnas.training.specs import DataError

MOST_BYTES_IN_MEMORY = 2**28  # of one split at one resolution; what is larger stays in its file
_CHUNK = 2048  # images worked on at once
Progress = Callable[[int, int], None]


def image_folder() -> Path:
    """Where decoded images are kept: `$MNAS_CACHE/images`, else `~/.cache/mnas/images`."""
    return cache_folder("images")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Images at one resolution.

    Attributes:
        images: (n, c, r, r); where they are a file, it is read where it is looked at.
        file: That file, or None if they are in memory.
    """

    images: NDArray[np.uint8]
    file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedImages:
    """The images of a split at every resolution that was asked for.

    A copy that travels to another process has the small ones with it and finds the large ones by
    their path; it cannot decode others.

    Attributes:
        folder: Where their files lie.
        count: Number of images.
        channels: 1 or 3.
        histogram: (channels, 256) number of pixels of each value, before resizing.
        encoded: What they are decoded from; None where they travelled.
        held: By resolution, those that are in memory.
    """

    folder: Path
    count: int
    channels: int
    histogram: NDArray[np.int64] = field(repr=False)
    encoded: Encoded | None = field(repr=False)
    held: dict[int, NDArray[np.uint8]] = field(repr=False)

    def at(self, resolution: int) -> Stored:
        """The images at a resolution, each made from its own file and no other resolution.

        Raises:
            DataError: They are not decoded at this resolution, and cannot be here; or they are
                damaged.
        """
        if resolution in self.held:
            return Stored(images=self.held[resolution], file=None)
        path = self._path(resolution)
        shape = (self.count, resolution, resolution, self.channels)
        images = open_images(path, shape)
        if images is None and self.encoded is not None:
            _decode(self.encoded, self.folder, [resolution], str(path), lambda done, total: None)
            images = open_images(path, shape)
        if images is None:
            raise DataError(
                f"{path}: there are no images at {resolution} px on this machine; let the folder "
                "that MNAS_CACHE names lie where every machine of the search finds it"
            )
        return Stored(images=images, file=path)

    def _path(self, resolution: int) -> Path:
        return self.folder / f"{resolution}.npy"

    def __reduce__(self) -> tuple[Any, ...]:
        held = dict(self.held)
        return _travelled, (self.folder, self.count, self.channels, self.histogram, held)


def _travelled(
    folder: Path,
    count: int,
    channels: int,
    histogram: NDArray[np.int64],
    held: dict[int, NDArray[np.uint8]],
) -> DecodedImages:
    return DecodedImages(
        folder=folder,
        count=count,
        channels=channels,
        histogram=histogram,
        encoded=None,
        held=held,
    )


def decode_images(
    encoded: Encoded,
    resolutions: Iterable[int],
    origin: str,
    progress: Progress = lambda done, total: None,
) -> DecodedImages:
    """Decode the images of a split at some resolutions, in one pass, unless they are there already.

    Args:
        encoded: What to decode.
        resolutions: Sides in pixels.
        origin: What errors call the images together.
        progress: Told images done and images in all.

    Raises:
        DataError: Images are damaged; names them. Or there is no room for the files.
    """
    from PIL import __version__ as pillow

    digest = hashlib.sha256(f"{encoded.digest} pillow {pillow}".encode()).hexdigest()[:32]
    folder, count, channels = image_folder() / digest, len(encoded), encoded.channels
    wanted = sorted(set(resolutions))
    shapes = {side: (count, side, side, channels) for side in wanted}
    missing = [side for side in wanted if open_images(folder / f"{side}.npy", shapes[side]) is None]
    histogram = _histogram(folder, channels)
    if missing or histogram is None:
        histogram = _decode(encoded, folder, missing, origin, progress)
    held = {}
    for side in wanted:
        images = open_images(folder / f"{side}.npy", shapes[side])
        assert images is not None
        if images.nbytes <= MOST_BYTES_IN_MEMORY:
            held[side] = np.array(images)
    return DecodedImages(
        folder=folder,
        count=count,
        channels=channels,
        histogram=histogram,
        encoded=encoded,
        held=held,
    )


def resized_images(images: NDArray[np.uint8], resolution: int) -> Stored:
    """Images of a source that holds them as arrays, at a resolution: in memory, or a file if large.

    Args:
        images: (n, c, h, h).
        resolution: Side in pixels.
    """
    count, channels, side = images.shape[:3]
    if side == resolution or count * channels * resolution**2 <= MOST_BYTES_IN_MEMORY:
        return Stored(images=resize_images(images, resolution), file=None)
    digest = hashlib.sha256(repr(("arrays", images.shape)).encode())
    digest.update(np.ascontiguousarray(images).data)
    path = image_folder() / digest.hexdigest()[:32] / f"{resolution}.npy"
    shape = (count, resolution, resolution, channels)
    if open_images(path, shape) is None:
        with _files({resolution: path}, shape[0], channels) as files:
            for start in range(0, count, _CHUNK):
                files[resolution].put(
                    start, resize_images(images[start : start + _CHUNK], resolution)
                )
    stored = open_images(path, shape)
    assert stored is not None
    return Stored(images=stored, file=path)


def open_images(path: Path, shape: tuple[int, int, int, int]) -> NDArray[np.uint8] | None:
    """Look at a file of images (n, r, r, c) as (n, c, r, r), without reading it.

    Returns:
        None if there is no such file, or another one: it is then written anew.
    """
    try:
        # private pages: nothing that is done to the array reaches the file
        images = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if images.shape != shape or images.dtype != np.uint8:
        return None
    turned: NDArray[np.uint8] = images.transpose(0, 3, 1, 2)
    return turned


def facts_of(pictures: Pictures, look: Callable[[Pictures], NDArray[np.void]]) -> NDArray[np.void]:
    """What is known of images from an earlier time, if nothing may have changed; else look again.

    Args:
        pictures: Whose stamp says whether they may have changed.
        look: Gives the facts, (n,) of `FACTS`.
    """
    stamp = pictures.stamp()
    if stamp is None:
        return look(pictures)
    path = image_folder() / f"facts-{stamp}.npy"
    try:
        facts = np.load(path, allow_pickle=False)
        if facts.dtype == FACTS and facts.shape == (len(pictures),):
            known: NDArray[np.void] = facts
            return known
    except (OSError, ValueError, EOFError):
        pass  # not there, or damaged: look again
    facts = look(pictures)
    _save(path, facts)
    return facts


class _File:
    """A file of images that is written image by image, in any order, by several threads."""

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self._file = path.open("wb")
        head = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, head)
        self._file.flush()
        self._start, self._bytes = self._file.tell(), shape[1] * shape[2] * shape[3]
        self._file.truncate(self._start + shape[0] * self._bytes)

    def put(self, number: int, images: NDArray[np.uint8]) -> None:
        """Write images (k, c, r, r) from a number on."""
        content = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).data.cast("B")
        place = self._start + number * self._bytes
        while content:  # pwrite may write less than it is given
            written = os.pwrite(self._file.fileno(), content, place)
            content, place = content[written:], place + written

    def close(self) -> None:
        self._file.close()


@contextmanager
def _files(paths: dict[int, Path], count: int, channels: int) -> Iterator[dict[int, _File]]:
    """Files of images by resolution; they take their places when the block ends without error."""
    needed = sum(count * channels * side * side for side in paths)
    for path in list(paths.values())[:1]:
        _require_room(path.parent, needed)
    try:
        with ExitStack() as stack:
            files = {}
            for side, path in paths.items():
                temporary = stack.enter_context(atomic_path(path))
                files[side] = _File(temporary, (count, side, side, channels))
                stack.callback(files[side].close)
            yield files
    except (OSError, UnwritableFileError) as error:  # such as a disk that became full
        raise UnwritableFileError(
            f"{error}; name a folder with room in the environment variable MNAS_CACHE"
        ) from None


def _require_room(folder: Path, needed: int) -> None:
    existing = next(each for each in (folder, *folder.parents) if each.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"decoded images take {needed / 2**30:.1f} GiB, in {existing} are {free / 2**30:.1f} "
            "GiB free; name a folder with room in the environment variable MNAS_CACHE"
        )


def _decode(
    encoded: Encoded, folder: Path, resolutions: list[int], origin: str, progress: Progress
) -> NDArray[np.int64]:
    """Decode everything once, write it at each resolution, and count the values of pixels."""
    histogram = np.zeros((encoded.channels, 256), np.int64)
    bad, done = BadPictures(origin), 0
    paths = {side: folder / f"{side}.npy" for side in resolutions}

    def work(number: int, content: bytes) -> NDArray[np.int64]:
        square = decoded(content, encoded.channels)
        for side, file in files.items():
            file.put(number, resize_images(square[None], side))
        return np.stack([np.bincount(plane.ravel(), minlength=256) for plane in square])

    threads = os.cpu_count() or 1
    with _files(paths, len(encoded), encoded.channels) as files:
        waiting: deque[tuple[str, Future[NDArray[np.int64]]]] = deque()

        def settle(most: int) -> None:
            nonlocal histogram, done
            while len(waiting) > most:
                name, future = waiting.popleft()
                try:
                    histogram += future.result()
                except PictureError as error:
                    bad.add(name, str(error))
                done += 1
                progress(done, len(encoded))

        with ThreadPoolExecutor(threads) as pool:
            for number, name, content in encoded.pictures.contents():
                waiting.append((name, pool.submit(work, number, content)))
                settle(4 * threads)  # so that few images are in memory at once
            settle(0)
        bad.refuse()
    _save(folder / "histogram.npy", histogram)
    return histogram


def _histogram(folder: Path, channels: int) -> NDArray[np.int64] | None:
    try:
        histogram = np.load(folder / "histogram.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    is_sound = histogram.shape == (channels, 256) and histogram.dtype == np.int64
    return histogram if is_sound else None


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
