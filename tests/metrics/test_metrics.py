"""Measures in closed form on non-square pictures, against Quantus, and their invariants."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import quantus
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adasise_bench.metrics.faithfulness import area_under_curve, average_gain, drop, increase, shown_part
from adasise_bench.metrics.localisation import bbox, ebpg, miou
from adasise_bench.metrics.pixels import is_degenerate, pixel_order, share_of_pixels, top_pixels
from adasise_bench.metrics.randomisation import rank_correlation

SHAPE = (6, 10)
maps = arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32)).map(torch.from_numpy)
boxes = arrays(np.bool_, SHAPE).filter(lambda a: a.any()).map(torch.from_numpy)


def corner_box() -> torch.Tensor:
    inside = torch.zeros(SHAPE, dtype=torch.bool)
    inside[:2, :5] = True
    return inside


def test_ebpg_in_closed_form() -> None:
    saliency = torch.zeros(SHAPE)
    saliency[0, 4], saliency[1, 5], saliency[4, 0] = 3, 1, 2
    assert ebpg(saliency, corner_box()) == pytest.approx(50)


def test_ebpg_of_a_flat_map_is_the_box_share() -> None:
    assert ebpg(torch.full(SHAPE, 0.3), corner_box()) == pytest.approx(100 * 10 / 60)


def test_ebpg_of_a_zero_map_is_zero_and_negative_maps_are_refused() -> None:
    assert ebpg(torch.zeros(SHAPE), corner_box()) == 0
    with pytest.raises(ValueError, match="negative"):
        ebpg(torch.full(SHAPE, -1.0), corner_box())


def test_bbox_in_closed_form() -> None:
    saliency = torch.zeros(SHAPE)
    saliency[0, :7] = 1  # five inside, two outside; the ten highest are these and row-major ties
    expected_ties = 3  # pixels (0,7), (0,8), (0,9) come next, all outside
    assert bbox(saliency, corner_box()) == pytest.approx(100 * 5 / (7 + expected_ties))


def test_axes_are_not_swapped() -> None:
    saliency = torch.zeros(SHAPE)
    saliency[0, 9] = 1
    inside = torch.zeros(SHAPE, dtype=torch.bool)
    inside[0, 9] = True
    assert ebpg(saliency, inside) == bbox(saliency, inside) == 100


def test_top_pixels_takes_ties_in_row_major_order() -> None:
    top = top_pixels(torch.zeros(SHAPE), 13)
    assert top.flatten().nonzero().flatten().tolist() == list(range(13))


@pytest.mark.parametrize(
    ("shape", "count"), [((224, 224), 7526), ((10, 10), 15), ((20, 20), 60), ((7, 3), 3)]
)
def test_shown_share_is_floored_exactly(shape: tuple[int, int], count: int) -> None:
    assert share_of_pixels(torch.zeros(shape), 0.15) == count


def test_miou_in_closed_form() -> None:
    saliency = torch.zeros(SHAPE)
    saliency[:2, 3:9] = 1  # the top 12 of 60 pixels; 4 inside the box of 10
    assert miou(saliency, corner_box()) == pytest.approx(100 * 4 / 18)


def test_shown_part_keeps_the_top_pixels_of_every_channel() -> None:
    image = torch.arange(1.0, 181.0).view(1, 3, *SHAPE)
    saliency = torch.zeros(SHAPE)
    saliency[5, 1:10] = 1
    shown = shown_part(image, saliency)
    assert torch.equal(shown != 0, (saliency > 0).expand(1, 3, *SHAPE))
    assert torch.equal(shown[0, :, 5, 1:], image[0, :, 5, 1:])


@pytest.mark.parametrize(
    ("score", "shown", "dropped", "increased"),
    [(0.8, 0.2, 75, 0), (0.8, 0.8, 0, 0), (0.5, 0.9, 0, 100), (0.0, 0.1, 0, 100), (-1.0, -2.0, 100, 0)],
)
def test_drop_and_increase(score: float, shown: float, dropped: float, increased: float) -> None:
    assert drop(score, shown) == pytest.approx(dropped)
    assert increase(score, shown) == increased


@given(st.permutations(range(SHAPE[0] * SHAPE[1])), boxes)
@settings(max_examples=30)
def test_ebpg_and_bbox_equal_quantus(ranks: list[int], inside: torch.Tensor) -> None:
    saliency = torch.tensor(ranks).view(SHAPE) / len(ranks)
    attribution, segment = saliency.double().numpy()[None, None], inside.numpy()[None, None]
    batch = {"x_batch": np.zeros((1, 1, *SHAPE)), "a_batch": attribution, "s_batch": segment}
    quiet = {"abs": False, "normalise": False, "disable_warnings": True}
    mass = quantus.RelevanceMassAccuracy(**quiet).evaluate_batch(**batch)
    rank = quantus.RelevanceRankAccuracy(**quiet).evaluate_batch(**batch)
    assert ebpg(saliency, inside) == pytest.approx(100 * float(np.ravel(mass)[0]))
    assert bbox(saliency, inside) == pytest.approx(100 * float(np.ravel(rank)[0]))


@given(maps, boxes, st.floats(0.1, 10))
def test_ranges_and_scale_invariance(saliency: torch.Tensor, inside: torch.Tensor, factor: float) -> None:
    for measure in (ebpg, bbox, miou):
        assert 0 <= measure(saliency, inside) <= 100 + 1e-9
    doubled = saliency * 2  # exact in floating point
    assert ebpg(doubled, inside) == pytest.approx(ebpg(saliency, inside))
    assert bbox(doubled, inside) == bbox(saliency, inside)
    assert ebpg(saliency * factor, inside) == pytest.approx(ebpg(saliency, inside), rel=1e-4)


@given(boxes)
def test_a_map_equal_to_the_box_is_perfect(inside: torch.Tensor) -> None:
    assert bbox(inside.float(), inside) == 100
    assert ebpg(inside.float(), inside) == 100


@given(st.floats(0, 1), st.floats(0, 1))
def test_drop_and_increase_exclude_each_other(score: float, shown: float) -> None:
    assert 0 <= drop(score, shown) <= 100
    assert not (drop(score, shown) > 0 and increase(score, shown) > 0)


def test_degenerate_maps() -> None:
    assert is_degenerate(torch.zeros(SHAPE))
    assert not is_degenerate(torch.eye(4))


@pytest.mark.parametrize(
    ("score", "shown", "gain"),
    [(0.5, 0.9, 80), (0.5, 0.4, 0), (0.9, 0.95, 50), (0.0, 1.0, 100), (1.0, 1.0, None), (1.0, 0.5, None)],
)
def test_average_gain(score: float, shown: float, gain: float | None) -> None:
    assert average_gain(score, shown) == (gain if gain is None else pytest.approx(gain))


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_gain_and_drop_exclude_each_other(score: float, shown: float) -> None:
    gain = average_gain(score, shown)
    assert gain is not None
    assert 0 <= gain <= 100
    assert not (gain > 0 and drop(score, shown) > 0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60))
def test_area_under_curve_is_the_trapezoidal_rules(scores: list[float]) -> None:
    wanted = 100 * np.trapezoid(scores, dx=1 / (len(scores) - 1))
    assert area_under_curve(torch.tensor(scores, dtype=torch.float64)) == pytest.approx(wanted)


def varied(values: torch.Tensor) -> bool:
    return not is_degenerate(values)


@given(maps.filter(varied), maps.filter(varied))
def test_rank_correlation_is_pandas_and_symmetric(one: torch.Tensor, other: torch.Tensor) -> None:
    series = [pd.Series(values.flatten().double().numpy()) for values in (one, other)]
    found = rank_correlation(one, other)
    assert found == pytest.approx(series[0].corr(series[1], method="spearman"), abs=1e-9)
    assert found == pytest.approx(rank_correlation(other, one), abs=1e-12)
    assert rank_correlation(one, one) == pytest.approx(1)
    assert rank_correlation(one, -2 * one.double()) == pytest.approx(-1)
    assert rank_correlation(one, torch.zeros(SHAPE)) is None


@given(maps)
def test_pixel_order_falls_and_takes_ties_in_row_major_order(saliency: torch.Tensor) -> None:
    values = saliency.flatten().tolist()
    wanted = sorted(range(len(values)), key=lambda pixel: (-values[pixel], pixel))
    assert pixel_order(saliency).tolist() == wanted
