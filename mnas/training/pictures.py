"""Encoded images (JPEG, PNG, ...): looked over once, decoded with Pillow to square 8-bit pixels.

What is done to an image, always the same: turned upright as its EXIF says, transparency dropped,
CMYK and palettes converted to colour, 16 bits cut to the upper 8, the middle square taken. Where a
data set has both grey and colour, all of it becomes colour. What cannot be taken without guessing
(animations, 32-bit pixels, damaged or huge files) is refused, with its name.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mnas.training.specs import DataError

RULES = 1  # of decoding; raised when the same file gives other pixels than before
_MOST_PIXELS = 89_478_485  # Pillow's own limit: a quarter of a gigabyte of pixels in 24 bits
_GREY = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N")
_COLOUR = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB")
_TOLD = 8  # of the bad images are named
_ORIENTATION = 0x0112  # EXIF tag


class Pictures(Protocol):
    """Encoded images that are read when they are asked for."""

    def __len__(self) -> int: ...

    def taken(self, indices: NDArray[np.int64]) -> "Pictures":
        """Some of them, in the order of `indices`."""
        ...

    def contents(self) -> Iterator[tuple[int, str, bytes]]:
        """Each one's number among these, name for errors, and encoded content; in any order.

        Raises:
            DataError: One cannot be read; names it.
        """
        ...

    def stamp(self) -> str | None:
        """Differs whenever a content may, without reading it; None if nobody can tell."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """Encoded images that were looked over.

    Attributes:
        pictures: Where they are.
        digests: (n, 32) sha256 of each one's content.
        channels: 1 where the whole data set is grey, else 3.
    """

    pictures: Pictures
    digests: NDArray[np.uint8]
    channels: int

    def __len__(self) -> int:
        return len(self.digests)

    def taken(self, indices: NDArray[np.int64]) -> Self:
        """Some of them, in the order of `indices`."""
        return type(self)(
            pictures=self.pictures.taken(indices),
            digests=self.digests[indices],
            channels=self.channels,
        )

    @property
    def digest(self) -> str:
        """64 hex digits of all that decides the pixels."""
        head = repr((RULES, self.channels, len(self))).encode()
        return hashlib.sha256(head + self.digests.tobytes()).hexdigest()


class BadPictures:
    """Gathers what is wrong with single images, to tell it all at once."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._problems: list[str] = []

    def add(self, name: str, problem: str) -> None:
        """Remember one."""
        self._problems.append(f"{name}: {problem}")

    def refuse(self) -> None:
        """End the reading if there was one.

        Raises:
            DataError: Names the images.
        """
        if not self._problems:
            return
        told = sorted(self._problems)[:_TOLD]
        more = len(self._problems) - len(told)
        lines = told + ([f"and {more} more"] if more else [])
        what = "image" if len(self._problems) == 1 else "images"
        raise DataError(
            f"{self._origin}: {len(self._problems)} {what} cannot be used; mend or remove:\n  "
            + "\n  ".join(lines)
        )


class PictureError(Exception):
    """What is wrong with one image, in words."""


FACTS = np.dtype([("digest", np.uint8, 32), ("is_colour", np.bool_)])


def look_over(pictures: Pictures, origin: str) -> NDArray[np.void]:
    """Read each image's content and head, without decoding its pixels.

    Args:
        pictures: What to look at.
        origin: What errors call them together.

    Returns:
        (n,) of `FACTS`: digest of the content, and whether it has colour.

    Raises:
        DataError: Images that cannot be used; names them.
    """
    facts, bad = np.zeros(len(pictures), FACTS), BadPictures(origin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images; they are refused here
        for number, name, content in pictures.contents():
            try:
                is_colour = _is_colour(content)
            except PictureError as error:
                bad.add(name, str(error))
                continue
            digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
            facts[number] = (digest, is_colour)
    bad.refuse()
    return facts


def decoded(content: bytes, channels: int) -> NDArray[np.uint8]:
    """The middle square of an image.

    Args:
        content: As the file has it.
        channels: 1 or 3.

    Returns:
        (channels, side, side).

    Raises:
        PictureError: It is damaged; says how.
    """
    try:
        image = _opened(content)
        image.load()
        pixels = _pixels(_upright(image), channels)
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them
        raise PictureError(f"cannot be decoded ({error})") from None
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    return np.ascontiguousarray(square.reshape(side, side, channels).transpose(2, 0, 1))


def require_pillow() -> None:
    """See that images can be decoded at all.

    Raises:
        DataError: Pillow is not installed.
    """
    try:
        import PIL  # noqa: F401  # only whether it is there
    except ImportError:
        raise DataError(
            "images are decoded with Pillow, which is not installed: python -m pip install pillow"
        ) from None


def _opened(content: bytes) -> Any:
    """A Pillow image, its pixels not decoded yet."""
    from PIL import Image

    try:
        return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError:
        raise PictureError(_too_large()) from None
    except Image.UnidentifiedImageError:
        what = "is empty" if not content else "is no image that Pillow can read"
        raise PictureError(what) from None
    except Exception as error:  # Pillow's parsers raise whatever a damaged file makes them
        raise PictureError(f"cannot be read ({error})") from None


def _is_colour(content: bytes) -> bool:
    image = _opened(content)
    if image.width * image.height > _MOST_PIXELS:
        raise PictureError(_too_large(f"{image.width}x{image.height} pixels"))
    # an MPO is a photograph with a smaller one behind it, as some cameras write them
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise PictureError("is animated; keep one of its frames")
    if image.mode not in _GREY + _COLOUR:
        raise PictureError(f"has pixels of the kind {image.mode!r}; save it with 8 bits a channel")
    return image.mode in _COLOUR


def _too_large(found: str = "it") -> str:
    return f"{found} may be a decompression bomb; at most {_MOST_PIXELS:,} pixels are decoded"


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    if image.getexif().get(_ORIENTATION, 1) == 1:
        return image
    return ImageOps.exif_transpose(image)


def _pixels(image: Any, channels: int) -> NDArray[np.uint8]:
    """(h, w) or (h, w, 3)."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return grey if channels == 1 else np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # so that a transparent colour is dropped like the others
    return np.asarray(image.convert("L" if channels == 1 else "RGB"), np.uint8)


def channels_of(facts: Sequence[NDArray[np.void]]) -> int:
    """3 if any image of any part has colour, else 1."""
    return 3 if any(bool(each["is_colour"].any()) for each in facts) else 1
