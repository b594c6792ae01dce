"""Fuses the layer maps of SISE, from the input side to the output side, under Otsu attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

FusionName = Literal["hard", "soft"]

_BINS = 256
_SOFT_SLOPE = 100.0


def min_max(values: torch.Tensor) -> torch.Tensor:
    """Scale (..., H, W) maps to [0, 1] each; a constant map becomes zero."""
    low = values.amin(dim=(-2, -1), keepdim=True)
    span = values.amax(dim=(-2, -1), keepdim=True) - low
    return torch.where(span > 0, (values - low) / torch.where(span > 0, span, 1), 0)


def otsu_threshold(values: torch.Tensor) -> torch.Tensor:
    """Otsu's threshold over a 256-bin histogram of the values' range.

    Args:
        values: any shape, finite floats.

    Returns:
        0-d tensor: the centre of the first bin that maximises the between-class variance; the value
        itself for a constant input.
    """
    values = values.double().flatten()
    low, high = values.min(), values.max()
    span = high - low
    bins = ((values - low) * _BINS / torch.where(span > 0, span, 1)).long().clamp_(max=_BINS - 1)
    counts = torch.zeros(_BINS, dtype=torch.float64, device=values.device)
    counts.scatter_add_(0, bins, torch.ones_like(values))
    counts = counts.cpu()  # 256 numbers, whose running sums a GPU may not repeat to the bit
    low, high, span = low.cpu(), high.cpu(), span.cpu()
    centres = low + (torch.arange(_BINS) + 0.5) * span / _BINS
    weight_low = counts.cumsum(0)
    weight_high = counts.flip(0).cumsum(0).flip(0)
    mean_low = (counts * centres).cumsum(0) / weight_low
    mean_high = (counts * centres).flip(0).cumsum(0).flip(0) / weight_high
    variance = weight_low[:-1] * weight_high[1:] * (mean_low[:-1] - mean_high[1:]) ** 2
    return torch.where(span > 0, centres[variance.argmax()], low).to(values.device)


def fuse(layers: Sequence[torch.Tensor], fusion: FusionName = "hard") -> torch.Tensor:
    """E = V_1; E = (E + V_b) · Otsu(V_b) for every further block; min-max at the end (SISE, Fig. 5).

    Args:
        layers: (H, W) layer maps from the input side, each in [0, 1] or all zero.
        fusion: ``hard`` keeps pixels with V_b above its Otsu threshold t; ``soft`` weighs them by
            sigmoid(100 (V_b - t)).

    Returns:
        (H, W) in [0, 1]; all zero when nothing is left.
    """
    fused = layers[0]
    for layer in layers[1:]:
        above = layer - otsu_threshold(layer).to(layer.dtype)
        gate = torch.sigmoid(_SOFT_SLOPE * above) if fusion == "soft" else (above > 0).to(layer.dtype)
        fused = (fused + layer) * gate
    return min_max(fused)
