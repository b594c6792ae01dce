"""Thumbnails show what they are made of, in little space."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from adasise_bench.reporting.report.thumbnails import MAP_SIDE, PICTURE_SIDE, map_thumbnail, picture_thumbnail


def decoded(webp: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(webp)))
    assert image.format == "WEBP"
    return image


def test_pictures_keep_their_proportions_and_colours() -> None:
    pixels = np.zeros((400, 800, 3), dtype=np.uint8)
    pixels[:, :400] = (200, 40, 40)
    pixels[:, 400:] = (40, 40, 200)
    small = decoded(picture_thumbnail(Image.fromarray(pixels)))
    assert small.size == (PICTURE_SIDE, PICTURE_SIDE // 2)
    shown = np.asarray(small.convert("RGB")).astype(int)
    assert (abs(shown[:, 20:100] - (200, 40, 40)) < 12).all()
    assert (abs(shown[:, -100:-20] - (40, 40, 200)) < 12).all()


def test_small_pictures_are_not_enlarged() -> None:
    assert decoded(picture_thumbnail(Image.new("RGB", (30, 20)))).size == (30, 20)


def test_maps_are_scaled_to_their_range_and_stay_close() -> None:
    row, column = np.mgrid[0:224, 0:224].astype(np.float32)
    saliency = 5 + np.exp(-((row - 60) ** 2 + (column - 150) ** 2) / 2000)
    top = np.percentile(saliency - 5, 99, method="higher")
    small = decoded(map_thumbnail(saliency))
    assert small.size == (MAP_SIDE, MAP_SIDE)
    shown = np.asarray(small.convert("L")).astype(float)
    reference = np.asarray(
        Image.fromarray(((saliency - 5) / top).clip(0, 1)).resize((MAP_SIDE, MAP_SIDE), Image.Resampling.BOX)
    )
    assert abs(shown - 255 * reference).max() < 12
    assert len(map_thumbnail(saliency)) < 2000


def test_a_constant_map_becomes_black() -> None:
    shown = np.asarray(decoded(map_thumbnail(np.full((9, 9), 3, dtype=np.float32))).convert("L"))
    assert (shown == 0).all()
