"""Explains a picture of a few pixels with a network of two classes: the examples in docstrings use it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.models.example import red_picture, two_colours
from adasise_bench.utils.timing import PhaseClock


def explained(
    method: Method, red: Sequence[Sequence[float]], inside: torch.Tensor | None = None
) -> Explanation:
    """Explain why :func:`.two_colours` finds a picture red.

    Args:
        method: the method, with its options.
        red: H rows of W numbers, the picture's red channel; the other channels are 0.
        inside: (H, W) bool, the region of the class, for the box oracle alone.

    Returns:
        The (H, W) map, and what it cost.
    """
    classifier = two_colours()
    request = Request(method, red_picture(red), 0, inside=inside)
    return method.explain(classifier, request, PhaseClock(classifier.device))
