"""Whether the map lies on the object: metrics that hold it against the class's boxes or masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from adasise_bench.data.dataset import Annotation
from adasise_bench.metrics.pixels import share_of_pixels, top_pixels

IOU_SHARE = 0.20


TOLERANCE = 15
"""Pixels of the picture that a point may lie beside an object."""


def ebpg(saliency: torch.Tensor, inside: torch.Tensor) -> float:
    """Energy-based pointing game (Score-CAM; SISE): energy inside G / energy, in percent.

    A map without energy gets 0.

    Raises:
        ValueError: the map has a negative pixel, for which energy shares mean nothing.
    """
    energy = saliency.double()
    if bool((energy < 0).any()):
        raise ValueError("energy needs a map without negative pixels")
    total = energy.sum()
    return float(100 * energy[inside].sum() / total) if total > 0 else 0.0


def bbox(saliency: torch.Tensor, inside: torch.Tensor, order: torch.Tensor | None = None) -> float:
    """Share of the N = |G| highest pixels that lie in G, in percent (SISE; Schulz et al. 2020).

    ``order`` is as in :func:`top_pixels`.
    """
    count = int(inside.sum())
    return 100 * int((top_pixels(saliency, count, order) & inside).sum()) / count


def miou(saliency: torch.Tensor, inside: torch.Tensor, order: torch.Tensor | None = None) -> float:
    """Intersection over union of the top 20 % pixels with G, in percent (SISE, Table 1).

    ``order`` is as in :func:`top_pixels`.
    """
    top = top_pixels(saliency, share_of_pixels(saliency, IOU_SHARE), order)
    return 100 * int((top & inside).sum()) / int((top | inside).sum())


def pointing(saliency: torch.Tensor, region: torch.Tensor | None) -> float | None:
    """100 when the map points at the class, else 0: the pointing game as TorchRay plays it.

    The point is the highest pixel of the map resized bilinearly to the picture, the first in row-major order
    of equal ones. It hits when its distance to the nearest pixel of the region is below 15 pixels.

    Args:
        saliency: (H, W) map.
        region: the class's region in the picture's own frame, (H', W') bool, on the map's device; ``None``
            where all objects of the class are "difficult" in VOC's sense, which do not count.

    Returns:
        100 or 0; ``None`` without a region.
    """
    if region is None:
        return None
    resized = F.interpolate(saliency[None, None], region.shape, mode="bilinear", align_corners=False)
    row, column = divmod(int(resized.argmax()), region.shape[1])
    rows, columns = region.nonzero(as_tuple=True)
    near = (rows - row) ** 2 + (columns - column) ** 2 < TOLERANCE**2
    return 100.0 if bool(near.any()) else 0.0


def pointing_difficult(pointing: float | None, difficult: bool | None) -> float | None:
    """:func:`pointing` for the pairs of the pointing game's difficult set, ``None`` for all others.

    Args:
        pointing: whether the map hits: 100 or 0, or ``None``.
        difficult: whether the pair is in the set; ``None`` where the data has no such set.
    """
    return pointing if difficult else None


def region_of(annotation: Annotation, class_name: str) -> torch.Tensor | None:
    """The region of a class in the picture's own frame, (H', W') bool on the CPU.

    ``None`` where all its objects are "difficult" in VOC's sense, which do not count in the pointing game.
    """
    if all(box.difficult for box in annotation.boxes if box.class_name == class_name):
        return None
    width, height = annotation.picture_size
    return annotation.inside(class_name, (height, width))
