"""Integrated Gradients (Sundararajan, Taly, Yan, ICML 2017, arXiv 1703.01365)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.gradients.input_gradients import input_gradients
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import in_batches
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

_AT_ONCE = 25
"""The most steps in a pass. Each keeps its activations in memory until its gradient is known."""


class IntegratedGradients(Method):
    """The input times the mean gradient of the class's raw output on a straight line from zero to the input.

    The zero input is the mean colour of the networks. The integral over the line is approximated by
    Gauss-Legendre quadrature in 50 steps, the defaults of Captum's ``IntegratedGradients``. Captum is not
    called, because it passes all steps at once, or in parts of a fixed size, and cannot do with less when
    memory runs out. The map is the magnitude of the attributions' sum over the colour channels.

    Map: (H, W) float32, at least 0, in units of the raw output.

    Source: Sundararajan et al., ICML 2017 (arXiv 1703.01365), equation 1.

    Example:
        >>> from adasise_bench.methods.gradients.integrated_gradients import IntegratedGradients
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(IntegratedGradients(), red=[[0, 2], [0, 6]])  # they add up to the output, 2
        >>> [[round(value, 3) for value in row] for row in found.saliency.tolist()]
        [[0.0, 0.5], [0.0, 1.5]]
    """

    name: Literal["integrated_gradients"] = "integrated_gradients"
    steps: int = Field(50, ge=1, le=1000, description="points of the quadrature")

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """One forward and one backward per step; see :meth:`Method.explain`."""
        found = attributions(classifier, request.image, request.target, self.steps)
        return Explanation(found.sum(dim=0).abs(), forwards=self.steps, backwards=self.steps)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One per step."""
        return self.steps

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each forward pass."""
        return self.expected_forwards(maps_available)


def attributions(classifier: Classifier, image: torch.Tensor, target: int, steps: int) -> torch.Tensor:
    """Signed attributions. They add up to the raw output minus the raw output of the zero input.

    Args:
        classifier: the network; its batch of passes with gradients is halved when memory runs out.
        image: (1, 3, H, W) float32 network input.
        target: index of the class.
        steps: points of the quadrature.

    Returns:
        (3, H, W) float32.
    """
    nodes, node_weights = np.polynomial.legendre.leggauss(steps)
    shares, weights = (torch.tensor(values / 2).to(image) for values in (nodes + 1, node_weights))
    mean_gradient = torch.zeros_like(image[0])

    def gradients(start: int, stop: int) -> torch.Tensor:
        return input_gradients(classifier, shares[start:stop, None, None, None] * image, target)

    for part, batch in in_batches(
        classifier, steps, gradients, _AT_ONCE, classifier.batch_size.with_gradients
    ):
        with arithmetic("fp32", classifier.device):
            mean_gradient += torch.tensordot(weights[part], batch, dims=1)
    return mean_gradient * image[0]
