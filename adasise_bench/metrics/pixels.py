"""What the metrics share: the order of a map's pixels, and its highest ones."""

from __future__ import annotations

import torch


def pixel_order(saliency: torch.Tensor) -> torch.Tensor:
    """Row-major indices of the pixels from the highest, (H·W,) int64; equal ones in row-major order."""
    return saliency.flatten().argsort(descending=True, stable=True)


def top_pixels(saliency: torch.Tensor, count: int, order: torch.Tensor | None = None) -> torch.Tensor:
    """The ``count`` highest pixels, (H, W) bool; equal values are taken in row-major order.

    Args:
        saliency: (H, W) map.
        count: at most H·W.
        order: the map's :func:`pixel_order`, where it is known: measures of one map share it.
    """
    if order is None:
        order = pixel_order(saliency)
    mask = torch.zeros_like(order, dtype=torch.bool)
    mask[order[:count]] = True
    return mask.view(saliency.shape)


def share_of_pixels(saliency: torch.Tensor, share: float) -> int:
    """floor(share · H · W), exact for shares given in whole percent."""
    return saliency.numel() * round(share * 100) // 100


def is_degenerate(saliency: torch.Tensor) -> bool:
    """Whether the map says nothing: all pixels are equal."""
    return bool(saliency.max() == saliency.min())
