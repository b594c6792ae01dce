"""A person's own picture, from whatever camera or program, as it is seen on a screen."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from adasise_bench.data.files import regular
from adasise_bench.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 64_000_000

_SIXTEEN_TO_EIGHT_BITS = 257


class OwnPicture(NamedTuple):
    """A picture and where it comes from.

    Attributes:
        image: RGB, turned as its EXIF orientation says, transparency over white.
        animated: whether the file holds more frames; ``image`` is the first.
        sha256: of the file, 64 hex digits.
    """

    image: Image.Image
    animated: bool
    sha256: str


def read_picture(path: Path) -> OwnPicture:
    """Read a picture of one of :data:`FORMATS` in any mode; colour profiles are not applied.

    Raises:
        DataError: no such file, none of the formats, damaged, or more than :data:`MAX_PIXELS` pixels.
    """
    try:
        with regular(path) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise _too_large(path)
            if picture.mode in ("I", "F") and picture.format != "PNG":
                raise DataError(f"{path}: pixels of 32 bits; save the picture with 8 or 16 bits per channel")
            animated = getattr(picture, "is_animated", False)
            return OwnPicture(_rgb(ImageOps.exif_transpose(picture)), animated, sha256)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: empty, damaged, or no picture of the formats {', '.join(FORMATS)}"
        ) from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
        reason = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
        raise DataError(f"{path}: cannot read the picture: {reason}") from None


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path}: picture of more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller"
    )


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.float32) / _SIXTEEN_TO_EIGHT_BITS
        picture = Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")
