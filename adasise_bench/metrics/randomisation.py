"""A metric that randomises the network's last layer: does the map depend on what the layer has learnt?"""

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
    """Spearman's rank correlation ρ of two maps.

    Args:
        saliency: (H, W) map.
        other: (H, W) map.

    Returns:
        From -1 to 1; ``None`` where all pixels of one of the maps are equal.

    Example:
        >>> from adasise_bench.metrics.randomisation import rank_correlation
        >>> saliency = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> round(rank_correlation(saliency, saliency**2), 6)  # the ranks are the same
        1.0
    """
    saliency, other = saliency.cpu(), other.cpu()
    if is_degenerate(saliency) or is_degenerate(other):
        return None
    ranks = spearmanr(saliency.numpy().ravel(), other.numpy().ravel())
    return float(ranks.statistic)


HEAD_SEED = 0
"""Where the random numbers of the randomised layer begin."""


def head_sensitivity(
    classifier: Classifier,
    image: torch.Tensor,
    saliency: torch.Tensor,
    explain: Callable[[Classifier, torch.Tensor], torch.Tensor],
) -> float | None:
    """Rank correlation of the map with the map that the same method gives after :func:`randomized_head`.

    Source: Adebayo et al., Sanity Checks for Saliency Maps (arXiv 1810.03292), the first step of their
    cascade.

    Args:
        classifier: the network that was explained.
        image: (1, 3, H, W) float32 network input.
        saliency: (H, W) map.
        explain: explains the same class of a network input on another network and gives an (H, W) map.

    Returns:
        Spearman's ρ, from -1 to 1; lower is better. It is 1 for a method that does not look at the last
        layer, and ``None`` where all pixels of one of the maps are equal.

    Raises:
        BenchError: the second map cannot be made, or is not finite.

    Example:
        >>> from adasise_bench.metrics.randomisation import head_sensitivity
        >>> from adasise_bench.models.example import red_picture, two_colours
        >>> image = red_picture([[0, 2], [0, 6]])
        >>> round(head_sensitivity(two_colours(), image, image[0, 0], lambda *_: image[0, 0]), 6)
        1.0
    """
    other = explain(randomized_head(classifier, image), image)
    if not torch.isfinite(other).all():
        raise BenchError("the map of the randomised head is not finite for this picture")
    return rank_correlation(saliency, other)


@torch.no_grad()
def randomized_head(classifier: Classifier, image: torch.Tensor) -> Classifier:
    """A copy of the network in which the parameters of the last layer are random.

    The last layer is the module with parameters that runs last. Each of its parameters is drawn from a normal
    distribution with mean 0 and the standard deviation of its elements. The random numbers come from the CPU
    with a fixed seed, so that all devices draw the same. All other parameters are shared with the network.
    torch runs the copy, in the network's precision, or in fp32 where that is int8.

    Args:
        classifier: the network; it stays as it is.
        image: (1, 3, H, W) network input, which shows the layer that runs last.

    Raises:
        BenchError: the outputs do not depend on that layer, or no layer with parameters runs.

    Example:
        >>> from adasise_bench.metrics.randomisation import randomized_head
        >>> from adasise_bench.models.example import red_picture, two_colours
        >>> image, network = red_picture([[0, 2], [0, 6]]), two_colours()
        >>> bool((randomized_head(network, image).outputs(image) == network.outputs(image)).any())
        False
    """
    module, name = classifier.module, _last_layer(classifier, image)
    own = set(module.get_submodule(name).parameters(recurse=False))
    # A deep copy takes what its memo knows as copied already: here all tensors but those of the layer.
    kept = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor not in own]
    other: nn.Module = copy.deepcopy(module, {id(tensor): tensor for tensor in kept})
    generator = torch.Generator().manual_seed(HEAD_SEED)
    for parameter in other.get_submodule(name).parameters(recurse=False):
        drawn = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(drawn.to(parameter) * parameter.std(correction=0))
    # What was prepared for the network has its parameters; and torch, which runs the copy, knows no int8.
    precision = "fp32" if classifier.precision == "int8" else classifier.precision
    randomized = replace(classifier, module=other, backend=None, gradients=None, precision=precision)
    if torch.equal(randomized.outputs(image), classifier.outputs(image)):
        raise BenchError(f"head_sensitivity: the outputs do not change with the layer {name!r}")
    return randomized


def _last_layer(classifier: Classifier, image: torch.Tensor) -> str:
    """Name of the module that runs last among those with parameters of their own."""
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
