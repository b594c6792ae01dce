"""SISE and Ada-SISE written as plainly as possible: one map, one mask, one forward at a time."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from skimage.filters import threshold_otsu
from torch import nn

from adasise_bench.models.classifier import Classifier


def select(values: list[float], selector: str, mu: float = 0.0) -> list[bool]:
    """Which normalised gradients are kept, by loops over the formulas."""
    positive = sorted(value for value in values if value > 0)
    n = len(positive)
    if selector == "fixed":
        limit = mu
    elif n <= 2:
        limit = 0.0
    else:
        best, limit = -1.0, 0.0
        for i in range(1, n):
            low, high = positive[:i], positive[i:]
            if selector == "log-otsu":
                low, high = np.log(low).tolist(), np.log(high).tolist()
            if selector in ("otsu", "log-otsu"):
                tau = (i / n) * (1 - i / n) * (np.mean(low) - np.mean(high)) ** 2
            elif i < n / 2:
                omega_low = n * sum(low) / i
                omega_high = n * sum(positive[i - 1 :]) / (n - i)
                tau = omega_low * omega_high * ((n - 2 * i) / n) ** 2
            else:
                break
            if tau > best:
                best, limit = tau, positive[i - 1]
        if positive[-1] <= limit:
            limit = 0.0
    return [value > limit for value in values]


def explain(
    classifier: Classifier,
    image: torch.Tensor,
    target: int,
    selector: str,
    mu: float = 0.0,
    soft: bool = False,
) -> tuple[np.ndarray, list[np.ndarray], list[list[bool]]]:
    """The final map, the normalised layer maps, and the kept sets."""
    size = image.shape[2:]
    _, outputs = forward(classifier.module, classifier.blocks, image)
    exact = gradients(classifier, image, target)

    layers, kept_sets = [], []
    for output, gradient in zip(outputs, exact, strict=True):
        maps = output[0].detach()
        sums = gradient.tolist()
        largest = max(sums)
        values = [s / largest for s in sums] if largest > 0 else [0.0] * len(sums)
        kept = select(values, selector, mu)
        kept_sets.append(kept)
        total, count = np.zeros(tuple(size)), 0
        for k in range(len(maps)):
            resized = F.interpolate(maps[k][None, None], tuple(size), mode="bilinear", align_corners=False)[
                0, 0
            ]
            if not kept[k] or maps[k].max() == maps[k].min():
                continue
            mask = (resized - resized.min()) / (resized.max() - resized.min())
            with torch.no_grad():
                score = classifier.module(image * mask).softmax(1)[0, target]
            total += float(score) * mask.double().numpy() / float(mask.double().sum())
            count += 1
        layers.append(scale(total / max(count, 1)))
    fused = layers[0]
    for layer in layers[1:]:
        limit = threshold_otsu(layer)
        gate = 1 / (1 + np.exp(-100 * (layer - limit))) if soft else layer > limit
        fused = (fused + layer) * gate
    return scale(fused), layers, kept_sets


def gradients(classifier: Classifier, image: torch.Tensor, target: int) -> list[torch.Tensor]:
    """Summed gradients of log Ψ with respect to every block's maps, in double precision throughout."""
    module = copy.deepcopy(classifier.module).double()
    with torch.enable_grad():
        logits, maps = forward(module, classifier.blocks, image.double().requires_grad_(True))
        log_psi = F.logsigmoid(logits) if classifier.score == "sigmoid" else logits.log_softmax(1)
        return [g[0].sum(dim=(1, 2)) for g in torch.autograd.grad(log_psi[0, target], maps)]


def forward(
    module: nn.Module, blocks: tuple[str, ...], image: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Raw outputs and the blocks' maps."""
    maps: list[torch.Tensor] = []
    hooks = [
        module.get_submodule(name).register_forward_hook(lambda _m, _i, out: maps.append(out))
        for name in blocks
    ]
    logits = module(image)
    for hook in hooks:
        hook.remove()
    return logits, maps


def scale(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
