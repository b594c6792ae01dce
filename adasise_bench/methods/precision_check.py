"""Decides in which precision the masks of an explanation may be scored, by scoring a sample of them twice.

A faster precision rounds the raw outputs. Where the score Ψ of the class is far from 0 and 1, or small beside
that of another class, the rounding passes on to the weights of the masks, and the map can become another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from adasise_bench.methods.masking import build_masks, masked_scores
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import in_batches
from adasise_bench.utils.precision import PrecisionName

SAMPLE = 32
"""Masks of an explanation that are scored twice, about: every block gives equally many."""

MOST_MOVED: Mapping[PrecisionName, float] = {"int8": 0.05, "bf16": 0.1, "fp16": 0.1, "tf32": 0.1}
"""Share of the weight that may move from masks to others; docs/performance.md says how it was found. At 6 to
10 %, maps that were scored in int8 have changed by points."""

_TRIED: Mapping[PrecisionName, Sequence[PrecisionName]] = {"int8": ("int8", "bf16")}
"""What is tried before fp32, the fastest first, where this is not the run's precision alone."""


def agreeing_precisions(
    classifier: Classifier,
    image: torch.Tensor,
    sample: Callable[[], Sequence[torch.Tensor]],
    targets: Sequence[int],
) -> list[PrecisionName]:
    """The precision in which each of several classes' masks may be scored: the fastest that agrees with fp32.

    It depends on the picture, the sample and the class alone.

    Args:
        classifier: the network, in the precision of the run; in fp32 nothing is scored.
        image: (1, 3, H, W) network input.
        sample: builds (n_b, H, W) masks of every group of masks whose weights are compared with each other,
            such as those of one block.
        targets: the classes.
    """
    samples = sample() if classifier.precision != "fp32" else ()
    counts = [len(masks) for masks in samples]
    if not sum(counts):
        return [classifier.precision for _ in targets]
    masks = torch.cat(list(samples))

    def weights(precision: PrecisionName) -> Sequence[torch.Tensor]:
        """(n_b, T) scores of the targets per group."""
        scores = _scores(in_precision(classifier, precision), image, masks)
        return torch.split(scores[:, list(targets)], counts)

    exact = weights("fp32")
    chosen: list[PrecisionName] = ["fp32" for _ in targets]
    for precision in _TRIED.get(classifier.precision, (classifier.precision,)):
        pairs = zip(exact, weights(precision), strict=True)
        moved = torch.stack([moved_weight(*pair) for pair in pairs]).amax(dim=0)
        agrees = (moved <= MOST_MOVED[precision]).tolist()  # not-a-number does not agree
        chosen = [
            precision if agreed and known == "fp32" else known
            for agreed, known in zip(agrees, chosen, strict=True)
        ]
        if "fp32" not in chosen:
            break
    return chosen


def moved_weight(exact: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """The share of the masks' weight that rounding moves from masks to others: Σ|a/Σ|a| - b/Σ|b|| / 2.

    It is the total variation distance of the weights, for scores that are at least 0. A common factor of all
    scores of a block does not change a map, and does not count.

    Args:
        exact: (n, T) scores of n masks for T classes; n may be 0.
        rounded: the same in another precision.

    Returns:
        (T,) float64 from 0 to 1; 0 where all scores of both are 0, NaN where one is not finite.

    Example:
        >>> import torch
        >>> from adasise_bench.methods.precision_check import moved_weight
        >>> moved_weight(torch.tensor([[2.0], [2.0]]), torch.tensor([[1.0], [3.0]])).tolist()
        [0.25]
    """
    one, other = (_shares(scores.double()) for scores in (exact, rounded))
    return (one - other).abs().sum(dim=0) / 2


def _shares(scores: torch.Tensor) -> torch.Tensor:
    total = scores.abs().sum(dim=0)
    return scores / torch.where(total == 0, 1, total)


def in_precision(classifier: Classifier, precision: PrecisionName) -> Classifier:
    """The same network, whose masked inputs are scored in another precision."""
    return replace(classifier, precision=precision)


def told(classifier: Classifier, precision: PrecisionName) -> PrecisionName | None:
    """What a record says of the precision of the masks: nothing in a run that asks for fp32."""
    return None if classifier.precision == "fp32" else precision


def sample_of_maps(blocks: Sequence[torch.Tensor], size: tuple[int, int]) -> list[torch.Tensor]:
    """Masks of some of the feature maps of every block, as many of each, spread evenly over its maps.

    Args:
        blocks: (K_b, h_b, w_b) feature maps per block, none of them constant; K_b may be 0.
        size: height and width of the input.

    Returns:
        (n_b, H, W) masks per block.
    """
    each = -(-SAMPLE // max(1, len(blocks)))
    return [build_masks(maps[spread(len(maps), each).to(maps.device)], size)[0] for maps in blocks]


def spread(count: int, most: int) -> torch.Tensor:
    """Numbers below ``count``, at most ``most``, evenly spread: (n,) int64, ascending."""
    wanted = min(count, most)
    return (torch.arange(wanted) * 2 + 1) * count // (2 * max(1, wanted))


def _scores(classifier: Classifier, image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    found = image.new_empty(len(masks), len(classifier.classes))

    def score(start: int, stop: int) -> torch.Tensor:
        return masked_scores(classifier, image, masks[start:stop])

    for items, batch in in_batches(classifier, len(masks), score):
        found[items] = batch
    return found
