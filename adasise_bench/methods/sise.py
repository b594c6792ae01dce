"""SISE (arXiv 2010.00672) and Ada-SISE (arXiv 2102.07799): one method, two selectors."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from adasise_bench.errors import BenchError
from adasise_bench.methods.base import Explanation, MethodOptions
from adasise_bench.methods.fusion import FusionName, fuse, min_max
from adasise_bench.methods.masking import layer_map, score_masks, varying
from adasise_bench.methods.selectors import SelectorName, normalized, threshold
from adasise_bench.models.classifier import BlockMaps, Classifier
from adasise_bench.timing import PhaseClock


class Sise(MethodOptions):
    """Semantic Input Sampling for Explanation: keeps every map with a positive summed gradient."""

    name: Literal["sise"] = "sise"
    selector: SelectorName = "fixed"
    mu: float = Field(0.0, ge=0, lt=1, description="threshold of the `fixed` selector")
    fusion: FusionName = "hard"

    def explain(
        self, classifier: Classifier, image: torch.Tensor, target: int, batch_size: int, clock: PhaseClock
    ) -> Explanation:
        """The four phases of Ada-SISE's section 2.2; see :meth:`MethodOptions.explain`.

        Raises:
            BenchError: the network's gradients or scores for this image are not finite.
        """
        size = (image.shape[2], image.shape[3])
        with clock.phase("feature_maps"):
            blocks = classifier.block_maps(image, target)
        with clock.phase("selection"):
            values = [normalized(_finite(block.gradients)) for block in blocks]
            kept = [value > threshold(value, self.selector, self.mu) for value in values]
            maps = [_masks_of(block, keep) for block, keep in zip(blocks, kept, strict=True)]
            maps_kept = torch.stack([keep.sum() for keep in kept]).tolist()
            maps_positive = torch.stack([(value > 0).sum() for value in values]).tolist()
        with clock.phase("scoring"):
            scored = score_masks(classifier, image, maps, batch_size)
        with clock.phase("fusion"):
            layers = [min_max(layer_map(block, target, size)) for block in scored]
            saliency = fuse(layers, self.fusion).float()
        forwards = 1 + sum(len(block) for block in maps)
        return Explanation(saliency, forwards, 1, maps_kept, maps_positive)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """Half the maps have a positive gradient (Ada-SISE, Table 2)."""
        return 1 + sum(maps_available) // 2


class AdaSise(Sise):
    """SISE with a threshold chosen per block from the gradients themselves."""

    name: Literal["ada_sise"] = "ada_sise"  # type: ignore[assignment]
    selector: SelectorName = "printed"

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """Two thirds of SISE's maps are left (Ada-SISE, Table 2)."""
        if self.selector == "fixed":
            return super().expected_forwards(maps_available)
        return 1 + sum(maps_available) // 3


def _finite(gradients: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(gradients).all():
        raise BenchError("the network's gradients are not finite for this picture")
    return gradients


def _masks_of(block: BlockMaps, keep: torch.Tensor) -> torch.Tensor:
    maps = block.maps[keep]
    return maps[varying(maps)]
