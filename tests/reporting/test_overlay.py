"""Overlays: where the colour goes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from adasise_bench.reporting.overlay import colored, normalized, overlay


def test_colour_lies_where_the_map_is_high() -> None:
    saliency = np.zeros((4, 8), dtype=np.float32)
    saliency[:, 6:] = 3.0
    drawn = np.asarray(overlay(Image.new("RGB", (80, 40), (200, 100, 50)), saliency)).astype(int)
    assert drawn.shape == (40, 80, 3)
    left, right = drawn[:, :40], drawn[:, 70:]
    assert (left.max(axis=2) == left.min(axis=2)).all()
    assert (right.max(axis=2) - right.min(axis=2) > 50).all()


def test_constant_map_leaves_the_picture_grey() -> None:
    picture = Image.new("RGB", (10, 6), (200, 100, 50))
    drawn = np.asarray(overlay(picture, np.full((3, 5), 0.7, dtype=np.float32)))
    assert (drawn == round(0.6 * picture.convert("L").getpixel((0, 0)))).all()


def test_normalized_spans_zero_to_one_and_colours_start_black() -> None:
    values = normalized(np.array([[2.0, 4.0], [3.0, 6.0]], dtype=np.float32))
    assert values.tolist() == [[0.0, 0.5], [0.25, 1.0]]
    assert colored(values)[0, 0].max() < 5
