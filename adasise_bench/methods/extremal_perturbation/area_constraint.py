"""The area constraint of Extremal Perturbation: the sorted mask should look like zeros followed by ones.

TorchRay sorts every mask in every iteration. Which pixels belong to the highest share is all that the
gradient needs, and selecting the one value at the border is much cheaper.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torchray.attribution.extremal_perturbation import MaskGenerator


class AreaConstraint:
    """Which pixels of a mask should be 1, all others 0, for the mask to have its area.

    Args:
        areas: A area shares in (0, 1).
        pixels: P, how many pixels a mask has.
        device: where the masks are.
    """

    def __init__(self, areas: Sequence[float], pixels: int, device: torch.device) -> None:
        self.pixels = pixels
        self._low = [_low_pixels(pixels, area) for area in areas]
        self._low_column = torch.tensor(self._low, dtype=torch.int32, device=device)[:, None]

    def high_pixels(self, masks: torch.Tensor) -> torch.Tensor:
        """The highest pixels of (N · A, H', W') masks, as many as the areas ask for; of equal ones the last.

        The areas repeat: mask i has area number i modulo A.
        """
        pixels = masks.flatten(1)
        rows = pixels.view(-1, len(self._low), pixels.shape[1])
        border = _select(rows)(rows, self._low)[..., None]
        # Of those equal to the border, the first are low, as many as are still missing; the others are high.
        low_and_equal = self._low_column - (rows < border).sum(dim=2, keepdim=True, dtype=torch.int32)
        equal = rows == border
        high = torch.where(equal, equal.cumsum(dim=2, dtype=torch.int32) > low_and_equal, rows > border)
        return high.view_as(masks)


def largest_of_low(rows: torch.Tensor, low: Sequence[int]) -> torch.Tensor:
    """The ``low``-th smallest value (at least the first) of every row of (N, A, P), as (N, A).

    ``low`` has one number for each of the A rows.
    """
    values = [
        torch.stack([row.kthvalue(max(count, 1)).values for row, count in zip(several, low, strict=True)])
        for several in rows
    ]
    return torch.stack(values)


def largest_of_low_by_sort(rows: torch.Tensor, low: Sequence[int]) -> torch.Tensor:
    """The same in one call for all rows, for a GPU that has little to sort and takes long to launch."""
    ranked = rows.sort(dim=2).values
    return torch.stack([ranked[:, i, max(count, 1) - 1] for i, count in enumerate(low)], dim=1)


def largest_of_low_by_topk(rows: torch.Tensor, low: Sequence[int]) -> torch.Tensor:
    """The same as the smallest of the highest values, for a GPU with many rows.

    A GPU's ``kthvalue`` is refused in deterministic runs, and a full sort costs several passes over all
    values and their numbers. ``topk`` may return equal values in any order, but not other values.
    """
    pixels = rows.shape[2]
    values = [
        several.topk(pixels + 1 - max(count, 1), sorted=False).values.amin(dim=1)
        for several, count in zip(rows.unbind(dim=1), low, strict=True)
    ]
    return torch.stack(values, dim=1)


def _select(rows: torch.Tensor) -> Callable[[torch.Tensor, Sequence[int]], torch.Tensor]:
    """Which of the three fits: one explanation on a GPU is bound by launches, several by memory traffic."""
    if not rows.is_cuda:
        return largest_of_low
    return largest_of_low_by_sort if len(rows) == 1 else largest_of_low_by_topk


@lru_cache(maxsize=32)
def area_constraint(areas: tuple[float, ...], pixels: int, device: torch.device) -> AreaConstraint:
    """The same :class:`AreaConstraint` for every explanation with these areas and masks."""
    return AreaConstraint(areas, pixels, device)


@lru_cache(maxsize=32)
def first_high_pixels(
    size: tuple[int, int], step: int, sigma: float, areas: tuple[float, ...], device: torch.device
) -> torch.Tensor:
    """The high pixels of TorchRay's first iteration, (len(areas), H', W') bool.

    Every parameter is 1 then, and the mask's pixels repeat from cell to cell: which of thousands of equal
    ones count as high is left to rounding and to the order in which ``torch.sort`` leaves equal values.
    It decides where the optimisation goes, so it is read off TorchRay's own mask. Its generator fills arrays
    of 81 masks on the CPU, also for a GPU, as the weights' last bits are part of the rounding; the result is
    therefore kept for other inputs of the same size.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message=r"torch\.meshgrid: in an upcoming release")
        generator = MaskGenerator(size, step, sigma).to(device)
    full = generator.generate(torch.ones(len(areas), 1, *generator.shape_in, device=device))[1][:, 0]
    order = full.flatten(1).sort(dim=1).indices
    high = torch.zeros_like(order, dtype=torch.bool)
    for row, indices, area in zip(high, order, areas, strict=True):
        row[indices[_low_pixels(len(indices), area) :]] = True
    return high.view_as(full)


def _low_pixels(pixels: int, area: float) -> int:
    return int(pixels * (1 - area))
