"""Smooth masks from coarse parameters, as TorchRay's mask generator makes them, with a closed-form gradient.

A pixel of a mask is a smooth maximum (weighted by softmax) over the (2r+1)² parameters around its cell: of
each parameter times a bell-shaped weight of its distance (Fong et al., ICCV 2019, section 3.2). The
neighbourhoods of all pixels together are 81 times as large as the mask. Masks and gradients are therefore
computed in slices that fit in the cache, and nothing of that size is kept. :mod:`.fused_masks` computes the
same without such arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F

COLDNESS = 20.0
"""How sharp the smooth maximum is; TorchRay's value."""

_CPU_SLICE = 1 << 20
_USUAL_L2_BYTES = 32 << 20


class SmoothMasks(NamedTuple):
    """Masks, and the values that their gradient needs.

    Attributes:
        pixels: (B, H', W') float32.
        cells: (B, cells, step, W) the same pixels, and further ones that only fill up the last cells.
        sums: (B, cells, step, W) the softmax's denominators.
        around: (B, kernel², cells, cells) every cell's neighbourhood.
    """

    pixels: torch.Tensor
    cells: torch.Tensor
    sums: torch.Tensor
    around: torch.Tensor


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
        step: pixels per cell and side.
        kernel: parameters per side of a neighbourhood.
        padding: parameters beyond the grid on every side, which are 0.
        cells: rows and columns of cells.
        bell: (kernel, kernel, rows, step, columns, step) float32, the weights of a neighbourhood times the
            softmax's coldness; ``rows`` and ``columns`` are 1 where all cells have the same.
    """

    def __init__(self, size: tuple[int, int], step: int, sigma: float, device: torch.device) -> None:
        self._margin, self.step = round(sigma), step
        self._size = size
        radius = 1 + math.ceil(sigma / step)
        self.padding = 1 + math.ceil(2 * sigma / step)
        self.kernel = 2 * radius + 1
        self.parameters = (math.ceil(size[0] / step), math.ceil(size[1] / step))
        beyond = 2 * (self.padding - radius)
        self.cells = (self.parameters[0] + beyond, self.parameters[1] + beyond)
        self.shape = (step * (self.cells[0] - 1) + 1, step * (self.cells[1] - 1) + 1)
        self.bell = self._weights(sigma).to(device)
        rows = self.bell.expand(-1, -1, -1, -1, self.cells[1], -1).flatten(4).flatten(0, 1)
        self._rows = rows.expand(-1, self.cells[0], -1, -1)

    def crop(self, masks: torch.Tensor) -> torch.Tensor:
        """The (B, H, W) part of (B, H', W') masks that lies on the picture."""
        m, (height, width) = self._margin, self._size
        return masks[:, m : m + height, m : m + width]

    def framed(self, values: torch.Tensor) -> torch.Tensor:
        """(B, H', W') values that are 0 outside the picture, from the (B, H, W) on it."""
        m, (height, width) = self._margin, self._size
        return F.pad(values, (m, self.shape[1] - m - width, m, self.shape[0] - m - height))

    def masks(self, parameters: torch.Tensor) -> SmoothMasks:
        """Masks from (B, h, w) float32 parameters in [0, 1]. Rounding can leave pixels a bit above 1."""
        batch = len(parameters)
        around = self._around(parameters)
        sums = around.new_empty(batch, *self._rows.shape[1:])
        cells = torch.empty_like(sums)
        for items, rows in self._slices(batch):
            scaled = self._scaled(around[items, :, rows], rows)
            powers = scaled.exp()
            torch.sum(powers, dim=1, out=sums[items, rows])
            torch.sum(scaled.mul_(powers), dim=1, out=cells[items, rows])
        cells.div_(sums).div_(COLDNESS)
        return SmoothMasks(self.trimmed(cells), cells, sums, around)

    def gradient(self, upstream: torch.Tensor, masks: SmoothMasks) -> torch.Tensor:
        """Gradient with respect to the parameters, (B, h, w).

        Args:
            upstream: (B, H', W') gradient with respect to the masks' pixels.
            masks: what :meth:`masks` gave for the parameters; ``cells`` is overwritten.
        """
        batch = len(upstream)
        share = self.padded(upstream).div_(masks.sums)
        offset = masks.cells.mul_(-COLDNESS).add_(1)
        to_around = torch.empty_like(masks.around)
        for items, rows in self._slices(batch):
            scaled = self._scaled(masks.around[items, :, rows], rows)
            powers = scaled.exp()
            powers.mul_(scaled.add_(offset[items, None, rows]))
            powers.mul_(self._rows[:, rows]).mul_(share[items, None, rows])
            by_column = powers.sum(dim=3)
            by_column = by_column.view(*by_column.shape[:3], -1, self.step)
            torch.sum(by_column, dim=4, out=to_around[items, :, rows])
        return F.fold(
            to_around.div_(COLDNESS).flatten(2), self.parameters, (self.kernel, self.kernel),
            padding=self.padding,
        )[:, 0]  # fmt: skip

    def trimmed(self, values: torch.Tensor) -> torch.Tensor:
        """(B, cells, step, W) to (B, H', W')."""
        return values.flatten(1, 2)[:, : self.shape[0], : self.shape[1]].contiguous()

    def padded(self, values: torch.Tensor) -> torch.Tensor:
        """(B, H', W') to (B, cells, step, W), zero where there is no pixel."""
        cells_h, cells_w = self.cells
        missing = (0, cells_w * self.step - self.shape[1], 0, cells_h * self.step - self.shape[0])
        return F.pad(values, missing).view(len(values), cells_h, self.step, -1)

    def _weights(self, sigma: float) -> torch.Tensor:
        """The attribute ``bell``, on the CPU.

        A CPU's ``exp`` and division round differently from a GPU's. All devices therefore take the weights
        from the CPU, so that they have the same bits. A GPU loses next to no time by it: where the offsets
        are the same in all cells, there are only kernel² · step² weights, 16 kB with TorchRay's settings.
        """
        rows, columns = (self._offsets(cells, sigma) for cells in self.cells)
        distance = torch.sqrt(rows[:, None, :, :, None, None] ** 2 + columns[None, :, None, None] ** 2)
        return COLDNESS * torch.exp(-2 * (distance / sigma - 0.5).clamp(min=0) ** 2)

    def _offsets(self, cells: int, sigma: float) -> torch.Tensor:
        """Distances from each pixel of a cell to the kernel's parameters.

        Returns:
            (kernel, 1, step) where they are the same in all cells. Otherwise (kernel, cells, step): a
            ``sigma`` with many binary digits, such as 8.4, rounds differently beside large and small
            coordinates.
        """
        pixel = torch.arange(cells * self.step, dtype=torch.float32).view(cells, self.step)
        parameter = torch.arange(self.kernel)[:, None] + torch.arange(cells)[None] - self.padding
        offsets = pixel[None] - (sigma + self.step * parameter.float())[:, :, None]
        return offsets[:, :1] if bool((offsets == offsets[:, :1]).all()) else offsets

    def _around(self, parameters: torch.Tensor) -> torch.Tensor:
        """Every cell's neighbourhood, (B, kernel², cells, cells).

        It is made from a view. ``F.unfold`` would start one kernel on a GPU for each item of the batch.
        """
        views = F.pad(parameters, [self.padding] * 4).unfold(1, self.kernel, 1).unfold(2, self.kernel, 1)
        return views.permute(0, 3, 4, 1, 2).reshape(len(parameters), -1, *self.cells)

    def _scaled(self, around: torch.Tensor, rows: slice) -> torch.Tensor:
        """Weights times parameters of some rows of cells, (B, kernel², cells, step, W)."""
        spread = around[..., None].expand(-1, -1, -1, -1, self.step).flatten(3)
        return self._rows[:, rows] * spread[:, :, :, None]

    def _slices(self, batch: int) -> Iterator[tuple[slice, slice]]:
        """Slices of masks and of rows of cells, each with about as many values as the cache holds."""
        kernel, cells, step, width = self._rows.shape
        fitting = max(1, _slice_values(self._rows.device) // (kernel * step * width))
        rows = min(cells, max(1, fitting // batch))
        items = max(1, fitting // rows)
        for start in range(0, cells, rows):
            for first in range(0, batch, items):
                yield slice(first, first + items), slice(start, start + rows)


@lru_cache(maxsize=32)
def area_masks(size: tuple[int, int], step: int, sigma: float, device: torch.device) -> AreaMasks:
    """The :class:`AreaMasks` that all explanations of inputs of one size on one device share."""
    return AreaMasks(size, step, sigma, device)


@lru_cache(maxsize=32)
def _slice_values(device: torch.device) -> int:
    """Float32 values in a temporary array. A GPU uses two arrays at a time, and its L2 should hold both."""
    if device.type != "cuda":
        return _CPU_SLICE
    cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)
    return int(cache or _USUAL_L2_BYTES) // 8
