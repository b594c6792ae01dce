"""CAM (Zhou et al. 2016): the maps that the head averages, weighted by its linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from adasise_bench.methods.base import Explanation, Request
from adasise_bench.methods.cam.base import ClassActivation, weighted_maps
from adasise_bench.methods.layer_maps import refuse_not_finite
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

_SAME = 1e-4
"""Values that differ by no more than this share of the largest one count as equal but for rounding."""


class Cam(ClassActivation):
    """Class activation mapping: M = Σ_k w_k A_k, where negative values become 0.

    A_k are the feature maps whose means enter the last linear layer, and w_k are the weights of the class in
    that layer. The method is defined only for networks that end in a global average pooling and one linear
    layer (ResNet-50: ``layer4``; scenes_vgg: the last pooling; not VGG16). The maps are found in the forward
    pass. The method has no parameter. The paper keeps negative values; here they become 0, as in all maps of
    this tool.

    Map: (H, W) float32, at least 0, in units of the raw output.

    Source: Zhou et al., CVPR 2016 (arXiv 1512.04150), equation 2.

    Example:
        >>> from adasise_bench.methods.cam.cam import Cam
        >>> from adasise_bench.methods.example import explained
        >>> explained(Cam(), red=[[0, 2], [0, 6]]).saliency.tolist()  # 1 times the map of red
        [[0.0, 2.0], [0.0, 6.0]]
    """

    name: Literal["cam"] = "cam"

    def explained(
        self, classifier: Classifier, requests: Sequence[Request], clock: PhaseClock
    ) -> list[Explanation]:
        """One forward pass for all requests."""
        image = requests[0].image
        with clock.phase("feature_maps"):
            maps, weights = averaged_maps(classifier, image)
        with clock.phase("fusion"):
            asked = to_float64(torch.stack([weights[request.target] for request in requests]))
            saliency = weighted_maps(maps, asked, (image.shape[2], image.shape[3]))
        return [Explanation(one, 1, 0) for one in saliency]

    def check(self, classifier: Classifier, image: torch.Tensor) -> None:
        """See :meth:`Method.check`."""
        averaged_maps(classifier, image)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One."""
        return 1


@torch.no_grad()
def averaged_maps(classifier: Classifier, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the maps whose means are the input of the last linear layer, and the weights of that layer.

    The head is the last linear layer or convolution that runs. Its output must be the network's output. Its
    input must be the means of the last feature maps before it that have more than one position.

    Args:
        classifier: the network; left as it was found.
        image: (1, 3, H, W) network input.

    Returns:
        (K, h, w) float32 maps and (C, K) float32 weights.

    Raises:
        ConfigError: the network has no such head.
        BenchError: outputs that are not finite.
    """
    last_maps: list[torch.Tensor] = []
    head: list[tuple[nn.Linear | nn.Conv2d, torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def watch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d) and last_maps:
            head[:] = [(module, inputs[0], output, last_maps[0])]
        layout = classifier.layout_of(output, image)
        if layout is not None and layout.size != (1, 1):
            last_maps[:] = [layout.maps(output)]

    hooks = [module.register_forward_hook(watch) for module in classifier.module.modules()]
    try:
        with arithmetic("fp32", classifier.device):
            outputs = classifier.outputs(image)
    finally:
        for hook in hooks:
            hook.remove()
    refuse_not_finite(outputs)
    for module, entered, left, maps in head:
        if _same(entered, maps.mean(dim=(2, 3))) and _same(left, outputs):
            return maps[0], module.weight.detach().flatten(1)
    raise ConfigError(
        f"cam: {classifier.name} does not end in a global average pooling and one linear layer, which CAM "
        "needs; leave cam out, or use grad_cam"
    )


def _same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether (1, N) or (1, N, 1, 1) values are equal to (1, N) values up to rounding."""
    if found.numel() != expected.numel():
        return False
    difference = (found.reshape(expected.shape) - expected).abs().max()
    return bool(difference <= _SAME * expected.abs().max())
