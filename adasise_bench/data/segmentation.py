"""The pixels of objects as COCO stores them: polygons and run lengths, which are decoded when needed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adasise_bench.utils.errors import ConfigError

if TYPE_CHECKING:
    import torch

_COMPRESSED = re.compile(r"(?:[P-o]{0,6}[0-O])*")
"""The last letter of every run length has no mark; the mark means that another letter follows."""


@dataclass(frozen=True)
class Outline:
    """The pixels of one object. Its polygons or run lengths were checked, and can be decoded.

    Attributes:
        picture_size: width and height in pixels.
        polygons: x, y, x, y, ... in pixels, from 0.
        runs: lengths of runs of pixels, in turn outside and inside of the object, column by column.
    """

    picture_size: tuple[int, int]
    polygons: tuple[Sequence[float], ...] = ()
    runs: tuple[int, ...] = ()

    @classmethod
    def of(cls, segmentation: Any, picture_size: tuple[int, int]) -> Outline:
        """Check the outline in an annotation.

        Args:
            segmentation: a list of polygons, or a mapping with ``size`` (height, width) and ``counts``,
                which is a list, or a text as pycocotools compresses it.
            picture_size: width and height.

        Raises:
            ValueError: it is none of these, or is far outside the picture.
        """
        if isinstance(segmentation, dict):
            return cls(picture_size, runs=_runs(segmentation, picture_size))
        if not isinstance(segmentation, list) or not segmentation:
            raise ValueError("no polygons or run lengths")
        return cls(picture_size, polygons=tuple(_polygon(points, picture_size) for points in segmentation))

    def pixels(self) -> torch.Tensor:
        """The pixels of the object, (H, W) bool in the size of the picture.

        Example:
            >>> from adasise_bench.data.segmentation import Outline
            >>> Outline((2, 2), runs=(1, 2, 1)).pixels().tolist()  # column by column: 1 out, 2 in, 1 out
            [[False, True], [True, False]]
        """
        import torch

        width, height = self.picture_size
        if self.runs:
            flat = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs)
            return torch.from_numpy(np.ascontiguousarray(flat.reshape(width, height).T))
        from pycocotools import mask

        shapes = mask.frPyObjects([list(points) for points in self.polygons], height, width)
        layers: NDArray[np.uint8] = mask.decode(shapes)
        return torch.from_numpy(layers.any(axis=2))


def in_frame(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize the pixels of an object from the picture to the network's input.

    A pixel of the input belongs to the object if its centre does. This is the rule of :func:`.box_mask`,
    except for a centre exactly on an edge.

    Args:
        pixels: (H, W) bool.
        size: height and width of the input.

    Returns:
        (height, width) bool. An object that is too small to contain any centre gets the pixel of its own
        centre.
    """
    import torch

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
    """Check that polygons can be decoded, before anything begins.

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
    """Read run lengths that pycocotools has written as text.

    Each letter has five bits of a number. From the fourth run on, the number is the difference to the run two
    places before.

    Raises:
        ValueError: the text is damaged.

    Example:
        >>> from adasise_bench.data.segmentation import decompressed
        >>> decompressed("12")
        [1, 2]
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
