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


def test_pixels_above_the_99th_percentile_have_one_colour() -> None:
    saliency = np.linspace(0, 1, 1000, dtype=np.float32).reshape(20, 50)
    saliency[-1, -1] = 5
    values = normalized(saliency)
    assert values.max() == 1
    assert int((values == 1).sum()) == 10
    np.testing.assert_allclose(values.flat[:990], saliency.flat[:990] / saliency.flat[990], rtol=1e-6)


def test_the_stretch_is_at_most_tenfold() -> None:
    rng = np.random.default_rng(0)
    saliency = rng.random((40, 40), dtype=np.float32) * 1e-3
    saliency[3, 4] = 2
    values = normalized(saliency)
    assert values[3, 4] == 1
    np.testing.assert_allclose(
        np.delete(values.ravel(), 124), np.delete(saliency.ravel(), 124) / 0.2, atol=2e-3
    )
    alone = np.zeros((40, 40), dtype=np.float32)
    alone[3, 4] = 2
    np.testing.assert_array_equal(normalized(alone), alone / 2)


def test_a_map_of_few_bright_pixels_can_be_seen() -> None:
    noise = np.random.default_rng(0)
    saliency = (noise.random((100, 100)) < 0.02).astype(np.float32)
    saliency[50, 50] = 20
    drawn = np.asarray(overlay(Image.new("RGB", (100, 100), (90, 90, 90)), saliency)).astype(int)
    colourful = np.ptp(drawn, axis=2) > 40
    assert colourful[saliency == 1].all()
    assert not colourful[saliency == 0].any()


def test_normalized_spans_zero_to_one_and_colours_start_black() -> None:
    values = normalized(np.array([[2.0, 4.0], [3.0, 6.0]], dtype=np.float32))
    assert values.tolist() == [[0.0, 0.5], [0.25, 1.0]]
    assert colored(values)[0, 0].max() < 5
