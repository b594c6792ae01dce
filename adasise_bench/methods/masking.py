"""The scoring engine: feature maps as soft masks on the input, scored in batches.

A mask is its feature map F resized bilinearly to the input and scaled to [0, 1]. Resizing is linear, so
the weighted mean of masks that SISE needs, mean of Ψ(I⊙m)·m/Σm, is the resized weighted sum of the
*small* maps, up to a constant that the following min-max removes. Full-size masks therefore live only
in the batch being scored, and the result does not depend on how masks were split into batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from adasise_bench.models.classifier import Classifier


@dataclass(frozen=True)
class ScoredMaps:
    """Feature maps of one block and what scoring them as masks gave.

    Attributes:
        maps: (K, h, w) float32 feature maps, none of them constant.
        scores: (K, C) float32, Ψ of the masked input for every class.
        spans: (K,) float32, maximum minus minimum of the resized map.
        sums: (K,) float64, Σm of the mask over all pixels.
    """

    maps: torch.Tensor
    scores: torch.Tensor
    spans: torch.Tensor
    sums: torch.Tensor


def varying(maps: torch.Tensor) -> torch.Tensor:
    """Which of (K, h, w) maps are not constant, (K,) bool: a constant map carries nothing as a mask."""
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


@torch.no_grad()
def score_masks(
    classifier: Classifier, image: torch.Tensor, blocks: Sequence[torch.Tensor], batch_size: int
) -> list[ScoredMaps]:
    """Score the feature maps of every block as masks on the image.

    Args:
        classifier: gives Ψ.
        image: (1, 3, H, W) network input.
        blocks: (K_b, h_b, w_b) feature maps per block, none of them constant; K_b may be 0.
        batch_size: masked inputs per forward pass; batches run across block borders.

    Returns:
        One :class:`ScoredMaps` per block.
    """
    size = (image.shape[2], image.shape[3])
    scores, spans, sums = [], [], []
    for batch in _batches([len(maps) for maps in blocks], batch_size):
        built = [build_masks(blocks[block][start:stop], size) for block, start, stop in batch]
        masks = torch.cat([masks for masks, _ in built])
        spans += [span for _, span in built]
        sums.append(masks.sum(dim=(1, 2), dtype=torch.float64))
        scores.append(classifier.scores(image * masks[:, None]))
    if not scores:
        empty = image.new_zeros(0)
        return [ScoredMaps(maps, image.new_zeros(0, 0), empty, empty.double()) for maps in blocks]
    counts = [len(maps) for maps in blocks]
    parts = [torch.split(torch.cat(measured), counts) for measured in (scores, spans, sums)]
    return [ScoredMaps(maps, *part) for maps, *part in zip(blocks, *parts, strict=True)]


def layer_map(scored: ScoredMaps, target: int, size: tuple[int, int]) -> torch.Tensor:
    """V = mean of Ψ(I⊙m)·m/Σm over the block's masks, up to a constant offset (SISE, eq. of V).

    Args:
        scored: the block's scored maps.
        target: index of the class.
        size: height and width of the input.

    Returns:
        (H, W) float64; zero when the block has no maps.
    """
    if not len(scored.maps):
        return scored.spans.new_zeros(size, dtype=torch.float64)
    weights = scored.scores[:, target].double() / (scored.spans.double() * scored.sums * len(scored.maps))
    small = torch.einsum("k,khw->hw", weights, scored.maps.double())
    return F.interpolate(small[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def _batches(counts: Sequence[int], batch_size: int) -> Iterator[list[tuple[int, int, int]]]:
    """Split ``counts[b]`` items per block into batches of (block, start, stop) pieces."""
    batch: list[tuple[int, int, int]] = []
    free = batch_size
    for block, count in enumerate(counts):
        start = 0
        while start < count:
            stop = min(count, start + free)
            batch.append((block, start, stop))
            free -= stop - start
            start = stop
            if free == 0:
                yield batch
                batch, free = [], batch_size
    if batch:
        yield batch
