"""Objects' pixels as COCO stores them: polygons and run lengths, decoded when they are needed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adasise_bench.utils.errors import ConfigError

_COMPRESSED = re.compile(r"(?:[P-o]{0,6}[0-O])*")
"""Every run length ends in a letter without the mark that another follows."""


@dataclass(frozen=True)
class Outline:
    """One object's pixels; its polygons and run lengths are known to be decodable.

    Attributes:
        picture_size: width and height.
        polygons: x, y, x, y, ... in pixels, 0-based.
        runs: lengths of runs of pixels outside and inside in turn, column by column.
    """

    picture_size: tuple[int, int]
    polygons: tuple[Sequence[float], ...] = ()
    runs: tuple[int, ...] = ()

    @classmethod
    def of(cls, segmentation: Any, picture_size: tuple[int, int]) -> Outline:
        """Check what an annotation says.

        Args:
            segmentation: a list of polygons, or a mapping with ``size`` (height, width) and ``counts``,
                which is a list, or a text as pycocotools compresses it.
            picture_size: width and height.

        Raises:
            ValueError: it is none of these, or lies far outside the picture.
        """
        if isinstance(segmentation, dict):
            return cls(picture_size, runs=_runs(segmentation, picture_size))
        if not isinstance(segmentation, list) or not segmentation:
            raise ValueError("no polygons or run lengths")
        return cls(picture_size, polygons=tuple(_polygon(points, picture_size) for points in segmentation))

    def pixels(self) -> torch.Tensor:
        """The object's pixels in the picture's frame, (H, W) bool."""
        width, height = self.picture_size
        if self.runs:
            flat = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs)
            return torch.from_numpy(np.ascontiguousarray(flat.reshape(width, height).T))
        from pycocotools import mask

        shapes = mask.frPyObjects([list(points) for points in self.polygons], height, width)
        layers: NDArray[np.uint8] = mask.decode(shapes)
        return torch.from_numpy(layers.any(axis=2))


def in_frame(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pixels of a picture in the frame of the network's input.

    A pixel of the frame belongs to the object if its centre does: the rule of
    :func:`adasise_bench.data.boxes.box_mask`, but for a centre exactly on an edge.

    Args:
        pixels: (H, W) bool.
        size: height and width of the frame.

    Returns:
        (height, width) bool; an object too small for every centre gets the pixel of its own centre.
    """
    rows, columns = (
        (2 * torch.arange(frame) + 1) * picture // (2 * frame)
        for frame, picture in zip(size, pixels.shape, strict=True)
    )
    region = pixels[rows][:, columns]
    if not region.any() and pixels.any():
        centre = pixels.nonzero().double().mean(dim=0) + 0.5
        row, column = (int(centre[axis] * size[axis] / pixels.shape[axis]) for axis in (0, 1))
        region[row, column] = True
    return region


def require_decoder() -> None:
    """Refuse to begin where polygons cannot be decoded.

    Raises:
        ConfigError: pycocotools is not installed.
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        raise ConfigError(
            "data.region=masks: pycocotools is not installed: pip install 'adasise-bench[coco]', "
            "or use data.region=boxes"
        ) from None


def _polygon(points: Any, picture_size: tuple[int, int]) -> Sequence[float]:
    try:
        values = np.asarray(array("d", points))
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a polygon is a list of numbers") from None
    if len(values) < 6 or len(values) % 2:
        raise ValueError("a polygon has x and y of three points or more")
    for values_of_axis, side in zip(values.reshape(-1, 2).T, picture_size, strict=True):
        if not (np.abs(values_of_axis - side / 2) <= 1.5 * side).all():
            raise ValueError("a polygon lies far outside the picture")
    return tuple(values.tolist())


def _runs(entry: dict[Any, Any], picture_size: tuple[int, int]) -> tuple[int, ...]:
    width, height = picture_size
    counts = entry.get("counts")
    if entry.get("size") != [height, width]:
        raise ValueError(f"run lengths of a picture of another size {entry.get('size')}")
    if isinstance(counts, str):
        counts = decompressed(counts)
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("run lengths are whole numbers from 0")
    if sum(counts) != width * height:
        raise ValueError(f"run lengths add up to {sum(counts)}, not to the {width * height} pixels")
    return tuple(counts)


def decompressed(text: str) -> list[int]:
    """Run lengths that pycocotools has written as text: five bits a letter, differences from the third on.

    Raises:
        ValueError: no such text.
    """
    if not _COMPRESSED.fullmatch(text):
        raise ValueError("run lengths are damaged")
    counts: list[int] = []
    value, shift = 0, 0
    for letter in text:
        code = ord(letter) - 48
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) << (shift - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts
