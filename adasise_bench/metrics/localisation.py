"""Metrics that compare a map with the boxes or masks of the class: does the map lie on the object?"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from adasise_bench.data.dataset import Annotation
from adasise_bench.data.rules import Ties
from adasise_bench.metrics.pixels import share_of_pixels, top_pixels

IOU_SHARE = 0.20
"""The share of the map's pixels that is compared with G in :func:`miou`."""

TOLERANCE = 15
"""How far from an object a point still hits it, in pixels of the picture."""


def ebpg(saliency: torch.Tensor, inside: torch.Tensor) -> float:
    """Energy-based pointing game: the share of the map's sum that lies inside G.

    Source: Wang et al., Score-CAM (arXiv 1910.01279); the SISE paper (arXiv 2010.00672) calls it EBPG.

    Args:
        saliency: (H, W) map without negative pixels.
        inside: (H, W) bool, the region G of the class.

    Returns:
        Percent, from 0 to 100; higher is better. A map that is 0 everywhere gets 0.

    Raises:
        ValueError: the map has a negative pixel; shares of a sum mean nothing then.

    Example:
        >>> from adasise_bench.metrics.localisation import ebpg
        >>> ebpg(torch.tensor([[3.0, 1.0]]), torch.tensor([[True, False]]))  # 3 of 3 + 1
        75.0
    """
    energy = saliency.double()  # so that the order in which thousands of pixels are added does not matter
    if bool((energy < 0).any()):
        raise ValueError("energy needs a map without negative pixels")
    total = energy.sum()
    return float(100 * energy[inside].sum() / total) if total > 0 else 0.0


def bbox(
    saliency: torch.Tensor,
    inside: torch.Tensor,
    order: torch.Tensor | None = None,
    ties: Ties = "row-major",
) -> float:
    """Share of the N highest pixels that lie inside G, where N is the number of pixels of G.

    The share is always one of N, also where strict ties leave fewer than N pixels.

    Source: Schulz et al., Restricting the Flow (arXiv 2001.00396); the SISE paper (arXiv 2010.00672) calls it
    Bbox.

    Args:
        saliency: (H, W) map.
        inside: (H, W) bool, the region G of the class; it has at least one pixel.
        order: as in :func:`.top_pixels`.
        ties: as in :func:`.top_pixels`.

    Returns:
        Percent, from 0 to 100; higher is better.

    Example:
        >>> from adasise_bench.metrics.localisation import bbox
        >>> inside = torch.tensor([[True, True, False, False]])
        >>> bbox(torch.tensor([[4.0, 1.0, 3.0, 0.0]]), inside)  # of the pixels with 4 and 3, the first
        50.0
    """
    count = int(inside.sum())
    return 100 * int((top_pixels(saliency, count, order, ties) & inside).sum()) / count


def miou(
    saliency: torch.Tensor,
    inside: torch.Tensor,
    order: torch.Tensor | None = None,
    ties: Ties = "row-major",
) -> float:
    """Intersection over union of G and the highest 20 % of the pixels.

    Source: the SISE paper (arXiv 2010.00672), Table 1.

    Args:
        saliency: (H, W) map.
        inside: (H, W) bool, the region G of the class; it has at least one pixel.
        order: as in :func:`.top_pixels`.
        ties: as in :func:`.top_pixels`.

    Returns:
        Percent, from 0 to 100; higher is better.

    Example:
        >>> from adasise_bench.metrics.localisation import miou
        >>> inside = torch.tensor([[True, True, False, False, False]])
        >>> miou(torch.tensor([[9.0, 1.0, 3.0, 0.0, 2.0]]), inside)  # one pixel is 20 %; G has two
        50.0
    """
    top = top_pixels(saliency, share_of_pixels(saliency, IOU_SHARE), order, ties)
    return 100 * int((top & inside).sum()) / int((top | inside).sum())


def pointing(saliency: torch.Tensor, region: torch.Tensor | None) -> float | None:
    """The pointing game: whether the highest pixel of the map lies on an object of the class, or close to it.

    The map is resized bilinearly to the picture. Its highest pixel, of equal ones the first in row-major
    order, must be less than 15 pixels away from the nearest pixel of the region.

    Source: Zhang et al., Excitation Backprop (arXiv 1608.00507), in the version of TorchRay's
    ``PointingGame``.

    Args:
        saliency: (H, W) float map.
        region: (H', W') bool, the region of the class in the picture's own size, on the map's device.
            ``None`` where VOC marks all objects of the class as "difficult", since these do not count.

    Returns:
        100 for a hit, else 0; ``None`` without a region. The mean over pairs is a percentage.

    Example:
        >>> from adasise_bench.metrics.localisation import pointing
        >>> saliency, region = torch.zeros(40, 40), torch.zeros(40, 40, dtype=torch.bool)
        >>> saliency[0, 0] = region[0, 14] = True  # the point lies 14 pixels beside the object
        >>> pointing(saliency, region)
        100.0
    """
    if region is None:
        return None
    resized = F.interpolate(saliency[None, None], region.shape, mode="bilinear", align_corners=False)
    row, column = divmod(int(resized.argmax()), region.shape[1])
    rows, columns = region.nonzero(as_tuple=True)
    near = (rows - row) ** 2 + (columns - column) ** 2 < TOLERANCE**2
    return 100.0 if bool(near.any()) else 0.0


def pointing_difficult(pointing: float | None, difficult: bool | None) -> float | None:
    """:func:`pointing` for the pairs in the difficult set of the pointing game.

    Source: as :func:`pointing`; the set has small objects beside objects of other classes.

    Args:
        pointing: whether the map hits: 100 or 0, or ``None``.
        difficult: whether the pair is in the set; ``None`` where the data has no such set.

    Returns:
        100 or 0; ``None`` for a pair that is not in the set.

    Example:
        >>> from adasise_bench.metrics.localisation import pointing_difficult
        >>> pointing_difficult(100.0, True), pointing_difficult(100.0, False)
        (100.0, None)
    """
    return pointing if difficult else None


def region_of(annotation: Annotation, class_name: str) -> torch.Tensor | None:
    """The region of a class in the picture's own size, for the pointing game.

    Args:
        annotation: the objects of the picture.
        class_name: a class that at least one of them has.

    Returns:
        (H', W') bool on the CPU; ``None`` where VOC marks all objects of the class as "difficult".

    Example:
        >>> from adasise_bench.data.boxes import Box
        >>> from adasise_bench.data.dataset import Annotation
        >>> from adasise_bench.metrics.localisation import region_of
        >>> dog = Box("dog", 1, 1, 2, 1)  # the first two pixels of the first row
        >>> region_of(Annotation((3, 2), (dog,)), "dog").tolist()
        [[True, True, False], [False, False, False]]
    """
    if all(box.difficult for box in annotation.boxes if box.class_name == class_name):
        return None
    width, height = annotation.picture_size
    return annotation.inside(class_name, (height, width))
