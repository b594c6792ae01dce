"""Bounding boxes as masks in the frame of the network's input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch


class Box(NamedTuple):
    """An object's class and corners in pixels of the picture, 1-based and inclusive as in VOC."""

    class_name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool = False


def box_mask(
    boxes: Iterable[Box], picture_size: tuple[int, int], input_size: tuple[int, int]
) -> torch.Tensor:
    """G: the union of boxes in the input's frame (PROTOCOL section 4).

    Args:
        boxes: the boxes of one class.
        picture_size: width and height of the picture they are drawn on.
        input_size: height and width of the network's input.

    Returns:
        (H, W) bool; every box covers at least one pixel.
    """
    height, width = input_size
    mask = torch.zeros(height, width, dtype=torch.bool)
    for box in boxes:
        left, right = _span(box.xmin, box.xmax, picture_size[0], width)
        top, bottom = _span(box.ymin, box.ymax, picture_size[1], height)
        mask[top:bottom, left:right] = True
    return mask


def _span(first: float, last: float, picture: int, frame: int) -> tuple[int, int]:
    """Half-open range of input pixels for the inclusive 1-based picture pixels ``first`` to ``last``."""
    before, last = (min(max(edge, 0), picture) for edge in (first - 1, last))
    start = min(round(before * frame / picture), frame - 1)
    stop = max(round(last * frame / picture), start + 1)
    return start, stop
