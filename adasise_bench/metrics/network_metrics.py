"""Measures that ask the network again; they cost hundreds of forward passes or a second explanation each.

Insertion and deletion follow the code of RISE (arXiv 1806.07421); the randomised head is the first step of
the cascade of Adebayo et al. (Sanity Checks for Saliency Maps, NeurIPS 2018).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import nn

from adasise_bench.methods.base import Request
from adasise_bench.metrics import measured_metrics as metrics
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import in_batches
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

BLUR_SIDE = 11
BLUR_SIGMA = 5
HEAD_SEED = 0


def insertion(classifier: Classifier, request: Request, saliency: torch.Tensor) -> float:
    """Area under Ψ, in percent, while the blurred picture is replaced by the sharp one, highest pixels first.

    Args:
        classifier: gives Ψ.
        request: what was explained.
        saliency: (H, W) map; every step replaces H of its pixels.

    Raises:
        BenchError: a score is not finite.
    """
    return _area(classifier, request, saliency, start=blurred(request.image), finish=request.image)


def deletion(classifier: Classifier, request: Request, saliency: torch.Tensor) -> float:
    """Area under Ψ, in percent, while the network's input is set to zero, highest pixels first.

    Arguments and errors are those of :func:`insertion`.
    """
    start = request.image
    return _area(classifier, request, saliency, start=start, finish=torch.zeros_like(start))


def head_sensitivity(classifier: Classifier, request: Request, saliency: torch.Tensor) -> float | None:
    """Rank correlation of the map with the one that the same request gives after :func:`randomized_head`.

    Args:
        classifier: the network that was explained.
        request: what was explained.
        saliency: (H, W) map.

    Returns:
        Spearman's ρ: 1 for a method that ignores what the head has learnt; ``None`` where a map is flat.

    Raises:
        BenchError: the second map cannot be made, or is not finite.
    """
    randomized = randomized_head(classifier, request.image)
    other = request.method.explain(randomized, request, PhaseClock(classifier.device)).saliency
    if not torch.isfinite(other).all():
        raise BenchError("the map of the randomised head is not finite for this picture")
    return metrics.rank_correlation(saliency, other)


NETWORK_MEASURES: Mapping[str, Callable[[Classifier, Request, torch.Tensor], float | None]] = {
    "insertion": insertion,
    "deletion": deletion,
    "head_sensitivity": head_sensitivity,
}


def expected_forwards(names: Iterable[str], side: int, explanation: int) -> int:
    """Forward passes that measuring one explanation is expected to take, for planning.

    Args:
        names: of :data:`NETWORK_MEASURES`.
        side: pixels of the input's side.
        explanation: forward passes of the explanation itself.
    """
    return sum(explanation if name == "head_sensitivity" else side + 1 for name in names)


def scored_inputs(names: Iterable[str], side: int, explanation: range) -> list[range]:
    """How many inputs each measure of one explanation scores in whole batches; see :class:`.Workload`.

    Args:
        names: of :data:`NETWORK_MEASURES`.
        side: pixels of the input's side.
        explanation: how many the explanation itself scores.
    """
    steps = range(side + 1, side + 2)
    return [explanation if name == "head_sensitivity" else steps for name in names]


def blurred(image: torch.Tensor) -> torch.Tensor:
    """The input convolved with RISE's 11x11 Gaussian of sigma 5; it ends in zeros beyond the border.

    The Gaussian is folded back at the kernel's own border, so that the kernel sums to 1.

    Args:
        image: (1, 3, H, W) float32 network input.
    """
    impulse = np.zeros((BLUR_SIDE, BLUR_SIDE))
    impulse[BLUR_SIDE // 2, BLUR_SIDE // 2] = 1
    kernel = torch.from_numpy(gaussian_filter(impulse, BLUR_SIGMA, mode="reflect")).to(image)
    with arithmetic("fp32", image.device):
        return F.conv2d(image.transpose(0, 1), kernel[None, None], padding=BLUR_SIDE // 2).transpose(0, 1)


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


def _area(
    classifier: Classifier,
    request: Request,
    saliency: torch.Tensor,
    *,
    start: torch.Tensor,
    finish: torch.Tensor,
) -> float:
    scores = _scores(classifier, request.target, saliency, start, finish).cpu()
    if not torch.isfinite(scores).all():
        raise BenchError("a score of a picture between its first and last pixels is not finite")
    return metrics.area_under_curve(scores)


@torch.no_grad()
def _scores(
    classifier: Classifier, target: int, saliency: torch.Tensor, start: torch.Tensor, finish: torch.Tensor
) -> torch.Tensor:
    """Ψ of the target after every step from ``start`` to ``finish``: (W + 1,) float32.

    The last batch is filled up with zeros, so that no score depends on how many others are computed.
    """
    height, width = saliency.shape
    order = metrics.pixel_order(saliency)
    step_of = torch.empty_like(order)
    step_of[order] = torch.arange(len(order), device=order.device) // height
    steps = torch.arange(width + 1, device=order.device)
    scores = start.new_empty(len(steps))

    def score(first: int, end: int) -> torch.Tensor:
        part = steps[first:end]
        changed = step_of.view(1, 1, height, width) < part.view(-1, 1, 1, 1)
        return _score_batch(classifier, changed, start, finish)

    for items, batch in in_batches(classifier, len(steps), score):
        scores[items] = batch[:, target]
    return scores


def _score_batch(
    classifier: Classifier, changed: torch.Tensor, start: torch.Tensor, finish: torch.Tensor
) -> torch.Tensor:
    """Ψ of pictures that are ``finish`` where ``changed``, else ``start``, by one forward pass."""
    inputs = classifier.empty_batch(start)
    torch.where(changed, finish, start, out=inputs[: len(changed)])
    inputs[len(changed) :] = 0
    return classifier.scores(inputs)[: len(changed)]
