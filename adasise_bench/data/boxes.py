"""Bounding boxes, and the masks that they make in the size of the network's input."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class Box(NamedTuple):
    """The class of an object and its corners in pixels of the picture, 1-based and inclusive as in VOC.

    ``rotation`` turns the box around its centre, in degrees clockwise as seen on the picture. The corners are
    those of the box before it is turned.
    """

    class_name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool = False
    rotation: float = 0.0

    def __repr__(self) -> str:
        """The box as text, from which digests are taken. ``rotation`` is left out where it is 0."""
        shown = self._asdict()
        if not self.rotation:
            del shown["rotation"]
        return f"Box({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def length(self) -> tuple[float, float]:
        """Width and height in pixels, before the box is turned."""
        return self.xmax - self.xmin + 1, self.ymax - self.ymin + 1

    @property
    def centre(self) -> tuple[float, float]:
        """x and y in pixels from the picture's upper left corner."""
        return (self.xmin - 1 + self.xmax) / 2, (self.ymin - 1 + self.ymax) / 2

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the turned box, in pixels from the picture's upper left corner."""
        if not self.rotation:
            return self.xmin - 1, self.ymin - 1, self.xmax, self.ymax
        (width, height), (x, y), angle = self.length, self.centre, math.radians(self.rotation)
        across = (abs(width * math.cos(angle)) + abs(height * math.sin(angle))) / 2
        down = (abs(width * math.sin(angle)) + abs(height * math.cos(angle))) / 2
        return x - across, y - down, x + across, y + down


_RIGHT_ANGLE = 90
_DRAWN_UPRIGHT = 1e-6
"""In degrees. A box that is turned by a right angle up to this difference is meant to be upright."""


def turned(box: Box, degrees: float) -> Box:
    """Turn a box around its centre, clockwise. Turned by a right angle, it is an upright box of other sides.

    Example:
        >>> from adasise_bench.data.boxes import Box, turned
        >>> turned(Box("dog", 1, 1, 4, 2), 90).length  # 4 by 2 becomes 2 by 4
        (2.0, 4.0)
    """
    quarters = round(degrees / _RIGHT_ANGLE)
    if abs(degrees - quarters * _RIGHT_ANGLE) > _DRAWN_UPRIGHT:
        return box._replace(rotation=math.fmod(degrees, 360))
    if quarters % 2 == 0:
        return box
    (width, height), (x, y) = box.length, box.centre
    return box._replace(
        xmin=x - height / 2 + 1, ymin=y - width / 2 + 1, xmax=x + height / 2, ymax=y + width / 2
    )


def without_minus_one(box: Box) -> Box:
    """The box whose first row and column are taken as if they were counted from 0: one pixel further in.

    This is what the authors' published code covers: ``round(xmin * W' / W)`` up to, not including,
    ``round(xmax * W' / W)``. A box that is turned is left as it is, for its corners are none of VOC's.

    Example:
        >>> from adasise_bench.data.boxes import Box, box_mask, without_minus_one
        >>> left_half = without_minus_one(Box("dog", 1, 1, 5, 10))
        >>> box_mask([left_half], (10, 10), (10, 10))[1].long().tolist()
        [0, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    """
    return box if box.rotation else box._replace(xmin=box.xmin + 1, ymin=box.ymin + 1)


def box_mask(
    boxes: Iterable[Box], picture_size: tuple[int, int], input_size: tuple[int, int]
) -> torch.Tensor:
    """G: the union of the boxes of a class, in the size of the network's input.

    Args:
        boxes: the boxes of one class.
        picture_size: width and height of the picture they are drawn on.
        input_size: height and width of the network's input.

    Returns:
        (H, W) bool; every box covers at least one pixel.

    Example:
        >>> from adasise_bench.data.boxes import Box, box_mask
        >>> left_half = Box("dog", 1, 1, 5, 10)  # the first 5 of 10 columns
        >>> box_mask([left_half], (10, 10), (1, 4)).tolist()
        [[True, True, False, False]]
    """
    import torch

    height, width = input_size
    mask = torch.zeros(height, width, dtype=torch.bool)
    for box in boxes:
        if box.rotation:
            mask |= _turned_mask(box, picture_size, input_size)
            continue
        left, right = span(box.xmin, box.xmax, picture_size[0], width)
        top, bottom = span(box.ymin, box.ymax, picture_size[1], height)
        mask[top:bottom, left:right] = True
    return mask


def span(first: float, last: float, picture: int, frame: int) -> tuple[int, int]:
    """The half-open range of input pixels for the picture's 1-based, inclusive ``first`` to ``last``."""
    before, last = (min(max(edge, 0), picture) for edge in (first - 1, last))
    start = min(round(before * frame / picture), frame - 1)
    stop = max(round(last * frame / picture), start + 1)
    return start, stop


def _turned_mask(box: Box, picture_size: tuple[int, int], input_size: tuple[int, int]) -> torch.Tensor:
    """The input's pixels whose centres lie in a turned box, or else the pixel of the box's own centre."""
    import torch

    frame, centre, angle = input_size[::-1], box.centre, math.radians(box.rotation)
    x, y = (
        (torch.arange(side, dtype=torch.float64) + 0.5) * picture / side - middle
        for side, picture, middle in zip(frame, picture_size, centre, strict=True)
    )
    along = x * math.cos(angle) + y[:, None] * math.sin(angle)
    athwart = y[:, None] * math.cos(angle) - x * math.sin(angle)
    mask = (along.abs() <= box.length[0] / 2) & (athwart.abs() <= box.length[1] / 2)
    if not mask.any():
        column, row = (
            min(max(int(middle * side / picture), 0), side - 1)
            for middle, side, picture in zip(centre, frame, picture_size, strict=True)
        )
        mask[row, column] = True
    return mask
