"""Sparseness: how few pixels a map concentrates on."""

from __future__ import annotations

import torch


def sparseness(saliency: torch.Tensor, order: torch.Tensor) -> float | None:
    """The Gini index of a map's pixels.

    It is 0 where all pixels are equal, and 1 - 1/n where only one of n pixels is not 0. With the values
    v_1 ≤ ... ≤ v_n it is Σ_i (2i - n - 1) v_i / (n Σ_i v_i).

    Source: Chalasani et al., Concise Explanations of Neural Networks using Adversarial Training, ICML 2020
    (arXiv 1810.06583).

    Args:
        saliency: (H, W) map, at least 0.
        order: (H·W,) int64, the map's :func:`.pixel_order`.

    Returns:
        Percent, from 0 to 100; higher is better. ``None`` for a map without energy.

    Example:
        >>> from adasise_bench.metrics.pixels import pixel_order
        >>> from adasise_bench.metrics.sparseness import sparseness
        >>> saliency = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
        >>> sparseness(saliency, pixel_order(saliency))  # one of four pixels: 1 - 1 / 4
        75.0
    """
    ascending = saliency.flatten()[order].flip(0).double()
    count, total = len(ascending), ascending.sum()
    if total == 0:
        return None
    ranks = torch.arange(1, count + 1, dtype=torch.float64)
    return float(100 * ((2 * ranks - count - 1) * ascending).sum() / (count * total))
