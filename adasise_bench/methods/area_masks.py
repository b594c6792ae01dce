"""Smooth masks from coarse parameters, after TorchRay's mask generator, with their gradient in closed form.

A mask pixel is the softmax-weighted maximum, over the (2r+1)² parameters around its cell, of parameter
times a bell-shaped weight of their distance (Fong et al., ICCV 2019, section 3.2). The neighbourhoods of
all pixels together are 81 times the mask, so masks and gradients are computed in slices that fit in the
cache, and nothing of that size is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F

_COLDNESS = 20.0
_SLICE = {"cpu": 1 << 20, "cuda": 1 << 26}


class SmoothMasks(NamedTuple):
    """Masks, and what their gradient needs.

    Attributes:
        pixels: (B, H', W') float32.
        sums: (B, cells, step, W) the softmax's denominators.
        spread: (B, kernel², cells, W) every cell's neighbourhood, repeated over the pixels of a row.
    """

    pixels: torch.Tensor
    sums: torch.Tensor
    spread: torch.Tensor


class AreaMasks:
    """Turns (B, h, w) parameters in [0, 1] into (B, H', W') masks that reach over the picture's border.

    Args:
        size: height and width of the picture.
        step: pixels between parameters.
        sigma: pixels of smoothing; the masks extend that far beyond the picture on every side.
        device: where to compute.

    Attributes:
        parameters: (h, w), the parameters' grid.
        shape: (H', W'), the masks' size.
    """

    def __init__(self, size: tuple[int, int], step: int, sigma: float, device: torch.device) -> None:
        self._margin, self._step = round(sigma), step
        self._size = size
        radius = 1 + math.ceil(sigma / step)
        self._padding = 1 + math.ceil(2 * sigma / step)
        self._kernel = 2 * radius + 1
        self.parameters = (math.ceil(size[0] / step), math.ceil(size[1] / step))
        beyond = 2 * (self._padding - radius)
        self._cells = (self.parameters[0] + beyond, self.parameters[1] + beyond)
        self.shape = (step * (self._cells[0] - 1) + 1, step * (self._cells[1] - 1) + 1)
        rows, columns = (self._offsets(cells, sigma) for cells in self._cells)
        distance = torch.sqrt(
            rows[:, None, :, :, None] ** 2 + columns.flatten(1)[None, :, None, None, :] ** 2
        )
        bell = torch.exp(-2 * (distance / sigma - 0.5).clamp(min=0) ** 2)
        bell = bell.reshape(self._kernel**2, self._cells[0], step, self._cells[1] * step)
        self._scaled_bell = (_COLDNESS * bell).to(device)

    def crop(self, masks: torch.Tensor) -> torch.Tensor:
        """The (B, H, W) part of (B, H', W') masks that lies on the picture."""
        m, (height, width) = self._margin, self._size
        return masks[:, m : m + height, m : m + width]

    def masks(self, parameters: torch.Tensor) -> SmoothMasks:
        """Masks from (B, h, w) float32 parameters in [0, 1]; not clamped, rounding can leave them above 1."""
        batch = len(parameters)
        spread = self._spread(parameters)
        sums = spread.new_empty(batch, *self._scaled_bell.shape[1:])
        masks = torch.empty_like(sums)
        for items, cells in self._slices(batch):
            scaled = self._scaled_bell[:, cells] * spread[items, :, cells, None]
            powers = scaled.exp()
            torch.sum(powers, dim=1, out=sums[items, cells])
            torch.sum(scaled.mul_(powers), dim=1, out=masks[items, cells])
        masks.div_(sums).div_(_COLDNESS)
        return SmoothMasks(self._trimmed(masks), sums, spread)

    def gradient(self, upstream: torch.Tensor, masks: SmoothMasks) -> torch.Tensor:
        """Gradient with respect to the parameters, (B, h, w).

        Args:
            upstream: (B, H', W') gradient with respect to the masks' pixels.
            masks: what :meth:`masks` gave for the parameters.
        """
        batch = len(upstream)
        share = self._padded(upstream).div_(masks.sums)
        offset = self._padded(masks.pixels).mul_(-_COLDNESS).add_(1)
        to_spread = torch.empty_like(masks.spread)
        for items, cells in self._slices(batch):
            bell = self._scaled_bell[:, cells]
            scaled = bell * masks.spread[items, :, cells, None]
            powers = scaled.exp()
            powers.mul_(scaled.add_(offset[items, None, cells])).mul_(bell).mul_(share[items, None, cells])
            torch.sum(powers, dim=3, out=to_spread[items, :, cells])
        cells_h, cells_w = self._cells
        folded = to_spread.view(batch, -1, cells_h, cells_w, self._step).sum(dim=4).div_(_COLDNESS)
        return F.fold(
            folded.flatten(2), self.parameters, (self._kernel, self._kernel), padding=self._padding
        )[:, 0]

    def _offsets(self, cells: int, sigma: float) -> torch.Tensor:
        """(kernel, cells, step) distances from each pixel of a cell to the kernel's parameters."""
        pixel = torch.arange(cells * self._step, dtype=torch.float32).view(cells, self._step)
        parameter = torch.arange(self._kernel)[:, None] + torch.arange(cells)[None] - self._padding
        return pixel[None] - (sigma + self._step * parameter.float())[:, :, None]

    def _spread(self, parameters: torch.Tensor) -> torch.Tensor:
        """Every cell's neighbourhood, repeated over the pixels of a row: (B, kernel², cells, W)."""
        around = F.unfold(parameters[:, None], (self._kernel, self._kernel), padding=self._padding)
        around = around.view(len(parameters), -1, *self._cells, 1)
        return around.expand(-1, -1, -1, -1, self._step).flatten(3)

    def _slices(self, batch: int) -> Iterator[tuple[slice, slice]]:
        """Slices over masks and rows of cells, with about as many neighbourhood values as the cache holds."""
        kernel, cells, step, width = self._scaled_bell.shape
        fitting = max(1, _SLICE[self._scaled_bell.device.type] // (kernel * step * width))
        rows = min(cells, max(1, fitting // batch))
        items = max(1, fitting // rows)
        for start in range(0, cells, rows):
            for first in range(0, batch, items):
                yield slice(first, first + items), slice(start, start + rows)

    def _trimmed(self, values: torch.Tensor) -> torch.Tensor:
        """(B, cells, step, W) to (B, H', W')."""
        return values.flatten(1, 2)[:, : self.shape[0], : self.shape[1]].contiguous()

    def _padded(self, values: torch.Tensor) -> torch.Tensor:
        """(B, H', W') to (B, cells, step, W), zero where there is no pixel."""
        cells_h, cells_w = self._cells
        missing = (0, cells_w * self._step - self.shape[1], 0, cells_h * self._step - self.shape[0])
        return F.pad(values, missing).view(len(values), cells_h, self._step, -1)
