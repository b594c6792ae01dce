"""A blob in the middle: what one guesses of a picture without looking at it."""

from __future__ import annotations

import torch

CENTRE_SIGMA = 0.25
"""The usual standard deviation, as a share of the side."""


def centre_gaussian(shape: tuple[int, int], sigma: float = CENTRE_SIGMA) -> torch.Tensor:
    """A Gaussian in the middle of a frame, (H, W) float32, 1 at the most.

    Args:
        shape: height and width.
        sigma: standard deviation, as a share of the height and of the width.
    """
    rows, columns = (
        torch.exp(-(((torch.arange(length) + 0.5) / length - 0.5) ** 2) / (2 * sigma**2)) for length in shape
    )
    return torch.outer(rows, columns)
