"""Score-CAM (Wang et al. 2020): maps weighted by the score of the input that they mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, cast

import torch
from pydantic import Field

from adasise_bench.methods.base import Explanation, Request
from adasise_bench.methods.cam.base import LayerActivation, weighted_maps
from adasise_bench.methods.layer_maps import layer_maps
from adasise_bench.methods.masking import score_masks, varying
from adasise_bench.methods.precision_check import (
    agreeing_precisions,
    in_precision,
    sample_of_maps,
    told,
)
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.timing import PhaseClock


class ScoreCam(LayerActivation):
    """Score-CAM: L = ReLU(Σ_k α_k A_k), where α_k comes from the score Ψ of the input that map k masks.

    Every map of the layer is resized to the input, scaled to [0, 1] and multiplied with the preprocessed
    input. Maps without any variation are left out. ``weighting`` says what becomes of the score Ψ:

    - ``score``, the default: α_k is Ψ of the masked input, as in the first version of the paper and in the
      authors' code (where Ψ is the softmax, the default of the configuration). The SISE paper compares with
      that code.
    - ``channel_softmax``: α is the softmax of Ψ over the maps of the layer, as in algorithm 1 of the second
      version. Its reference score Ψ(X_b) is the same for all maps and has no effect.

    The scoring engine of SISE computes it, and scores each masked input for all classes at once. The layer is
    chosen as in Grad-CAM (VGG16: ``features.29``; ResNet-50: ``layer4``).

    Map: (H, W) float32, at least 0, in units of the feature maps times the score.

    Source: Wang et al., CVPR workshops 2020 (arXiv 1910.01279), algorithm 1.

    Example:
        >>> from adasise_bench.methods.cam.score_cam import ScoreCam
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(ScoreCam(), red=[[0, 2], [0, 6]])  # Ψ = (2 * 1/3 + 6 * 1) / 4 = 5 / 3
        >>> [[round(value, 2) for value in row] for row in found.saliency.tolist()]
        [[0.0, 3.33], [0.0, 10.0]]
    """

    name: Literal["score_cam"] = "score_cam"
    weighting: Literal["score", "channel_softmax"] = Field("score", description="what a map's weight is")

    def explained(
        self, classifier: Classifier, requests: Sequence[Request], clock: PhaseClock
    ) -> list[Explanation]:
        """Score every mask once for all requests."""
        image = requests[0].image
        with clock.phase("feature_maps"):
            maps = layer_maps(classifier, image, self.layer_in(classifier)).maps
            maps = maps[varying(maps)]
        with clock.phase("scoring"):
            targets = [request.target for request in requests]
            sample = partial(sample_of_maps, [maps], (image.shape[2], image.shape[3]))
            precisions = agreeing_precisions(classifier, image, sample, targets)
            scores = {
                precision: to_float64(
                    score_masks(in_precision(classifier, precision), image, [maps])[0].scores
                )
                for precision in dict.fromkeys(precisions)
            }
        with clock.phase("fusion"):
            weights = [
                cast(ScoreCam, one.method).weights(scores[precision][:, one.target])
                for one, precision in zip(requests, precisions, strict=True)
            ]
            saliency = weighted_maps(maps, torch.stack(weights), (image.shape[2], image.shape[3]))
        return [
            Explanation(one, 1 + len(maps), 0, mask_precision=told(classifier, precision))
            for one, precision in zip(saliency, precisions, strict=True)
        ]

    def weights(self, scores: torch.Tensor) -> torch.Tensor:
        """α: (K,) float64 of the scores of one class."""
        return scores.softmax(dim=0) if self.weighting == "channel_softmax" else scores

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One, and one per map of the last block."""
        return 1 + maps_available[-1]

    def scored_inputs(self, maps_available: tuple[int, ...]) -> range:
        """All maps of the last block but those that are constant, up to a fifth of them."""
        return range(max(1, maps_available[-1] * 4 // 5), maps_available[-1] + 1)
