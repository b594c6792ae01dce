"""Grad-CAM (Selvaraju et al. 2017) and Grad-CAM++ (Chattopadhyay et al. 2018): gradients as weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from adasise_bench.methods.base import Explanation, Request
from adasise_bench.methods.cam.base import LayerActivation, weighted_maps
from adasise_bench.methods.layer_maps import layer_maps
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.timing import PhaseClock


class GradCam(LayerActivation):
    """Grad-CAM: L = ReLU(Σ_k α_k A_k), where α_k is the mean of ∂y/∂A_k over the positions of map k.

    y is the raw output of the class, before any softmax or sigmoid. This is so in the paper, and it does not
    depend on the configuration's ``score``. A is the output of ``layer``, by default of the last block
    (VGG16: ``features.29``, the last ReLU before the last pooling; ResNet-50: ``layer4``). The method has no
    other parameter. It takes one forward pass, and for each class one backward pass that ends at the layer.

    Map: (H, W) float32, at least 0, in units of the raw output.

    Source: Selvaraju et al., ICCV 2017 (arXiv 1610.02391), equations 1 and 2.

    Example:
        >>> from adasise_bench.methods.cam.grad_cam import GradCam
        >>> from adasise_bench.methods.example import explained
        >>> explained(GradCam(), red=[[0, 2], [0, 6]]).saliency.tolist()  # α of red is 1 / 4 pixels
        [[0.0, 0.5], [0.0, 1.5]]
    """

    name: Literal["grad_cam"] = "grad_cam"

    def explained(
        self, classifier: Classifier, requests: Sequence[Request], clock: PhaseClock
    ) -> list[Explanation]:
        """One forward pass for all requests and one backward pass per class."""
        image = requests[0].image
        targets = sorted({request.target for request in requests})
        with clock.phase("feature_maps"):
            found = layer_maps(classifier, image, self.layer_in(classifier), targets)
        with clock.phase("fusion"):
            weights = self.weights(found.maps, found.gradients)
            saliency = weighted_maps(found.maps, weights, (image.shape[2], image.shape[3]))
        return [Explanation(saliency[targets.index(request.target)], 1, 1) for request in requests]

    def weights(self, maps: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """What :func:`.weighted_maps` takes, of (K, h, w) maps and (T, K, h, w) gradients; here α, (T, K)."""
        return to_float64(gradients).mean(dim=(2, 3))

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One."""
        return 1

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each forward pass."""
        return self.expected_forwards(maps_available)


class GradCamPlusPlus(GradCam):
    """Grad-CAM++: L = ReLU(Σ_k w_k A_k), where w_k = Σ_ij α_ij ReLU(∂Y/∂A_ij).

    Y is exp(y), and y is the raw output of the class. For a network that is piecewise linear behind the
    layer, the paper's α = Y'' / (2 Y'' + Σ A Y''') is 1 / (2 + g ΣA) with g = ∂y/∂A, and ∂Y/∂A is g exp(y).
    All weights share the factor exp(y), which is therefore left out. α is that of the paper; the authors'
    code divides it by its sum over the positions with g > 0, which is not in the paper. The layer is chosen
    as in :class:`GradCam`.

    Map: (H, W) float32, at least 0, in units of the raw output.

    Source: Chattopadhyay et al., WACV 2018 (arXiv 1710.11063), equation 19.

    Example:
        >>> from adasise_bench.methods.cam.grad_cam import GradCamPlusPlus
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(GradCamPlusPlus(), red=[[0, 2], [0, 6]])
        >>> found.saliency.tolist()  # g is 1 / 4, α is 1 / (2 + 8 / 4), and w is the sum of 4 times α g
        [[0.0, 0.5], [0.0, 1.5]]
    """

    name: Literal["grad_cam_pp"] = "grad_cam_pp"  # type: ignore[assignment]

    def weights(self, maps: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """w: (T, K) float64 of (K, h, w) maps and (T, K, h, w) gradients; α is 0 where it is not defined."""
        gradients = to_float64(gradients)
        denominators = 2 + gradients * to_float64(maps).sum(dim=(1, 2))[:, None, None]
        alphas = torch.where(denominators == 0, 0, 1 / denominators)
        return (alphas * gradients.clamp(min=0)).sum(dim=(2, 3))
