"""Complexity: over how many pixels a map spreads."""

from __future__ import annotations

import torch


def complexity(saliency: torch.Tensor) -> float | None:
    """The entropy of the pixels' shares in the map's energy: -Σ_i p_i ln p_i with p_i = v_i / Σ_j v_j.

    It is 0 where only one pixel is not 0, and ln n where all n pixels are equal (10.8 at 224 x 224).

    Source: Bhatt et al., Evaluating and Aggregating Feature-based Model Explanations, IJCAI 2020
    (arXiv 2005.00631).

    Args:
        saliency: (H, W) map, at least 0.

    Returns:
        Nats, from 0 to ln(H·W); lower is better. ``None`` for a map without energy.

    Example:
        >>> from adasise_bench.metrics.complexity import complexity
        >>> round(complexity(torch.tensor([[0.0, 0.0], [1.0, 1.0]])), 3)  # two equal pixels: ln 2
        0.693
    """
    values = saliency.double()
    total = values.sum()
    if total == 0:
        return None
    return float(torch.special.entr(values / total).sum())
