"""RISE's random masks, kept as the coarse grids that they are made of.

A mask is a grid of zeros and ones, enlarged bilinearly and cropped at a random offset. Enlarging is linear,
and treats rows and columns separately. A mask is therefore a product of three small matrices, R(y)ᵀ G C(x): G
is its grid, and R(y) and C(x) are the weights of rows and columns at its offset. Masks are multiplied out
batch by batch. Their weighted sum is computed on the grids: the grids of all masks with the same offset are
added up first, and are enlarged afterwards.
"""

from __future__ import annotations

import torch

from adasise_bench.utils.precision import arithmetic


class RandomMasks:
    """Random masks. A generator of their own draws them on the CPU, so that all devices have the same.

    Args:
        count: N, the number of masks.
        cells: s, the cells of a grid per side, at least 2.
        p: probability that a cell is 1.
        size: height and width of the masks.
        seed: where the generator begins.
        device: where masks are multiplied out.
    """

    def __init__(
        self, count: int, cells: int, p: float, size: tuple[int, int], seed: int, device: torch.device
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._rows, self._columns = (_windows(length, cells) for length in size)
        kept = torch.rand(count, cells, cells, generator=generator) < p
        self._grids = kept.float()
        self._y = torch.randint(len(self._rows), (count,), generator=generator)
        self._x = torch.randint(len(self._columns), (count,), generator=generator)
        # Everything goes to the device once. A copy before each batch would make the host wait each time.
        self._device_windows = self._rows.to(device, torch.float32), self._columns.to(device, torch.float32)
        self._device_grids = kept.to(device).float()
        self._device_offsets = torch.stack([self._y, self._x]).to(device)

    def built(self, start: int, stop: int) -> torch.Tensor:
        """Masks from number ``start`` up to ``stop``: (B, H, W) float32 in [0, 1], on the device."""
        (rows, columns), (y, x) = self._device_windows, self._device_offsets[:, start:stop]
        with arithmetic("fp32", self._device_grids.device):
            return rows[y].transpose(1, 2) @ (self._device_grids[start:stop] @ columns[x])

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """The sum of weight times mask over all masks, in double precision, always in the same order.

        Args:
            weights: (N,), one per mask, on the CPU.

        Returns:
            (H, W) float64 on the CPU.
        """
        cells, offsets = self._grids.shape[1], (len(self._rows), len(self._columns))
        sums = torch.zeros(offsets[0] * offsets[1], cells, cells, dtype=torch.float64)
        weighted = weights.double()[:, None, None] * self._grids
        sums.index_add_(0, self._y * offsets[1] + self._x, weighted)
        sums = sums.view(*offsets, cells, cells)
        return torch.einsum("yih,yxij,xjw->hw", self._rows, sums, self._columns)


def _windows(length: int, cells: int) -> torch.Tensor:
    """The weight of every cell in every pixel of a row, for every offset.

    As in RISE's code, the s cells are enlarged to s + 1 times ⌈length / s⌉ pixels, and the offset is less
    than ⌈length / s⌉. Pixel centres are at half-integers, and cells are mirrored beyond the centres of the
    outer ones.

    Returns:
        (⌈length / cells⌉, cells, length) float64.
    """
    step, last = -(-length // cells), cells - 1
    enlarged = (cells + 1) * step
    place = (torch.arange(enlarged, dtype=torch.float64) + 0.5) * cells / enlarged - 0.5
    place = last - (last - place.abs()).abs()
    weights = (1 - (place - torch.arange(cells)[:, None]).abs()).clamp(min=0)
    return weights.unfold(1, length, 1)[:, :step].transpose(0, 1).contiguous()
