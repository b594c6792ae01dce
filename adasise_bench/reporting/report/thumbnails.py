"""Pictures and saliency maps, made as small as one can look at."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adasise_bench.reporting.overlay import normalized

PICTURE_SIDE = 288
MAP_SIDE = 112
_PICTURE_QUALITY = 55
_MAP_QUALITY = 85


def picture_thumbnail(picture: Image.Image) -> str:
    """A picture as base64 WebP of at most :data:`PICTURE_SIDE` pixels a side, its proportions kept."""
    return _webp(_shrunk(picture, PICTURE_SIDE), _PICTURE_QUALITY)


def map_thumbnail(saliency: NDArray[np.float32]) -> str:
    """A (H, W) map, scaled to [0, 1], as base64 grey WebP of at most :data:`MAP_SIDE` pixels a side."""
    grey = Image.fromarray(np.rint(255 * normalized(saliency)).astype(np.uint8))
    return _webp(_shrunk(grey, MAP_SIDE), _MAP_QUALITY)


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.BOX if image.mode == "L" else Image.Resampling.LANCZOS)
    return small


def _webp(image: Image.Image, quality: int) -> str:
    encoded = io.BytesIO()
    image.save(encoded, "WEBP", quality=quality)
    return base64.b64encode(encoded.getvalue()).decode("ascii")
