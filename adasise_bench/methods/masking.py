"""The scoring engine: it puts masks on the input and scores them in batches. Feature maps can be such masks.

A mask is a feature map resized bilinearly to the input and scaled to [0, 1]. SISE needs a weighted mean of
masks, the mean of Ψ(I⊙m)·m/Σm. Resizing is linear, so that this mean is the weighted sum of the *small* maps,
resized afterwards, up to a constant that the following min-max scaling removes. Masks of full size therefore
exist only in the batch that is being scored, and the result does not depend on how masks were split into
batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import filled_batch, in_batches
from adasise_bench.utils.devices import float64_device, on_float64_device, to_float64


@dataclass(frozen=True)
class ScoredMaps:
    """Feature maps of one block, and the results of scoring them as masks.

    Attributes:
        maps: (K, h, w) float32 feature maps, none of them constant.
        scores: (K, C) float32, Ψ of the masked input for every class.
        spans: (K,) float32, maximum minus minimum of the resized map.
        sums: (K,) float64, Σm of the mask over all pixels, where :func:`.float64_device` says.
    """

    maps: torch.Tensor
    scores: torch.Tensor
    spans: torch.Tensor
    sums: torch.Tensor

    def subset(self, chosen: torch.Tensor) -> ScoredMaps:
        """The maps with the numbers in ``chosen``, (N,) int64."""
        sums = self.sums[chosen.to(self.sums.device)]
        return ScoredMaps(self.maps[chosen], self.scores[chosen], self.spans[chosen], sums)


def numbers_of(masks: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
    """The indices at which masks are true, on a device, by one transfer for all masks.

    Indexing with a mask on a device would make the host wait, because its true elements must be counted
    first.

    Args:
        masks: (K_b,) bool each, on the CPU.
        device: where the indices will be used.

    Returns:
        (N_b,) int64 each, ascending.
    """
    found = [mask.nonzero()[:, 0] for mask in masks]
    return list(torch.split(torch.cat(found).to(device), [len(numbers) for numbers in found]))


def varying(maps: torch.Tensor) -> torch.Tensor:
    """Which of (K, h, w) maps are not constant, (K,) bool. A constant map cannot be scaled to a mask."""
    return maps.amax(dim=(1, 2)) > maps.amin(dim=(1, 2))


def build_masks(maps: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks in [0, 1] at the input's size.

    Args:
        maps: (K, h, w) float32, not constant.
        size: height and width of the input.

    Returns:
        (K, H, W) masks and the (K,) spans that they were divided by.
    """
    masks = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    low = masks.amin(dim=(1, 2))
    spans = masks.amax(dim=(1, 2)) - low
    return masks.sub_(low[:, None, None]).div_(spans[:, None, None]), spans


def masked_scores(classifier: Classifier, image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Ψ of the image under every mask, by one forward pass of a whole batch.

    Args:
        classifier: gives Ψ, and says how many inputs a whole batch has.
        image: (1, 3, H, W) network input.
        masks: (B, H, W) float32, not more than a whole batch.

    Returns:
        (B, C) float32.
    """
    inputs = filled_batch(
        classifier, image, len(masks), lambda filled: torch.mul(image, masks[:, None], out=filled)
    )
    return classifier.scores(inputs)[: len(masks)]


@torch.no_grad()
def score_masks(
    classifier: Classifier, image: torch.Tensor, blocks: Sequence[torch.Tensor]
) -> list[ScoredMaps]:
    """Score the feature maps of all blocks as masks on the image. A batch may hold maps of several blocks.

    Args:
        classifier: gives Ψ, and says how many masked images a batch has.
        image: (1, 3, H, W) network input.
        blocks: (K_b, h_b, w_b) feature maps per block, none of them constant; K_b may be 0.

    Returns:
        One :class:`ScoredMaps` per block.
    """
    counts = [len(maps) for maps in blocks]
    total = sum(counts)
    scores = image.new_empty(total, len(classifier.classes))
    spans = image.new_empty(total)
    sums = torch.empty(total, dtype=torch.float64, device=float64_device(image.device))

    def score(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return _score_batch(classifier, image, _pieces(blocks, start, stop))

    for items, batch in in_batches(classifier, total, score):
        scores[items], spans[items], sums[items] = batch
    parts = [torch.split(values, counts) for values in (scores, spans, sums)]
    return [ScoredMaps(maps, *part) for maps, *part in zip(blocks, *parts, strict=True)]


def _score_batch(
    classifier: Classifier, image: torch.Tensor, pieces: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores, spans and sums of the feature maps in ``pieces``, by one forward pass."""
    built = [build_masks(maps, (image.shape[2], image.shape[3])) for maps in pieces]
    masks = torch.cat([masks for masks, _ in built])
    scores = masked_scores(classifier, image, masks)
    sums = on_float64_device(masks).sum(dim=(1, 2), dtype=torch.float64)
    return scores, torch.cat([spans for _, spans in built]), sums


def _pieces(blocks: Sequence[torch.Tensor], start: int, stop: int) -> list[torch.Tensor]:
    """Maps from number ``start`` up to ``stop``, counted through all blocks; a tensor for each block."""
    pieces = []
    for maps in blocks:
        if start < len(maps) and stop > 0:
            pieces.append(maps[max(start, 0) : stop])
        start, stop = start - len(maps), stop - len(maps)
    return pieces


def layer_map(scored: ScoredMaps, target: int, size: tuple[int, int]) -> torch.Tensor:
    """The layer map V of SISE: the mean of Ψ(I⊙m)·m/Σm over the block's masks, up to a constant offset.

    Args:
        scored: the block's scored maps.
        target: index of the class.
        size: height and width of the input.

    Returns:
        (H, W) float64, where :func:`.float64_device` says; zero when the block has no maps.
    """
    if not len(scored.maps):
        return scored.sums.new_zeros(size)
    # A mask is (map - minimum) / span. The minimum only adds a constant to V, so that the map itself is
    # summed.
    areas = to_float64(scored.spans) * scored.sums * len(scored.maps)
    weights = to_float64(scored.scores[:, target]) / areas
    small = torch.einsum("k,khw->hw", weights, to_float64(scored.maps))
    return F.interpolate(small[None, None], size, mode="bilinear", align_corners=False)[0, 0]
