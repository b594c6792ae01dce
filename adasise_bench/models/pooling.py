"""Adaptive average pooling as matrix products, whose gradient torch can repeat to the bit on a GPU."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn


class MatrixAveragePool(nn.Module):
    """The same function as ``nn.AdaptiveAvgPool2d``, up to rounding.

    Args:
        size: height and width of the output.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self._size = size

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, *size); the input itself where it has that size already."""
        if inputs.shape[2:] == self._size:
            return inputs
        rows, columns = (
            _averages(length, count, inputs.dtype, inputs.device)
            for length, count in zip(inputs.shape[2:], self._size, strict=True)
        )
        return rows @ inputs @ columns.T


def with_repeatable_pooling(module: nn.Module) -> nn.Module:
    """Replace every adaptive average pooling to more than one pixel, in place; one pixel is a plain mean."""
    for parent in module.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.AdaptiveAvgPool2d):
                size = child.output_size if isinstance(child.output_size, tuple) else (child.output_size,) * 2
                if size != (1, 1) and None not in size:
                    setattr(parent, name, MatrixAveragePool((int(size[0] or 1), int(size[1] or 1))))
    return module


@lru_cache(maxsize=32)
def _averages(length: int, count: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(count, length): row i averages from floor(i·length/count) up to ceil((i+1)·length/count)."""
    weights = torch.zeros(count, length)
    for i in range(count):
        start, stop = i * length // count, -(-(i + 1) * length // count)
        weights[i, start:stop] = 1 / (stop - start)
    return weights.to(device, dtype)
