"""Ablation-CAM (Desai and Ramaswamy 2020): maps weighted by how much the output falls without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from adasise_bench.methods.base import Explanation, Request
from adasise_bench.methods.cam.base import LayerActivation, weighted_maps
from adasise_bench.methods.cam.partial_forward import PartialForward, forward_behind
from adasise_bench.methods.layer_maps import layer_maps
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import filled_batch, in_batches
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock


class AblationCam(LayerActivation):
    """Ablation-CAM: L = ReLU(Σ_k w_k A_k), where w_k = (y - y_k) / |y|.

    y is the raw output of the class, before any softmax or sigmoid, and y_k is the output when map k is set
    to 0. The paper divides by y. Here it is |y|, which is the same for y > 0; for y < 0 the paper's quotient
    would show what speaks against the class. Maps that are 0 everywhere add nothing and are not ablated. The
    layer is chosen as in Grad-CAM (VGG16: ``features.29``; ResNet-50: ``layer4``).

    Everything is computed in fp32. Only the modules behind the layer run for every ablated map, and the
    outputs of all classes come from the same pass. ``forwards`` counts such a pass like a whole one.

    Map: (H, W) float32, at least 0, in units of the feature maps.

    Source: Desai and Ramaswamy, WACV 2020.

    Example:
        >>> from adasise_bench.methods.cam.ablation_cam import AblationCam
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(AblationCam(), red=[[0, 2], [0, 6]])
        >>> found.saliency.tolist(), found.forwards  # without the map of red nothing is left: w is 1
        ([[0.0, 2.0], [0.0, 6.0]], 2)
    """

    name: Literal["ablation_cam"] = "ablation_cam"

    def explained(
        self, classifier: Classifier, requests: Sequence[Request], clock: PhaseClock
    ) -> list[Explanation]:
        """Ablate every map once for all requests."""
        image, layer = requests[0].image, self.layer_in(classifier)
        with clock.phase("feature_maps"):
            found = layer_maps(classifier, image, layer)
            active = found.maps.ne(0).any(dim=2).any(dim=1).nonzero()[:, 0]
        with clock.phase("scoring"), torch.no_grad(), arithmetic("fp32", classifier.device):
            forward = forward_behind(classifier, image, layer, found)
            outputs = to_float64(ablated_outputs(classifier, forward, found.maps, active))
        with clock.phase("fusion"):
            whole, without = outputs[0], outputs[1:]
            weights = (whole - without) / torch.where(whole == 0, 1, whole.abs())
            asked = torch.stack([weights[:, request.target] for request in requests])
            saliency = weighted_maps(found.maps[active], asked, (image.shape[2], image.shape[3]))
        return [Explanation(one, 1 + len(without), 0) for one in saliency]

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One, and one through the modules behind the layer per map of the last block."""
        return 1 + maps_available[-1]


def ablated_outputs(
    classifier: Classifier, forward: PartialForward, maps: torch.Tensor, chosen: torch.Tensor
) -> torch.Tensor:
    """Raw outputs without any of the chosen maps, one after the other.

    All passes have the same shape, as in the scoring engine; when memory runs out, the batch is halved.

    Args:
        classifier: says how many inputs pass at once.
        forward: the network behind the maps.
        maps: (K, h, w) feature maps of one image.
        chosen: (N,) int64, the numbers of the maps to ablate.

    Returns:
        (1 + N, C) float32: first the outputs with all maps.
    """
    everything = maps.new_ones(1, len(maps))
    kept = torch.cat([everything, (1 - torch.eye(len(maps), device=maps.device))[chosen]])
    outputs = maps.new_empty(len(kept), len(classifier.classes))

    def pass_on(start: int, stop: int) -> torch.Tensor:
        return _one_batch(classifier, forward, maps, kept[start:stop])

    for items, batch in in_batches(classifier, len(kept), pass_on):
        outputs[items] = batch
    return outputs


def _one_batch(
    classifier: Classifier, forward: PartialForward, maps: torch.Tensor, kept: torch.Tensor
) -> torch.Tensor:
    inputs = filled_batch(
        classifier, maps[None], len(kept), lambda filled: torch.mul(maps, kept[:, :, None, None], out=filled)
    )
    return forward(inputs)[: len(kept)]
