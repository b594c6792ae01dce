"""The area constraint of Extremal Perturbation: the sorted mask should be zeros followed by ones.

TorchRay sorts every mask in every iteration. The gradient needs only to know which pixels belong to the
highest share. To find the one value at the border of that share is much faster than to sort.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torchray.attribution.extremal_perturbation import MaskGenerator


class AreaConstraint:
    """Says which pixels of a mask should be 1, and which 0, so that the mask has its area.

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
        """Mark the highest pixels of (N · A, H', W') masks, as many as the areas ask for.

        Of equal pixels the last ones are taken, as TorchRay's sorting does. The areas repeat: mask i has area
        number i modulo A.

        Returns:
            (N · A, H', W') bool.
        """
        pixels = masks.flatten(1)
        rows = pixels.view(-1, len(self._low), pixels.shape[1])
        border = _select(rows)(rows, self._low)[..., None]
        # Some pixels are equal to the border. The first of them are low, as many as are still missing there.
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
    """The same in one call for all rows: fastest for few rows on a GPU, where every call costs time."""
    ranked = rows.sort(dim=2).values
    return torch.stack([ranked[:, i, max(count, 1) - 1] for i, count in enumerate(low)], dim=1)


def largest_of_low_by_topk(rows: torch.Tensor, low: Sequence[int]) -> torch.Tensor:
    """The same as the smallest of the highest values: fastest for many rows on a GPU.

    torch refuses ``kthvalue`` on a GPU in deterministic runs, and a full sort reads and writes all values and
    their indices several times. ``topk`` may return equal values in any order, which changes no value.
    """
    pixels = rows.shape[2]
    values = [
        several.topk(pixels + 1 - max(count, 1), sorted=False).values.amin(dim=1)
        for several, count in zip(rows.unbind(dim=1), low, strict=True)
    ]
    return torch.stack(values, dim=1)


def _select(rows: torch.Tensor) -> Callable[[torch.Tensor, Sequence[int]], torch.Tensor]:
    """The fastest of the three: on a GPU, one explanation waits for launches, several for memory."""
    if not rows.is_cuda:
        return largest_of_low
    return largest_of_low_by_sort if len(rows) == 1 else largest_of_low_by_topk


@lru_cache(maxsize=32)
def area_constraint(areas: tuple[float, ...], pixels: int, device: torch.device) -> AreaConstraint:
    """The :class:`AreaConstraint` that all explanations with these areas and masks share."""
    return AreaConstraint(areas, pixels, device)


@lru_cache(maxsize=32)
def first_high_pixels(
    size: tuple[int, int], step: int, sigma: float, areas: tuple[float, ...], device: torch.device
) -> torch.Tensor:
    """The high pixels of TorchRay's first iteration, (len(areas), H', W') bool.

    Every parameter is 1 then, and the pixels of the mask repeat from cell to cell. Which of thousands of
    equal pixels count as high depends on rounding and on the order in which ``torch.sort`` leaves equal
    values. This choice decides where the optimisation goes, so it is taken from TorchRay's own mask.
    TorchRay's generator fills arrays as large as 81 masks. It runs on the CPU, even for a GPU, because the
    last bits of its weights are part of the rounding. The result is therefore kept for other inputs of the
    same size.
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
