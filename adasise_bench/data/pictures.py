"""Reads pictures, of data sets and of users, as a screen shows them: upright, in 8-bit RGB.

All pictures are read here. ``docs/pictures.md`` describes the rules for users.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as ExifTag
from PIL.Image import Transpose

from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import regular

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 64_000_000

_MAX_BYTES = 1_000_000_000
_SIXTEEN_TO_EIGHT_BITS = 257

_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
}  # fmt: skip
"""The operation that makes a stored picture upright, by the value of EXIF's tag ``Orientation``."""

_SWAPS_SIDES = (5, 6, 7, 8)

_MAY_ORIENT = (b"Exif", b"eXIf", b"exif", b"adobe.xmp", b"Orientation")
"""A file with an orientation contains one of these. Other files need not be parsed."""

_LOW_DEPTH = {"L;2": 85, "L;4": 17}
"""The factor from a grey value of 2 or 4 bits to Pillow's value of 8 bits, by Pillow's raw mode."""


class Picture(NamedTuple):
    """A picture and where it comes from.

    Attributes:
        image: 8-bit RGB, upright, transparency over white.
        animated: whether the file has more frames; ``image`` is the first one.
        sha256: SHA-256 of the file, 64 hex digits.
    """

    image: Image.Image
    animated: bool
    sha256: str


def read_picture(path: Path) -> Picture:
    """Read a picture without an annotation, in one of :data:`FORMATS`; see :func:`decode`."""
    with warnings.catch_warnings(action="ignore"):
        return decode(read_bytes(path), path)


def picture_of(image: Image.Image | NDArray[Any]) -> Picture:
    """A picture that is in memory already, by the rules of files: upright, transparency over white.

    Args:
        image: of Pillow; or (H, W, 3) or (H, W) uint8, RGB or grey.

    Raises:
        DataError: an array that is no picture, or too many pixels.
    """
    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
            raise DataError(
                f"an array of {array.dtype} of shape {array.shape} is no picture; give (H, W, 3) of uint8"
            )
        image = Image.fromarray(array)
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = image.convert("RGB")
    content = io.BytesIO()
    image.save(content, format="PNG", compress_level=1, exif=image.getexif())
    return decode(content.getvalue(), Path("the picture in memory"))


def read_bytes(path: Path) -> bytes:
    """The bytes of a picture's file.

    Raises:
        DataError: there is no such file, it is too large, or it cannot be read.
    """
    try:
        with regular(path) as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot read the picture: {reason}") from None
    if len(content) > _MAX_BYTES:
        raise DataError(f"{path}: file of more than {_MAX_BYTES // 1_000_000} million bytes refused")
    return content


def decode(
    content: bytes, path: Path, formats: tuple[str, ...] = FORMATS, annotated: tuple[int, int] | None = None
) -> Picture:
    """Decode a picture's file in any mode; colour profiles are not applied.

    Args:
        content: the whole file.
        path: the file's name in messages.
        formats: the allowed formats, by Pillow's names.
        annotated: width and height according to the annotation. If only the picture as it is stored has this
            size, and not the upright one, it is not turned, because its boxes were drawn on the stored one.

    Raises:
        DataError: the file has none of the formats, is damaged, has another size than annotated, or has more
            than :data:`MAX_PIXELS` pixels.
    """
    try:
        with Image.open(io.BytesIO(content), formats=formats) as file:
            if file.width * file.height > MAX_PIXELS:
                raise _too_large(path)
            if file.mode in ("I", "F") and file.format != "PNG":
                raise DataError(f"{path}: pixels of 32 bits; save the picture with 8 or 16 bits per channel")
            transparent = _transparent_value(file)  # decoding would forget the file's depth
            turn = _turn(file, path, annotated)
            animated = getattr(file, "is_animated", False)
            image = _rgb(file, transparent)
            upright = image.transpose(turn) if turn is not None else image
            return Picture(upright, animated, hashlib.sha256(content).hexdigest())
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: cannot read the picture: empty, damaged, or no {_listed(formats)}"
        ) from None
    except Exception as error:  # Pillow's decoders can raise any exception on a damaged file
        reason = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
        raise DataError(f"{path}: cannot read the picture: {reason}") from None


def may_be_turned(content: bytes) -> bool:
    """Whether a file can say that its picture is to be turned or mirrored; found without decoding it."""
    return any(mark in content for mark in _MAY_ORIENT)


def turned_on_trust(content: bytes, formats: tuple[str, ...], annotated: tuple[int, int]) -> bool:
    """Whether a picture is turned or mirrored although the annotated size also fits it as it is stored.

    Args:
        content, formats, annotated: as for :func:`decode`.

    Returns:
        False if the picture cannot be decoded.
    """
    if not may_be_turned(content):
        return False
    try:
        with Image.open(io.BytesIO(content), formats=formats) as file:
            return file.size == annotated and _turn(file, Path(), annotated) is not None
    except Exception:  # decoding the picture reports what is wrong with it
        return False


def _turn(file: Image.Image, path: Path, annotated: tuple[int, int] | None) -> Transpose | None:
    """The operation that turns a file's pixels into those that its annotation describes; ``None`` for none.

    Raises:
        DataError: the picture has the annotated size neither as it is stored nor upright.
    """
    orientation = _orientation(file)
    stored = file.size
    upright = stored[::-1] if orientation in _SWAPS_SIDES else stored
    if annotated not in (None, stored, upright):
        sizes = f"{stored[0]}x{stored[1]} pixels"
        if upright != stored:
            sizes += f" ({upright[0]}x{upright[1]} upright)"
        raise DataError(
            f"{path}: picture is {sizes}, its annotation says {annotated[0]}x{annotated[1]}; "
            "fetch the pair again"
        )
    return _TURNS.get(orientation) if annotated in (None, upright) else None


def _orientation(file: Image.Image) -> int:
    """The value of EXIF's tag; 1 if there is none, or if it is damaged."""
    try:
        if file.format == "TIFF":
            file.load()  # newer versions of Pillow turn these here, and then report them as upright
        value = file.getexif().get(ExifTag.Orientation, 1)
    except Exception:  # viewers do not turn a picture either if its EXIF data is damaged
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path}: picture of more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller"
    )


def _listed(formats: tuple[str, ...]) -> str:
    few = len(formats) < 3
    return " or ".join(formats) if few else f"picture of the formats {', '.join(formats)}"


def _rgb(picture: Image.Image, transparent: int | tuple[int, ...] | None) -> Image.Image:
    if picture.mode.startswith("I"):
        picture = _eight_bits(picture, transparent)
    elif transparent is not None:
        picture.load()
        picture.info["transparency"] = transparent
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def _transparent_value(picture: Image.Image) -> int | tuple[int, ...] | None:
    """The transparent grey value or colour of a PNG, in the depth of the decoded pixels.

    Pillow gives the value in the depth of the file, which no decoded pixel would match.
    """
    value = picture.info.get("transparency")
    tiles = getattr(picture, "tile", None)
    raw_mode = tiles[0][3] if tiles else None
    if isinstance(value, int) and raw_mode in _LOW_DEPTH:
        return value * _LOW_DEPTH[raw_mode]
    if isinstance(value, tuple) and raw_mode == "RGB;16B":
        return tuple(channel >> 8 for channel in value)
    return value if isinstance(value, int | tuple) else None


def _eight_bits(picture: Image.Image, transparent: int | tuple[int, ...] | None) -> Image.Image:
    """A 16-bit grey picture in 8 bits. Pixels with the transparent value become white."""
    values = np.asarray(picture)
    grey = np.rint(values.astype(np.float32) / _SIXTEEN_TO_EIGHT_BITS).clip(0, 255).astype(np.uint8)
    if transparent is not None:
        grey[values == transparent] = 255
    return Image.fromarray(grey)
