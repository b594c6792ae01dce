"""Metrics that show the network a part of the picture: does it need what the map marks?"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from adasise_bench.data.rules import Ties
from adasise_bench.metrics.pixels import pixel_order, share_of_pixels, top_pixels
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import filled_batch, in_batches
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.precision import arithmetic

SHOWN_SHARE = 0.15
"""The share of the map's pixels that the network still sees in I⊙T."""


def shown_part(
    image: torch.Tensor,
    saliency: torch.Tensor,
    order: torch.Tensor | None = None,
    ties: Ties = "row-major",
) -> torch.Tensor:
    """I⊙T: the network input in which only the highest 15 % of the map's pixels are left.

    All other pixels become 0, which is the mean colour of the networks, or black where no mean is subtracted.
    T is 1 at the pixels that are left.

    Source: the SISE paper (arXiv 2010.00672).

    Args:
        image: (1, 3, H, W) network input, after preprocessing.
        saliency: (H, W) map.
        order: as in :func:`.top_pixels`.
        ties: as in :func:`.top_pixels`.

    Returns:
        (1, 3, H, W), of the type of ``image``.

    Example:
        >>> from adasise_bench.metrics.faithfulness import shown_part
        >>> image, saliency = torch.ones(1, 3, 4, 5), torch.arange(20.0).view(4, 5)
        >>> shown_part(image, saliency)[0, 0, 3].tolist()  # 15 % of 20 pixels: the last three
        [0.0, 0.0, 1.0, 1.0, 1.0]
    """
    return image * top_pixels(saliency, share_of_pixels(saliency, SHOWN_SHARE), order, ties)


def drop(score: float, score_shown: float) -> float:
    """How much of the score is lost when only the top 15 % of the pixels are shown.

    The value is max(0, Ψ(I) - Ψ(I⊙T)) / Ψ(I), in percent. For a raw output of 0 or less the ratio means
    nothing: the value is then 0 if the score does not fall, else 100.

    Source: Chattopadhyay et al., Grad-CAM++ (arXiv 1710.11063), "Average Drop %"; with the hard mask T of the
    SISE paper (arXiv 2010.00672).

    Args:
        score: Ψ(I), of the whole picture.
        score_shown: Ψ(I⊙T), of :func:`shown_part`.

    Returns:
        Percent; lower is better. From 0 to 100 for scores in [0, 1], from 0 without limit for raw outputs.

    Example:
        >>> from adasise_bench.metrics.faithfulness import drop
        >>> drop(0.5, 0.375), drop(0.5, 0.75)  # a quarter is lost; nothing is lost
        (25.0, 0.0)
    """
    if score <= 0:
        return 100.0 if score_shown < score else 0.0
    return 100 * (max(0.0, score - score_shown) / score)


def increase(score: float, score_shown: float) -> float:
    """Whether the score rises when only the top 15 % of the pixels are shown: Ψ(I⊙T) > Ψ(I).

    Source: Chattopadhyay et al., Grad-CAM++ (arXiv 1710.11063), "% Increase in Confidence"; with the hard
    mask T of the SISE paper (arXiv 2010.00672).

    Args:
        score: Ψ(I), of the whole picture.
        score_shown: Ψ(I⊙T), of :func:`shown_part`.

    Returns:
        100 if it rises, else 0; higher is better. The mean over pairs is a percentage.

    Example:
        >>> from adasise_bench.metrics.faithfulness import increase
        >>> increase(0.5, 0.75), increase(0.5, 0.5)
        (100.0, 0.0)
    """
    return 100.0 if score_shown > score else 0.0


def average_gain(score: float, score_shown: float) -> float | None:
    """How much of the score that is missing to 1 the top 15 % of the pixels bring alone.

    The value is max(0, Ψ(I⊙T) - Ψ(I)) / (1 - Ψ(I)), in percent.

    Source: Zhang et al., Opti-CAM (arXiv 2301.07002), "average gain"; with the hard mask T of the SISE paper
    (arXiv 2010.00672).

    Args:
        score: Ψ(I), of the whole picture, in [0, 1].
        score_shown: Ψ(I⊙T), of :func:`shown_part`, in [0, 1].

    Returns:
        Percent, from 0 to 100; higher is better. ``None`` where Ψ(I) is 1, because nothing is missing then.

    Example:
        >>> from adasise_bench.metrics.faithfulness import average_gain
        >>> average_gain(0.5, 0.75), average_gain(0.5, 0.25)  # half of the missing 0.5; nothing
        (50.0, 0.0)
    """
    if score >= 1:
        return None
    return 100 * (max(0.0, score_shown - score) / (1 - score))


def area_under_curve(scores: torch.Tensor) -> float:
    """Area under a curve of scores by the trapezoidal rule.

    Args:
        scores: (N + 1,) floats at equal distances from 0 to 1; N is at least 1.

    Returns:
        Percent: 100 for a score that is 1 everywhere.

    Example:
        >>> from adasise_bench.metrics.faithfulness import area_under_curve
        >>> area_under_curve(torch.tensor([0.0, 1.0, 1.0]))  # (0 + 1) / 2 and (1 + 1) / 2, each half as wide
        75.0
    """
    curve = to_float64(scores)
    return float(100 * (curve.sum() - (curve[0] + curve[-1]) / 2) / (len(curve) - 1))


BLUR_SIDE = 11
"""Pixels of the blurring kernel's side."""

BLUR_SIGMA = 5
"""Standard deviation of the blurring kernel, in pixels."""


def insertion(classifier: Classifier, image: torch.Tensor, target: int, saliency: torch.Tensor) -> float:
    """Area under the score Ψ while the pixels of a blurred picture become sharp, the map's highest first.

    It is high where the first pixels of the map are enough for the class to be recognised.

    Source: Petsiuk et al., RISE (arXiv 1806.07421), in the version of the authors' code.

    Args:
        classifier: gives Ψ.
        image: (1, 3, H, W) float32 network input.
        target: number of the class among the outputs.
        saliency: (H, W) map. There are W steps, and each changes H pixels.

    Returns:
        Percent; higher is better. From 0 to 100 for scores in [0, 1], any number for raw outputs.

    Raises:
        BenchError: a score is not finite.

    Example:
        >>> from adasise_bench.metrics.faithfulness import insertion
        >>> from adasise_bench.models.example import red_picture, two_colours
        >>> image = red_picture([[0.0, 0.5], [0.0, 1.5]])
        >>> round(insertion(two_colours(), image, 0, image[0, 0]))  # the scores are 0.02, 0.5 and 0.5
        38
    """
    return _area(classifier, target, saliency, start=blurred(image), finish=image)


def deletion(classifier: Classifier, image: torch.Tensor, target: int, saliency: torch.Tensor) -> float:
    """Area under the score Ψ while the pixels of the network's input become 0, the map's highest first.

    It is low where the score falls as soon as the first pixels of the map are gone.

    Source: Petsiuk et al., RISE (arXiv 1806.07421), in the version of the authors' code.

    Args:
        classifier: gives Ψ.
        image: (1, 3, H, W) float32 network input.
        target: number of the class among the outputs.
        saliency: (H, W) map. There are W steps, and each changes H pixels.

    Returns:
        Percent; lower is better. From 0 to 100 for scores in [0, 1], any number for raw outputs.

    Raises:
        BenchError: a score is not finite.

    Example:
        >>> from adasise_bench.metrics.faithfulness import deletion
        >>> from adasise_bench.models.example import red_picture, two_colours
        >>> image = red_picture([[0.0, 0.5], [0.0, 1.5]])
        >>> deletion(two_colours(), image, 0, image[0, 0])  # the scores are 0.5, 0 and 0
        12.5
    """
    return _area(classifier, target, saliency, start=image, finish=torch.zeros_like(image))


def blurred(image: torch.Tensor) -> torch.Tensor:
    """Blur a network input with RISE's Gaussian kernel: 11 x 11 pixels, standard deviation 5 pixels.

    Source: the authors' code of RISE (arXiv 1806.07421).

    Args:
        image: (1, 3, H, W) float32 network input; pixels beyond its border count as 0.

    Returns:
        (1, 3, H, W) float32.

    Example:
        >>> from adasise_bench.metrics.faithfulness import blurred
        >>> round(float(blurred(torch.ones(1, 3, 11, 11))[0, 0, 5, 5]), 4)  # the kernel sums to 1
        1.0
    """
    # RISE gets its kernel by blurring a single pixel. The Gaussian is wider than the kernel, and SciPy
    # mirrors what falls beyond the border: this kernel is flatter than a Gaussian that is cut off.
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
    # The step in which each pixel changes: a batch of steps is then one comparison, and no loop over pixels.
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
    """Ψ of pictures that are ``finish`` where ``changed`` is true, else ``start``, by one forward pass."""
    inputs = filled_batch(
        classifier, start, len(changed), lambda filled: torch.where(changed, finish, start, out=filled)
    )
    return classifier.reference_scores(inputs)[: len(changed)]
