"""The class activation methods by plain loops, one map and one position at a time, in double precision."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from reference import forward
from torch import nn

from adasise_bench.models.classifier import Classifier

METHODS = (
    "cam", "grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "refine_cam", "score_cam", "ablation_cam",
)  # fmt: skip


def grad_cam(classifier: Classifier, image: torch.Tensor, target: int, layer: str) -> torch.Tensor:
    maps, gradients = _maps_and_gradients(classifier, image, target, layer)
    return _combined(maps, [float(gradient.mean()) for gradient in gradients], image)


def grad_cam_pp(classifier: Classifier, image: torch.Tensor, target: int, layer: str) -> torch.Tensor:
    """The paper's eqs. 10 and 19 with Y = exp(y), its three derivatives written out."""
    maps, gradients = _maps_and_gradients(classifier, image, target, layer)
    y = float(classifier.outputs(image)[0, target])
    scale = torch.exp(torch.tensor(y, dtype=torch.float64))
    weights = []
    for one, slope in zip(maps, gradients, strict=True):
        weight = 0.0
        for g in slope.flatten().tolist():
            first, second, third = scale * g, scale * g**2, scale * g**3
            denominator = 2 * second + float(one.sum()) * third
            alpha = float(second / denominator) if denominator else 0.0
            weight += alpha * max(float(first), 0.0)
        weights.append(weight / float(scale))
    return _combined(maps, weights, image)


def hires_cam(classifier: Classifier, image: torch.Tensor, target: int, layer: str) -> torch.Tensor:
    """Each pixel of each map times its own gradient."""
    maps, gradients = _maps_and_gradients(classifier, image, target, layer)
    return _combined(
        [one * slope for one, slope in zip(maps, gradients, strict=True)], [1.0] * len(maps), image
    )


def layer_cam(classifier: Classifier, image: torch.Tensor, target: int, layer: str) -> torch.Tensor:
    """The same where the gradient is positive."""
    maps, gradients = _maps_and_gradients(classifier, image, target, layer)
    kept = [torch.where(slope > 0, one * slope, 0) for one, slope in zip(maps, gradients, strict=True)]
    return _combined(kept, [1.0] * len(maps), image)


def score_cam(
    classifier: Classifier, image: torch.Tensor, target: int, layer: str, channel_softmax: bool = False
) -> torch.Tensor:
    module = _double(classifier)
    image = image.double()
    with torch.no_grad():
        _, (found,) = forward(module, (layer,), image)
        maps, scores = [], []
        for one in found[0]:
            if one.max() > one.min():
                mask = _resized(one, image)
                mask = (mask - mask.min()) / (mask.max() - mask.min())
                outputs = module(image * mask)[0]
                scores.append(float(outputs.softmax(0)[target] if classifier.score == "softmax"
                                    else outputs[target]))  # fmt: skip
                maps.append(one)
    if channel_softmax:
        scores = torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()
    return _combined(maps, scores, image)


def ablation_cam(classifier: Classifier, image: torch.Tensor, target: int, layer: str) -> torch.Tensor:
    module = _double(classifier)
    image = image.double()
    with torch.no_grad():
        outputs, (found,) = forward(module, (layer,), image)
        y, weights = float(outputs[0, target]), []
        for k in range(found.shape[1]):

            def without(
                _module: nn.Module, _inputs: object, output: torch.Tensor, k: int = k
            ) -> torch.Tensor:
                output = output.clone()
                output[:, k] = 0
                return output

            hook = module.get_submodule(layer).register_forward_hook(without)
            weights.append((y - float(module(image)[0, target])) / abs(y))
            hook.remove()
    return _combined(list(found[0]), weights, image)


def cam(
    classifier: Classifier, image: torch.Tensor, target: int, layer: str, weight: torch.Tensor
) -> torch.Tensor:
    module = _double(classifier)
    _, (found,) = forward(module, (layer,), image.double())
    return _combined(list(found[0]), weight[target].tolist(), image)


def _double(classifier: Classifier) -> nn.Module:
    """A copy in double precision that changes nothing in place."""
    module = copy.deepcopy(classifier.module).double()
    for child in module.modules():
        if isinstance(child, nn.ReLU):
            child.inplace = False
    return module


def _maps_and_gradients(
    classifier: Classifier, image: torch.Tensor, target: int, layer: str
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    module = _double(classifier)
    with torch.enable_grad():
        outputs, (found,) = forward(module, (layer,), image.double().requires_grad_())
        (gradients,) = torch.autograd.grad(outputs[0, target], [found])
    return list(found[0].detach()), list(gradients[0])


def _combined(maps: list[torch.Tensor], weights: list[float], image: torch.Tensor) -> torch.Tensor:
    total = torch.zeros_like(maps[0])
    for one, weight in zip(maps, weights, strict=True):
        total += weight * one
    return _resized(total.clamp(min=0), image)


def _resized(one: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    return F.interpolate(one[None, None], image.shape[2:], mode="bilinear", align_corners=False)[0, 0]
