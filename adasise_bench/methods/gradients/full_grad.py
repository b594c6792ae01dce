"""FullGrad (Srinivas, Fleuret, NeurIPS 2019, arXiv 1905.00780)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.gradients.input_gradients import input_gradients
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import PhaseClock

_EPSILON = 1e-6


class FullGrad(Method):
    """FullGrad: gradient times input, plus gradient times bias of every convolution.

    The raw output of a network of ReLUs is exactly the sum of these terms and those of the linear layers
    (equation 3). As in the authors' code, the magnitudes of each term are shifted and scaled to [0, 1] over
    all channels together, resized bilinearly with aligned corners, and summed over the channels. Linear
    layers have no place in the picture and are left out. The bias of a batch normalisation counts as that of
    the convolution it is folded into. Where such a convolution has a bias of its own, as the first one of
    TorchRay's ResNet-50, the two make one term. The method has no parameter. No package offers the authors'
    code, and ``FullGrad`` of pytorch-grad-cam scales every channel by itself, which gives another map.

    Map: (H, W) float32, at least 0, without a unit.

    Source: Srinivas and Fleuret, NeurIPS 2019 (arXiv 1905.00780), equation 7.

    Example:
        >>> from adasise_bench.methods.gradients.full_grad import FullGrad
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(FullGrad(), red=[[0, 2], [0, 6]])  # no bias: the scaled input is left
        >>> [[round(value, 2) for value in row] for row in found.saliency.tolist()]
        [[0.0, 0.33], [0.0, 1.0]]
    """

    name: Literal["full_grad"] = "full_grad"

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """One forward and one backward; see :meth:`Method.explain`."""
        height, width = request.image.shape[2:]
        saliency = request.image.new_zeros(height, width)
        for term in full_gradients(classifier, request.image, request.target):
            if term.ndim == 4:
                saliency += F.interpolate(
                    _summed_channels(term), (height, width), mode="bilinear", align_corners=True
                )[0, 0]
        return Explanation(saliency, forwards=1, backwards=1)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One."""
        return 1

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each forward pass."""
        return self.expected_forwards(maps_available)


def full_gradients(classifier: Classifier, image: torch.Tensor, target: int) -> list[torch.Tensor]:
    """The terms whose sum is the raw output of a network of ReLUs.

    Args:
        classifier: the network.
        image: (1, 3, H, W) float32 network input.
        target: index of the class.

    Returns:
        Gradient times bias of every layer that has one, (1, C, h, w) or for linear layers (1, C), from
        the output side; then gradient times input, (1, 3, H, W).
    """
    with _bias_terms(classifier.module) as terms:
        gradient = input_gradients(classifier, image, target)
    return [*terms, gradient * image]


@contextmanager
def _bias_terms(module: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect the bias terms of the backward passes in a ``with`` block; hooks are always removed.

    The hook is on the layer's output. It gets the gradient of this output even if the network changes the
    output in place afterwards.
    """
    terms: list[torch.Tensor] = []

    def watch(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        bias = _bias(layer)
        if bias is not None and output.requires_grad:
            shape = (1, -1, *[1] * (output.ndim - 2))
            output.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: terms.append(gradient * bias.view(shape))
            )

    layers = [
        layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d)
    ]
    hooks = [layer.register_forward_hook(watch) for layer in layers]
    try:
        yield terms
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _bias(layer: nn.Module) -> torch.Tensor | None:
    """What a layer adds to any input, one number per channel; ``None`` where it has no bias."""
    if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
        nothing = torch.zeros_like(layer.running_mean)[None, :, None, None]
        return layer.forward(nothing).flatten()
    bias: torch.Tensor | None = layer.get_parameter("bias") if layer.bias is not None else None
    return bias


def _summed_channels(term: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) to (1, 1, h, w): magnitudes, scaled so that they go from 0 to 1, summed over channels."""
    magnitudes = term.abs()
    magnitudes -= magnitudes.min()
    return magnitudes.sum(dim=1, keepdim=True) / (magnitudes.max() + _EPSILON)
