"""The order of a map's pixels and its highest pixels, which several metrics need."""

from __future__ import annotations

import torch

from adasise_bench.data.rules import Ties


def pixel_order(saliency: torch.Tensor) -> torch.Tensor:
    """Number the pixels of a map from the highest to the lowest.

    Args:
        saliency: (H, W) map.

    Returns:
        (H·W,) int64, row-major indices of the pixels. Equal pixels keep their row-major order.

    Example:
        >>> from adasise_bench.metrics.pixels import pixel_order
        >>> pixel_order(torch.tensor([[1.0, 3.0], [3.0, 2.0]])).tolist()  # both 3s, then 2, then 1
        [1, 2, 3, 0]
    """
    return saliency.flatten().argsort(descending=True, stable=True)


def top_pixels(
    saliency: torch.Tensor, count: int, order: torch.Tensor | None = None, ties: Ties = "row-major"
) -> torch.Tensor:
    """Mark the ``count`` highest pixels; ``ties`` says what becomes of equal pixels at the cut.

    Args:
        saliency: (H, W) map.
        count: how many pixels, from 0 to H·W.
        order: the map's :func:`pixel_order`, by default computed. Metrics of one map share it, since sorting
            takes most of the time.
        ties: ``row-major`` takes the first of equal pixels in row-major order, and so exactly ``count``;
            ``strict`` takes only the pixels above the highest value that is left out (that of rank
            ``count`` + 1), and so at most ``count``.

    Returns:
        (H, W) bool.

    Example:
        >>> from adasise_bench.metrics.pixels import top_pixels
        >>> top_pixels(torch.tensor([[1.0, 3.0], [3.0, 2.0]]), 1).tolist()  # the first of the two 3s
        [[False, True], [False, False]]
        >>> top_pixels(torch.tensor([[1.0, 3.0], [3.0, 2.0]]), 1, ties="strict").any()  # 3 is not above 3
        tensor(False)
    """
    if order is None:
        order = pixel_order(saliency)
    if ties == "strict" and count < len(order):
        return saliency > saliency.flatten()[order[count]]
    mask = torch.zeros_like(order, dtype=torch.bool)
    mask[order[:count]] = True
    return mask.view(saliency.shape)


def share_of_pixels(saliency: torch.Tensor, share: float) -> int:
    """How many pixels are a share of the map: floor(share · H · W).

    Args:
        saliency: (H, W) map.
        share: from 0 to 1, a whole number of percent.

    Returns:
        From 0 to H·W.

    Example:
        >>> from adasise_bench.metrics.pixels import share_of_pixels
        >>> share_of_pixels(torch.zeros(10, 5), 0.15)  # 7.5, rounded down
        7
    """
    # Whole percent keep the product exact: 0.29 * 100 is 28.999... in floating point, and would lose a pixel.
    return saliency.numel() * round(share * 100) // 100


def is_degenerate(saliency: torch.Tensor) -> bool:
    """Whether all pixels of a map are equal, so that it says nothing about the picture.

    Args:
        saliency: (H, W) map.

    Example:
        >>> from adasise_bench.metrics.pixels import is_degenerate
        >>> is_degenerate(torch.full((2, 2), 0.5))
        True
    """
    return bool(saliency.max() == saliency.min())
