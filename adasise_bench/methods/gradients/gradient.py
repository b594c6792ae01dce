"""Gradient saliency (Simonyan, Vedaldi, Zisserman, ICLR workshop 2014, arXiv 1312.6034)."""

from __future__ import annotations

from typing import Literal

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.gradients.input_gradients import input_gradients
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import PhaseClock


class Gradient(Method):
    """How much the raw output of the class changes with each pixel.

    The raw output is differentiated with respect to the network's input, and the map is the largest magnitude
    of this gradient over the colour channels. The method has no parameter. The gradient is torch's own. The
    map is that of TorchRay's ``gradient``, which is not called because it changes its input.

    Map: (H, W) float32, at least 0, in units of the raw output per unit of the input.

    Source: Simonyan et al., ICLR workshop 2014 (arXiv 1312.6034), section 3.1.

    Example:
        >>> from adasise_bench.methods.gradients.gradient import Gradient
        >>> from adasise_bench.methods.example import explained
        >>> explained(Gradient(), red=[[0, 2], [0, 6]]).saliency.tolist()  # the mean of four pixels
        [[0.0, 0.25], [0.0, 0.25]]
    """

    name: Literal["gradient"] = "gradient"

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """One forward and one backward; see :meth:`Method.explain`."""
        gradients = input_gradients(classifier, request.image, request.target)
        return Explanation(gradients[0].abs().amax(dim=0), forwards=1, backwards=1)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One."""
        return 1

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each forward pass."""
        return self.expected_forwards(maps_available)
