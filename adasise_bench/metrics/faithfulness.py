"""Whether the network needs what the map shows: metrics that ask it again with a part of the picture."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from adasise_bench.metrics.pixels import pixel_order, share_of_pixels, top_pixels
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import filled_batch, in_batches
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.precision import arithmetic

SHOWN_SHARE = 0.15


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


def area_under_curve(scores: torch.Tensor) -> float:
    """Area under N + 1 scores by the trapezoidal rule, equidistant from 0 to 1, in percent.

    Args:
        scores: (N + 1,), N at least 1.
    """
    curve = scores.double()
    return float(100 * (curve.sum() - (curve[0] + curve[-1]) / 2) / (len(curve) - 1))


BLUR_SIDE = 11


BLUR_SIGMA = 5


def insertion(classifier: Classifier, image: torch.Tensor, target: int, saliency: torch.Tensor) -> float:
    """Area under Ψ, in percent, while the blurred picture is replaced by the sharp one, highest pixels first.

    After the code of RISE (arXiv 1806.07421): high where the pixels that the map ranks first already bring
    the score.

    Args:
        classifier: gives Ψ.
        image: (1, 3, H, W) float32 network input.
        target: the class's number among the outputs.
        saliency: (H, W) map; every step replaces H of its pixels.

    Raises:
        BenchError: a score is not finite.
    """
    return _area(classifier, target, saliency, start=blurred(image), finish=image)


def deletion(classifier: Classifier, image: torch.Tensor, target: int, saliency: torch.Tensor) -> float:
    """Area under Ψ, in percent, while the network's input is set to zero, highest pixels first.

    Low where the score falls as soon as the pixels that the map ranks first are gone. Arguments and errors
    are those of :func:`insertion`.
    """
    return _area(classifier, target, saliency, start=image, finish=torch.zeros_like(image))


def blurred(image: torch.Tensor) -> torch.Tensor:
    """The input convolved with RISE's 11x11 Gaussian of sigma 5; it ends in zeros beyond the border.

    The Gaussian is folded back at the kernel's own border, so that the kernel sums to 1.

    Args:
        image: (1, 3, H, W) float32 network input.
    """
    impulse = np.zeros((BLUR_SIDE, BLUR_SIDE))
    impulse[BLUR_SIDE // 2, BLUR_SIDE // 2] = 1
    kernel = torch.from_numpy(gaussian_filter(impulse, BLUR_SIGMA, mode="reflect")).to(image)
    with arithmetic("fp32", image.device):
        return F.conv2d(image.transpose(0, 1), kernel[None, None], padding=BLUR_SIDE // 2).transpose(0, 1)


def _area(
    classifier: Classifier,
    target: int,
    saliency: torch.Tensor,
    *,
    start: torch.Tensor,
    finish: torch.Tensor,
) -> float:
    scores = _scores(classifier, target, saliency.to(start.device), start, finish).cpu()
    if not torch.isfinite(scores).all():
        raise BenchError("a score of a picture between its first and last pixels is not finite")
    return area_under_curve(scores)


@torch.no_grad()
def _scores(
    classifier: Classifier, target: int, saliency: torch.Tensor, start: torch.Tensor, finish: torch.Tensor
) -> torch.Tensor:
    """Ψ of the target after every step from ``start`` to ``finish``: (W + 1,) float32."""
    height, width = saliency.shape
    order = pixel_order(saliency)
    step_of = torch.empty_like(order)
    step_of[order] = torch.arange(len(order), device=order.device) // height
    steps = torch.arange(width + 1, device=order.device)
    scores = start.new_empty(len(steps))

    def score(first: int, end: int) -> torch.Tensor:
        part = steps[first:end]
        changed = step_of.view(1, 1, height, width) < part.view(-1, 1, 1, 1)
        return _score_batch(classifier, changed, start, finish)

    for items, batch in in_batches(classifier, len(steps), score):
        scores[items] = batch[:, target]
    return scores


def _score_batch(
    classifier: Classifier, changed: torch.Tensor, start: torch.Tensor, finish: torch.Tensor
) -> torch.Tensor:
    """Ψ of pictures that are ``finish`` where ``changed``, else ``start``, by one forward pass."""
    inputs = filled_batch(
        classifier, start, len(changed), lambda filled: torch.where(changed, finish, start, out=filled)
    )
    return classifier.scores(inputs)[: len(changed)]
