"""Box masks in closed form on non-square pictures."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adasise_bench.data.boxes import Box, box_mask, turned


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


def inside_corners(corners: list[tuple[float, float]], x: float, y: float) -> bool:
    """Whether a point lies in a convex polygon, by the side of every edge that it lies on."""
    sides = [
        (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True)
    ]
    return all(side >= 0 for side in sides) or all(side <= 0 for side in sides)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.5, 89.5), st.integers(2, 30), st.integers(2, 30), st.integers(0, 3))
def test_a_turned_box_holds_the_centres_between_its_corners(
    angle: float, width: int, height: int, quarters: int
) -> None:
    degrees = angle + 90 * quarters
    box = turned(Box("dog", 11, 16, 10 + width, 15 + height), degrees)
    assert box.rotation
    x, y = 10 + width / 2, 15 + height / 2
    across, down = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [
        (
            x + i * width / 2 * across - j * height / 2 * down,
            y + i * width / 2 * down + j * height / 2 * across,
        )
        for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    expected = torch.tensor(
        [
            [inside_corners(corners, (k + 0.5) * 60 / 30, (n + 0.5) * 40 / 40) for k in range(30)]
            for n in range(40)
        ]
    )
    found = box_mask([box], (60, 40), (40, 30))
    assert torch.equal(found, expected) or (found.sum() == 1 and not expected.any())
    left, top, right, bottom = box.extent
    assert (left, right) == pytest.approx((min(c[0] for c in corners), max(c[0] for c in corners)))
    assert (top, bottom) == pytest.approx((min(c[1] for c in corners), max(c[1] for c in corners)))


def test_clockwise_is_as_seen_on_the_picture() -> None:
    """A flat box turned by 30 degrees clockwise falls to the right: row numbers grow downwards."""
    mask = box_mask([turned(Box("dog", 11, 28, 50, 33), 30)], (60, 60), (60, 60))
    rows = mask.nonzero().double()
    assert rows[rows[:, 1] < 20, 0].mean() < 25
    assert rows[rows[:, 1] > 40, 0].mean() > 35


@pytest.mark.parametrize("degrees", [90, -90, 270, 450, 90 + 1e-9])
def test_a_right_angle_swaps_the_sides(degrees: float) -> None:
    box = turned(Box("dog", 21, 41, 140, 60), degrees)
    assert box == Box("dog", 71, -9, 90, 110)
    for same in (0, 180, 360, 359.99999999929037):
        assert turned(box, same) == box


def test_a_box_that_is_not_turned_is_written_as_before() -> None:
    """Digests of annotations, by which a run knows its pictures, are taken from this text."""
    assert repr(Box("dog", 1, 2.5, 3, 4)) == (
        "Box(class_name='dog', xmin=1, ymin=2.5, xmax=3, ymax=4, difficult=False)"
    )
    assert "rotation=30.0" in repr(turned(Box("dog", 1, 2, 3, 4), 30))


def test_a_turned_box_too_small_for_any_centre_gets_the_pixel_of_its_own() -> None:
    mask = box_mask([turned(Box("dog", 31, 21, 31, 21), 45)], (60, 40), (4, 6))
    assert mask.nonzero().tolist() == [[2, 3]]
