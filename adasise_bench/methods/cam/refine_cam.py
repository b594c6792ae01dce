"""RefineCAM (Domeniconi et al. 2026): the product of the Grad-CAM++ maps of several layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from adasise_bench.methods.base import Explanation, Request
from adasise_bench.methods.cam.base import ClassActivation, weighted_maps
from adasise_bench.methods.cam.grad_cam import GradCamPlusPlus
from adasise_bench.methods.layer_maps import layer_maps
from adasise_bench.methods.sise.fusion import min_max
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import PhaseClock

_BASE = GradCamPlusPlus()
"""The class activation method whose maps are multiplied."""


class RefineCam(ClassActivation):
    """RefineCAM: the product of Grad-CAM++ maps of several layers, from coarse to fine.

    The Grad-CAM++ map of each layer is resized to the input and scaled to [0, 1]. The maps are multiplied
    pixel by pixel, and the product is scaled to [0, 1] again. A layer whose map is equal everywhere makes the
    product 0. ``layers`` are all blocks of the network by default; which ones to take is left open by the
    paper. It takes a forward pass for each layer, and for each class a backward pass as well.

    Map: (H, W) float32, from 0 to 1.

    Source: Domeniconi et al., How to Evaluate and Refine your CAM, arXiv 2605.14641; scaling and base method
    of the authors' version in pytorch-grad-cam.

    Example:
        >>> from adasise_bench.methods.cam.refine_cam import RefineCam
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(RefineCam(), red=[[0, 2], [0, 6]])  # one block: its map, scaled
        >>> [[round(value, 2) for value in row] for row in found.saliency.tolist()]
        [[0.0, 0.33], [0.0, 1.0]]
    """

    name: Literal["refine_cam"] = "refine_cam"
    layers: tuple[str, ...] | None = Field(
        None, min_length=2, description="modules whose maps are multiplied; default: all blocks"
    )

    @property
    def group(self) -> str:
        """Requests on the same layers share their passes."""
        return f"{self.name} of {', '.join(self.layers or ('all blocks',))}"

    def layers_in(self, classifier: Classifier) -> tuple[str, ...]:
        """The chosen layers' names, or those of all blocks."""
        return self.layers or classifier.blocks

    def check(self, classifier: Classifier, image: torch.Tensor) -> None:
        """See :meth:`Method.check`."""
        for layer in self.layers_in(classifier):
            layer_maps(classifier, image, layer)

    def explained(
        self, classifier: Classifier, requests: Sequence[Request], clock: PhaseClock
    ) -> list[Explanation]:
        """One forward pass per layer for all requests, and one backward pass per layer and class."""
        image, layers = requests[0].image, self.layers_in(classifier)
        targets = sorted({request.target for request in requests})
        with clock.phase("feature_maps"):
            found = [layer_maps(classifier, image, layer, targets) for layer in layers]
        with clock.phase("fusion"):
            size = (image.shape[2], image.shape[3])
            maps = [
                min_max(weighted_maps(one.maps, _BASE.weights(one.maps, one.gradients), size))
                for one in found
            ]
            saliency = min_max(torch.stack(maps).prod(dim=0))
        passes = len(layers)
        return [Explanation(saliency[targets.index(one.target)], passes, passes) for one in requests]

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each layer."""
        return len(self.layers or maps_available)

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each forward pass."""
        return self.expected_forwards(maps_available)
