"""ADCC: average drop, coherency and complexity of a map in one number."""

from __future__ import annotations

from collections.abc import Callable
from statistics import harmonic_mean

import torch

from adasise_bench.metrics.faithfulness import drop
from adasise_bench.metrics.pixels import is_degenerate
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError


def adcc(
    classifier: Classifier,
    image: torch.Tensor,
    target: int,
    saliency: torch.Tensor,
    score: float,
    explain: Callable[[Classifier, torch.Tensor], torch.Tensor],
) -> float | None:
    """The harmonic mean of coherency, 1 - complexity and 1 - average drop.

    All three are of the map m, which is scaled to [0, 1], and of the input I⊙m:

    - coherency is (1 + ρ) / 2, where ρ is Pearson's correlation of m with the map that the same method gives
      of I⊙m,
    - complexity is the mean of m over the pixels (its L1 norm; not the entropy of :func:`.complexity`),
    - average drop is max(0, Ψ(I) - Ψ(I⊙m)) / Ψ(I), with the whole map and not only its highest pixels.

    Source: Poppi et al., Revisiting the Evaluation of Class Activation Mapping for Explainability, CVPR
    workshops 2021 (arXiv 2104.10252).

    Args:
        classifier: gives Ψ.
        image: (1, 3, H, W) float32 network input.
        target: number of the class among the outputs.
        saliency: (H, W) map, on any device.
        score: Ψ(I), in [0, 1].
        explain: explains the same class of an input with a network, and gives an (H, W) map.

    Returns:
        Percent, from 0 to 100; higher is better. ``None`` where all pixels of one of the maps are equal.

    Raises:
        BenchError: the second map cannot be made, or it or its score is not finite.

    Example:
        >>> from adasise_bench.metrics.adcc import adcc
        >>> from adasise_bench.models.example import red_picture, two_colours
        >>> image = red_picture([[0.0, 0.5], [0.0, 1.5]])
        >>> same = lambda network, image: image[0, 0]  # the picture itself as its map, (0, 1/3; 0, 1)
        >>> round(adcc(two_colours(), image, 0, image[0, 0], 0.5, same), 2)  # of 0.99, 2/3 and 5/6
        80.79
    """
    if is_degenerate(saliency):
        return None
    mask = (saliency - saliency.min()) / (saliency.max() - saliency.min())
    masked = image * mask.to(image.device)
    again, shown = explain(classifier, masked), classifier.reference_scores(masked)[0, target]
    if not (torch.isfinite(again).all() and torch.isfinite(shown)):
        raise BenchError("the map or the score of the picture under its own map is not finite")
    if is_degenerate(again):
        return None
    pair = torch.stack([mask.flatten(), again.flatten().to(mask.device)])
    coherency = (1 + float(torch.corrcoef(pair.double())[0, 1].clamp(-1, 1))) / 2
    kept = 1 - drop(score, float(shown)) / 100
    return 100 * harmonic_mean([coherency, 1 - float(mask.double().mean()), kept])
