"""The highest pixels of a mask, without sorting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adasise_bench.methods.extremal_perturbation.area_constraint import (
    AreaConstraint,
    first_high_pixels,
    largest_of_low,
    largest_of_low_by_sort,
    largest_of_low_by_topk,
)


@given(
    arrays("float32", (2, 5, 7), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    st.floats(0.001, 0.999),
)
def test_high_pixels_are_the_last_of_a_stable_sort(masks: object, area: float) -> None:
    masks = torch.as_tensor(masks)
    high = AreaConstraint([area], 35, masks.device).high_pixels(masks)
    low = int(35 * (1 - area))
    order = masks.flatten(1).sort(dim=1, stable=True).indices
    expected = torch.zeros(2, 35, dtype=torch.bool).scatter_(1, order[:, low:], True)
    assert torch.equal(high.flatten(1), expected)


@given(
    arrays("float32", (3, 2, 35), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    st.integers(0, 35),
    st.integers(0, 35),
)
@pytest.mark.parametrize("select", [largest_of_low, largest_of_low_by_sort, largest_of_low_by_topk])
def test_the_value_at_the_border_is_that_of_a_sort(select: object, masks: object, one: int, two: int) -> None:
    rows = torch.as_tensor(masks)
    ranked = rows.sort(dim=2).values
    expected = torch.stack([ranked[:, 0, max(one, 1) - 1], ranked[:, 1, max(two, 1) - 1]], dim=1)
    assert torch.equal(select(rows, [one, two]), expected)


def test_areas_repeat_over_images() -> None:
    masks = torch.rand(4, 10, 10, generator=torch.Generator().manual_seed(0))
    high = AreaConstraint([0.1, 0.4], 100, masks.device).high_pixels(masks)
    assert high.sum(dim=(1, 2)).tolist() == [10, 40, 10, 40]


@pytest.mark.parametrize("areas", [(0.12,), (0.025, 0.05, 0.1, 0.2)])
def test_first_high_pixels_have_their_areas(areas: tuple[float, ...]) -> None:
    high = first_high_pixels((48, 40), 7, 21.0, areas, torch.device("cpu"))
    pixels = high[0].numel()
    assert high.sum(dim=(1, 2)).tolist() == [pixels - int(pixels * (1 - area)) for area in areas]
