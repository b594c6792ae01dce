"""Whether the map depends on what the network has learnt."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from scipy.stats import spearmanr
from torch import nn

from adasise_bench.metrics.pixels import is_degenerate
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError


def rank_correlation(saliency: torch.Tensor, other: torch.Tensor) -> float | None:
    """Spearman's ρ of two maps of one size, in [-1, 1]; ``None`` where all pixels of either are equal."""
    saliency, other = saliency.cpu(), other.cpu()
    if is_degenerate(saliency) or is_degenerate(other):
        return None
    ranks = spearmanr(saliency.numpy().ravel(), other.numpy().ravel())
    return float(ranks.statistic)


HEAD_SEED = 0


def head_sensitivity(
    classifier: Classifier,
    image: torch.Tensor,
    saliency: torch.Tensor,
    explain: Callable[[Classifier], torch.Tensor],
) -> float | None:
    """Rank correlation of the map with the one that the same method gives after :func:`randomized_head`.

    The first step of the cascade of Adebayo et al. (Sanity Checks for Saliency Maps, NeurIPS 2018).

    Args:
        classifier: the network that was explained.
        image: (1, 3, H, W) float32 network input.
        saliency: (H, W) map.
        explain: explains the same pair on another network: (H, W).

    Returns:
        Spearman's ρ: 1 for a method that ignores what the head has learnt; ``None`` where a map is flat.

    Raises:
        BenchError: the second map cannot be made, or is not finite.
    """
    other = explain(randomized_head(classifier, image))
    if not torch.isfinite(other).all():
        raise BenchError("the map of the randomised head is not finite for this picture")
    return rank_correlation(saliency, other)


@torch.no_grad()
def randomized_head(classifier: Classifier, image: torch.Tensor) -> Classifier:
    """The network with the last layer that has parameters drawn anew; everything else is shared with it.

    Each parameter is drawn from a normal distribution with mean 0 and the standard deviation of its
    elements, by a generator with a fixed seed, on the CPU, so that all devices draw the same.

    Args:
        classifier: the network; left as it was found.
        image: (1, 3, H, W) network input, to see which layer runs last.

    Raises:
        BenchError: that layer does not decide the outputs, or no layer with parameters runs.
    """
    module, name = classifier.module, _last_layer(classifier, image)
    own = set(module.get_submodule(name).parameters(recurse=False))
    kept = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor not in own]
    other: nn.Module = copy.deepcopy(module, {id(tensor): tensor for tensor in kept})
    generator = torch.Generator().manual_seed(HEAD_SEED)
    for parameter in other.get_submodule(name).parameters(recurse=False):
        drawn = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(drawn.to(parameter) * parameter.std(correction=0))
    randomized = replace(classifier, module=other, backend=None)
    if torch.equal(randomized.outputs(image), classifier.outputs(image)):
        raise BenchError(f"head_sensitivity: the outputs do not change with the layer {name!r}")
    return randomized


def _last_layer(classifier: Classifier, image: torch.Tensor) -> str:
    """Name of the module with parameters of its own that runs last."""
    ran: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in classifier.module.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        classifier.outputs(image)
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        raise BenchError(f"head_sensitivity: {classifier.name} runs no module with parameters")
    return ran[-1]
