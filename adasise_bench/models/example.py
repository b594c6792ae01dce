"""A network whose outputs can be worked out by hand: the examples in docstrings use it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier, Weights
from adasise_bench.models.engine import Engine
from adasise_bench.models.score import ScoreName


def two_colours(score: ScoreName = "logit") -> Classifier:
    """A network that knows two classes, red and green, and has no block but its first layer.

    The raw output of a class is the mean of its colour's channel over all pixels, where negative values count
    as 0. The two feature maps of the block ``1`` are these channels themselves.

    Args:
        score: the score Ψ; by default the raw output.

    Example:
        >>> from adasise_bench.models.example import red_picture, two_colours
        >>> two_colours().outputs(red_picture([[0, 2], [0, 6]])).tolist()  # (0 + 2 + 0 + 6) / 4 is red
        [[2.0, 0.0]]
    """
    convolution = nn.Conv2d(3, 2, 1, bias=False)
    head = nn.Linear(2, 2, bias=False)
    module = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    module.eval().requires_grad_(False)
    convolution.weight.copy_(torch.eye(2, 3)[:, :, None, None])
    head.weight.copy_(torch.eye(2))
    return Classifier(
        "two_colours", module, ("red", "green"), ("1",), score, "fp32", Weights("none", "0" * 64, False),
        torch.device("cpu"), BatchSize(16), Engine("contiguous", 16),
    )  # fmt: skip


def red_picture(rows: Sequence[Sequence[float]]) -> torch.Tensor:
    """The network input whose red channel has the given rows, and whose other channels are 0.

    Args:
        rows: H rows of W numbers.

    Returns:
        (1, 3, H, W) float32.
    """
    red = torch.tensor(rows, dtype=torch.float32)
    return torch.stack([red, torch.zeros_like(red), torch.zeros_like(red)])[None]
