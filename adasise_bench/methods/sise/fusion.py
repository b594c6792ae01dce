"""Fuses the layer maps of SISE, from the input side to the output side; Otsu's threshold is the gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from adasise_bench.data.rules import OtsuRule

FusionName = Literal["hard", "soft"]

_BINS = 256
_SOFT_SLOPE = 100.0

RAISED_DEFINITION = "otsu-raised1.5-reached10-v1"
"""Names what :func:`raised_where_few` computes. A change that moves values takes a new name."""


def min_max(values: torch.Tensor) -> torch.Tensor:
    """Scale each of (..., H, W) maps to [0, 1]. A constant map becomes 0 everywhere.

    Example:
        >>> from adasise_bench.methods.sise.fusion import min_max
        >>> min_max(torch.tensor([[1.0, 2.0, 5.0]])).tolist()
        [[0.0, 0.25, 1.0]]
    """
    low = values.amin(dim=(-2, -1), keepdim=True)
    span = values.amax(dim=(-2, -1), keepdim=True) - low
    return torch.where(span > 0, (values - low) / torch.where(span > 0, span, 1), 0)


def otsu_thresholds(layers: torch.Tensor) -> torch.Tensor:
    """Otsu's threshold of every layer, over a 256-bin histogram of its values' range.

    Args:
        layers: (L, ...), finite floats; L may be 0.

    Returns:
        (L,) float64: the centre of the first bin that maximises the between-class variance. For a constant
        layer it is the layer's value.
    """
    values = layers.double().flatten(1)
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    span = high - low
    bins = ((values - low) * _BINS / torch.where(span > 0, span, 1)).long().clamp_(max=_BINS - 1)
    bins += torch.arange(len(layers), device=layers.device)[:, None] * _BINS
    counts = values.new_zeros(len(layers) * _BINS)
    counts.scatter_add_(0, bins.flatten(), torch.ones_like(values).flatten())
    # The rest runs on the CPU, because a GPU need not repeat running sums to the bit. One transfer is enough.
    table = torch.cat([low, span, counts.view(-1, _BINS)], dim=1).cpu()
    low, span, counts = torch.split(table, [1, 1, _BINS], dim=1)
    centres = low + (torch.arange(_BINS, dtype=torch.float64) + 0.5) * span / _BINS
    weight_low = counts.cumsum(1)
    weight_high = counts.flip(1).cumsum(1).flip(1)
    mean_low = (counts * centres).cumsum(1) / weight_low
    mean_high = (counts * centres).flip(1).cumsum(1).flip(1) / weight_high
    variance = weight_low[:, :-1] * weight_high[:, 1:] * (mean_low[:, :-1] - mean_high[:, 1:]) ** 2
    best = centres.gather(1, variance.argmax(dim=1, keepdim=True))
    return torch.where(span > 0, best, low)[:, 0].to(layers.device)


def raised_where_few(layers: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Raise the threshold of a layer to 1.5 times where fewer than 10 % of its pixels reach the raised one.

    Source: course code of the authors' department (ECE1512, Project A: ``otsu`` in ``xai_utils.py``, where
    values and thresholds are rounded to 256 steps), for hard and soft fusion.

    Args:
        layers: (L, H, W) floats.
        thresholds: (L,) of the same type.

    Returns:
        (L,) of the same type. A raised threshold can be above every pixel.

    Example:
        >>> from adasise_bench.methods.sise.fusion import raised_where_few
        >>> layer = torch.arange(20.0).view(1, 4, 5)  # two of 20 pixels reach 18, none reaches 21
        >>> [float(raised_where_few(layer, torch.tensor([limit]))) for limit in (12.0, 14.0)]
        [12.0, 21.0]
    """
    raised = 1.5 * thresholds
    reaching = (layers >= raised[:, None, None]).flatten(1).sum(dim=1)
    return torch.where(10 * reaching < layers[0].numel(), raised, thresholds)


def fuse(
    layers: Sequence[torch.Tensor], fusion: FusionName = "hard", otsu: OtsuRule = "plain"
) -> torch.Tensor:
    """Fuse layer maps: E = V_1, then E = (E + V_b) · Otsu(V_b) for every further block (SISE, Fig. 5).

    At the end E is scaled to [0, 1].

    Args:
        layers: (H, W) layer maps from the input side, each in [0, 1] or all zero.
        fusion: ``hard`` keeps the pixels where V_b is above its Otsu threshold t, and sets the others to 0;
            ``soft`` multiplies all pixels with sigmoid(100 (V_b - t)).
        otsu: ``plain``, or ``raised``: t is that of :func:`raised_where_few`.

    Returns:
        (H, W) in [0, 1]; all zero when no pixel is left.

    Example:
        >>> from adasise_bench.methods.sise.fusion import fuse
        >>> first, second = torch.tensor([[1.0, 0.5]]), torch.tensor([[0.0, 1.0]])
        >>> fuse([first, second]).tolist()  # (1 + 0) times 0, and (0.5 + 1) times 1, scaled
        [[0.0, 1.0]]
    """
    fused = layers[0]
    others = torch.stack([*layers])[1:]
    limits = otsu_thresholds(others).to(others.dtype)
    if otsu == "raised" and len(others):
        limits = raised_where_few(others, limits)
    for layer, limit in zip(others, limits, strict=True):
        above = layer - limit
        gate = torch.sigmoid(_SOFT_SLOPE * above) if fusion == "soft" else (above > 0).to(layer.dtype)
        fused = (fused + layer) * gate
    return min_max(fused)
