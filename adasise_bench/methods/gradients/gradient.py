"""Gradient saliency (Simonyan, Vedaldi, Zisserman, ICLR workshop 2014, arXiv 1312.6034)."""

from __future__ import annotations

from typing import Literal

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.gradients.input_gradients import input_gradients
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import PhaseClock


class Gradient(Method):
    """How much the class's raw output changes with each pixel: section 3 of the paper, no parameters.

    The map is the largest magnitude over the colour channels of the raw output's gradient with respect to
    the network's input (section 3.1). It is torch's own gradient, and the map of TorchRay's ``gradient``,
    which is not called because it changes its input.
    """

    name: Literal["gradient"] = "gradient"

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """One forward and one backward; see :meth:`Method.explain`."""
        gradients = input_gradients(classifier, request.image, request.target)
        return Explanation(gradients[0].abs().amax(dim=0), forwards=1, backwards=1)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One."""
        return 1
