"""The one reader of pictures, of data sets and of a person's own: as they are seen on a screen, in 8-bit RGB.

``docs/pictures.md`` states its rules for users.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
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
"""What makes a stored picture upright, by the value of EXIF's tag ``Orientation``."""

_SWAPS_SIDES = (5, 6, 7, 8)

_MAY_ORIENT = (b"Exif", b"eXIf", b"exif", b"adobe.xmp", b"Orientation")
"""A file with an orientation holds one of these; others need not be parsed."""

_LOW_DEPTH = {"L;2": 85, "L;4": 17}
"""Factor between a grey value of 2 or 4 bits and the 8 bits that Pillow makes of it, by Pillow's raw mode."""


class Picture(NamedTuple):
    """A picture and where it comes from.

    Attributes:
        image: 8-bit RGB, upright, transparency over white.
        animated: whether the file holds more frames; ``image`` is the first.
        sha256: of the file, 64 hex digits.
    """

    image: Image.Image
    animated: bool
    sha256: str


def read_picture(path: Path) -> Picture:
    """Read a picture of one of :data:`FORMATS` that nothing is annotated on: :func:`decode`."""
    with warnings.catch_warnings(action="ignore"):
        return decode(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """A picture's file.

    Raises:
        DataError: there is no such file, or it is too large or cannot be read.
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
        path: names it in messages.
        formats: those that are allowed, by Pillow's names.
        annotated: width and height that its annotation says. A picture whose stored size this is, and not
            that of the upright one, stays as it is stored, because its boxes were drawn on that.

    Raises:
        DataError: none of the formats, damaged, of another size than annotated, or of more than
            :data:`MAX_PIXELS` pixels.
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
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
        reason = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
        raise DataError(f"{path}: cannot read the picture: {reason}") from None


def turned_on_trust(content: bytes, formats: tuple[str, ...], annotated: tuple[int, int]) -> bool:
    """Whether a picture is turned or mirrored although its annotated size fits it as stored as well.

    Args:
        content, formats, annotated: as for :func:`decode`.

    Returns:
        False for what cannot be decoded.
    """
    if not any(mark in content for mark in _MAY_ORIENT):
        return False
    try:
        with Image.open(io.BytesIO(content), formats=formats) as file:
            return file.size == annotated and _turn(file, Path(), annotated) is not None
    except Exception:  # whoever decodes it says what is wrong
        return False


def _turn(file: Image.Image, path: Path, annotated: tuple[int, int] | None) -> Transpose | None:
    """What makes a file's pixels those that its annotation describes.

    Raises:
        DataError: neither as stored nor upright does it have the annotated size.
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
    """EXIF's value, 1 where there is none or what stands there is damaged."""
    try:
        if file.format == "TIFF":
            file.load()  # newer versions of Pillow turn these themselves, and then no longer say so
        value = file.getexif().get(ExifTag.Orientation, 1)
    except Exception:  # viewers show a picture whose EXIF part is damaged as it is stored
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
    """The grey or colour that a PNG says is transparent, in the depth that Pillow decodes its pixels to.

    Pillow leaves the value in the file's own depth, in which no decoded pixel has it.
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
    """A 16-bit grey picture in 8 bits, its transparent value made white."""
    values = np.asarray(picture)
    grey = np.rint(values.astype(np.float32) / _SIXTEEN_TO_EIGHT_BITS).clip(0, 255).astype(np.uint8)
    if transparent is not None:
        grey[values == transparent] = 255
    return Image.fromarray(grey)
