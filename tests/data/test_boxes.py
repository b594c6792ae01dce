"""Box masks in closed form on non-square pictures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adasise_bench.data.boxes import Box, box_mask


def test_identity_frame_is_one_based_and_inclusive() -> None:
    mask = box_mask([Box("dog", 2, 1, 4, 2)], (6, 3), (3, 6))
    expected = torch.zeros(3, 6, dtype=torch.bool)
    expected[0:2, 1:4] = True
    assert torch.equal(mask, expected)


def test_scaling_follows_each_axis() -> None:
    """Columns round(10·224/500) = 4 up to round(250·224/500) = 112; rows 0 up to 100·224/200 = 112."""
    mask = box_mask([Box("dog", 11, 1, 250, 100)], (500, 200), (224, 224))
    rows, columns = mask.nonzero(as_tuple=True)
    assert (int(columns.min()), int(columns.max())) == (4, 111)
    assert (int(rows.min()), int(rows.max())) == (0, 111)


def test_union_and_the_whole_picture() -> None:
    whole = box_mask([Box("dog", 1, 1, 500, 375)], (500, 375), (224, 224))
    assert whole.all()
    two = box_mask([Box("dog", 1, 1, 2, 2), Box("dog", 2, 2, 3, 3)], (3, 3), (3, 3))
    assert int(two.sum()) == 7


@pytest.mark.parametrize("corners", [(1, 1, 1, 1), (5000, 5000, 5000, 5000), (2500, 1, 2500, 1)])
def test_every_box_covers_at_least_one_pixel(corners: tuple[int, int, int, int]) -> None:
    assert int(box_mask([Box("dog", *corners)], (5000, 5000), (8, 8)).sum()) == 1


@given(
    st.integers(1, 600), st.integers(1, 600), st.integers(-50, 700), st.integers(0, 300),
    st.integers(-50, 700), st.integers(0, 300),
)  # fmt: skip
def test_equals_a_loop(width: int, height: int, x: int, dx: int, y: int, dy: int) -> None:
    mask = box_mask([Box("dog", x, y, x + dx, y + dy)], (width, height), (16, 24))
    left, right = round((x - 1) * 24 / width), round((x + dx) * 24 / width)
    top, bottom = round((y - 1) * 16 / height), round((y + dy) * 16 / height)
    inside = {(r, c) for r in range(16) for c in range(24) if left <= c < right and top <= r < bottom}
    got = {(int(r), int(c)) for r, c in mask.nonzero()}
    assert got == inside if inside else len(got) >= 1
