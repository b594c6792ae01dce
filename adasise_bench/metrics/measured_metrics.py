"""The measures for one map and one class: those of PROTOCOL section 4 as percentages, and what goes beyond.

Maps are (H, W), at least 0; ``inside`` is the (H, W) bool union of the class's boxes, not empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.stats import spearmanr


class Metric(NamedTuple):
    """A measure's unit, direction, definition name and one line about it."""

    unit: str
    higher_is_better: bool
    definition: str
    summary: str


METRICS: Mapping[str, Metric] = {
    "ebpg": Metric(
        "%", True, "ebpg-box-union-v1", "energy of the map inside the class's boxes / total energy"
    ),
    "bbox": Metric(
        "%", True, "bbox-topN-v1", "share of the N highest pixels inside the boxes, N = box pixels"
    ),
    "drop": Metric(
        "%", False, "drop-hard15-v1", "relative loss of score when only the top 15 % pixels are shown"
    ),
    "increase": Metric(
        "%", True, "increase-hard15-v1", "share of pictures whose score rises with the top 15 %"
    ),
    "miou": Metric("%", True, "miou-top20-v1", "IoU of the top 20 % pixels with the boxes"),
    "seconds": Metric(
        "s", False, "seconds-v1", "time of one explanation, synchronised, without data loading"
    ),
    "pointing": Metric(
        "%", True, "pointing-torchray15-v1", "share of highest pixels within 15 px of an object, by class"
    ),
    "pointing_difficult": Metric(
        "%", True, "pointing-difficult-torchray15-v1", "the same for small objects beside other classes"
    ),
    "average_gain": Metric(
        "%", True, "average-gain-hard15-v1", "share of the missing score that the top 15 % alone bring"
    ),
    "insertion": Metric(
        "%", True, "insertion-rise-blur11-v1", "area under the score while the blurred picture is uncovered"
    ),
    "deletion": Metric(
        "%", False, "deletion-rise-zero-v1", "area under the score while the picture is set to zero"
    ),
    "head_sensitivity": Metric(
        "r", False, "head-random-spearman-v1", "rank correlation with the map of a randomised last layer"
    ),
}

SHOWN_SHARE = 0.15
IOU_SHARE = 0.20
TOLERANCE = 15
"""Pixels of the picture that a point may lie beside an object."""


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


def shown_part(
    image: torch.Tensor, saliency: torch.Tensor, order: torch.Tensor | None = None
) -> torch.Tensor:
    """I⊙T: the network input with all but the map's top 15 % pixels set to zero (SISE).

    Args:
        image: (1, 3, H, W) network input, after preprocessing.
        saliency: (H, W) map.
        order: as in :func:`top_pixels`.

    Returns:
        (1, 3, H, W).
    """
    return image * top_pixels(saliency, share_of_pixels(saliency, SHOWN_SHARE), order)


def drop(score: float, score_shown: float) -> float:
    """max(0, Ψ(I) - Ψ(I⊙T)) / Ψ(I), in percent.

    Where Ψ(I) ≤ 0 the ratio means nothing: 0 if the score does not fall, else 100.
    """
    if score <= 0:
        return 100.0 if score_shown < score else 0.0
    return 100 * (max(0.0, score - score_shown) / score)


def increase(score: float, score_shown: float) -> float:
    """100 when Ψ(I⊙T) > Ψ(I), else 0."""
    return 100.0 if score_shown > score else 0.0


def average_gain(score: float, score_shown: float) -> float | None:
    """max(0, Ψ(I⊙T) - Ψ(I)) / (1 - Ψ(I)), in percent (Opti-CAM, arXiv 2301.07002), with SISE's hard T.

    For scores in [0, 1]; ``None`` where Ψ(I) is 1, for then nothing is missing.
    """
    if score >= 1:
        return None
    return 100 * (max(0.0, score_shown - score) / (1 - score))


def pointing(saliency: torch.Tensor, region: torch.Tensor) -> float:
    """100 when the map points at the class, else 0: the pointing game as TorchRay plays it.

    The point is the highest pixel of the map resized bilinearly to the picture, the first in row-major order
    of equal ones. It hits when its distance to the nearest pixel of the region is below 15 pixels.

    Args:
        saliency: (H, W) map.
        region: the class's region in the picture's own frame, (H', W') bool, on the map's device.
    """
    resized = F.interpolate(saliency[None, None], region.shape, mode="bilinear", align_corners=False)
    row, column = divmod(int(resized.argmax()), region.shape[1])
    rows, columns = region.nonzero(as_tuple=True)
    near = (rows - row) ** 2 + (columns - column) ** 2 < TOLERANCE**2
    return 100.0 if bool(near.any()) else 0.0


def area_under_curve(scores: torch.Tensor) -> float:
    """Area under N + 1 scores by the trapezoidal rule, equidistant from 0 to 1, in percent.

    Args:
        scores: (N + 1,), N at least 1.
    """
    curve = scores.double()
    return float(100 * (curve.sum() - (curve[0] + curve[-1]) / 2) / (len(curve) - 1))


def rank_correlation(saliency: torch.Tensor, other: torch.Tensor) -> float | None:
    """Spearman's ρ of two maps of one size, in [-1, 1]; ``None`` where all pixels of either are equal."""
    saliency, other = saliency.cpu(), other.cpu()
    if is_degenerate(saliency) or is_degenerate(other):
        return None
    ranks = spearmanr(saliency.numpy().ravel(), other.numpy().ravel())
    return float(ranks.statistic)


def is_degenerate(saliency: torch.Tensor) -> bool:
    """Whether the map says nothing: all pixels are equal."""
    return bool(saliency.max() == saliency.min())
